"""After the run: what is settled on, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator

from providers.base import ZERO, JournalFile, Method, Triple
from providers.series import Factors, Flow, Kind, Signal
from scheduler.models.job import Basis


@dataclass(frozen=True, slots=True)
class Hardware:
    """What embodied carbon M of a region's machine is computed from.

    ``total_kg`` is TE of the whole machine; ``slots`` and ``gpus`` are ToR, its resources.
    ``boards_kg`` is the part of TE that its boards are, None where that is not known apart.
    """

    total_kg: Triple
    lifespan_h: float
    slots: int
    gpus: int
    source: str
    lifespan_source: str = ""
    slots_source: str = ""
    boards_kg: Triple | None = None

    @property
    def rest_kg(self) -> Triple:
        """TE without the boards."""
        total, boards = self.total_kg, self.boards_kg or ZERO
        return Triple(total.low - boards.low, total.value - boards.value, total.high - boards.high)


def provider_of(region: str) -> str:
    """Who runs a region: ``aws`` of ``aws:eu-north-1``; ``own`` for a place of the config."""
    head, colon, _ = region.partition(":")
    return head if colon else "own"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run was, as its config had it; what is None was not known.

    ``instance`` is a cloud's type of machine; ``declared``: the config describes the machine.
    """

    region: str
    zone: str | None
    name: str | None = None
    country: str | None = None
    lat: float | None = None
    lon: float | None = None
    instance: str | None = None
    declared: bool = False

    @property
    def provider(self) -> str:
        """As :func:`provider_of`."""
        return provider_of(self.region)


@dataclass(frozen=True, slots=True)
class WaterUse:
    """Water that a site uses for each kWh of its computers, with the source of the figure."""

    l_per_kwh: Triple
    source: str


@dataclass(frozen=True, slots=True)
class Water:
    """Litres that a run used on site, for its reserved energy at ``use``."""

    litres: Triple
    use: WaterUse


@dataclass(frozen=True, slots=True)
class Site:
    """A region as settlement sees it: the place of the run, or the home it is compared with.

    ``no_hardware`` is why its machine is not known; empty where nobody declared one. ``place``
    says more of where it lies, for reports.
    """

    region: str
    zone: str | None
    pue: Triple
    pue_source: str
    hardware: Hardware | None
    no_hardware: str = ""
    place: Place | None = None
    water: WaterUse | None = None


@dataclass(frozen=True, slots=True)
class HardwareUsed:
    """The machine behind an embodied figure: TE, EL, ToR and the share RR/ToR, with sources.

    Where ``boards_kg`` is known, ``boards_share`` is the share of that part of TE, and
    ``reserved_share`` that of the rest.
    """

    source: str
    total_kg: Triple
    lifespan_h: float
    lifespan_source: str
    slots: int
    gpus: int
    reserved_share: float
    reserved_share_source: str
    boards_kg: Triple | None = None
    boards_share: float | None = None


@dataclass(frozen=True, slots=True)
class ComponentEnergy:
    """Energy of one component over all attempts; energies None where nothing was read.

    ``facts`` is what its meter saw beside energy in the last attempt, units in the names.
    ``replayed``: it comes from a record, and was not metered here.
    """

    name: str
    method: Method
    source: str
    coverage_percent: float
    active_kwh: Triple | None
    energy_kwh: Triple | None
    facts: dict[str, float] = field(default_factory=dict)
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class AttemptEnergy:
    """One attempt in the report; ``exit_code`` is 128 + n for a signal, None if unknown.

    ``attribution`` is how its CPU seconds were counted.
    """

    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    energy_kwh: Triple | None
    attribution: str = "not recorded"


@dataclass(frozen=True, slots=True)
class IntensityUsed:
    """The intensity behind a settlement; ``g_per_kwh`` is weighted by energy.

    ``values`` is how many of them the run met one after the other; None: not noted at the time.
    ``factors`` and ``flow`` are None where the source does not state them, ``step_s`` (for how long
    one of its values holds at most) where that is not known.
    """

    signal: Signal
    kind: Kind
    source: str
    g_per_kwh: Triple
    values: int | None = None
    factors: Factors | None = None
    flow: Flow | None = None
    step_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One "shall" or "should" of the standard."""

    rule: str
    met: Literal["met", "not_met", "not_applicable"]
    why: str


@dataclass(frozen=True, slots=True)
class Contributor:
    """What one source of error does to the total, all others at their middle values.

    ``low_g`` and ``high_g`` are by how much the total may lie lower and higher, grams, from 0 up;
    None where no grams are known. ``share_percent`` is its part of the widths of all.
    """

    name: str
    kind: Literal["independent", "systematic"]
    low_g: float | None
    high_g: float | None
    share_percent: float


@dataclass(frozen=True, slots=True)
class Deviation:
    """Operational grams as planned and as realized, and why they differ; middle values.

    The four errors add up to the difference; see :mod:`scheduler.sci.deviation`. ``inside_band``
    says whether the actual intensity of the run lies inside of ``band_g_per_kwh``, in which the
    plan had 80 % of all runs; None where the plan's band was not calibrated, or the actual is not
    known.
    """

    planned_g: float
    realized_g: float
    forecast_error_g: float
    start_error_g: float
    duration_error_g: float
    power_error_g: float
    band_g_per_kwh: Triple | None = None
    inside_band: bool | None = None

    @property
    def difference_g(self) -> float:
        """Realized minus planned; above zero is more than was planned."""
        return self.realized_g - self.planned_g


@dataclass(frozen=True, slots=True)
class FirstCome:
    """The run as if all jobs were served in order of release on the slots of their home.

    ``start`` is when it would have started then, ``baseline_g`` what it would have emitted.
    ``estimated``: an intensity, or how long a job before it runs, is no actual one.
    """

    start: datetime
    baseline_g: Triple
    saved_g: Triple
    estimated: bool

    @property
    def saved_percent(self) -> float | None:
        """Share of this baseline saved, on middle values; may be negative."""
        if self.baseline_g.value <= 0:
            return None
        return 100.0 * self.saved_g.value / self.baseline_g.value


@dataclass(frozen=True, slots=True)
class FunctionalUnit:
    """One R with the score for it; None where no total, or no count above zero, is known."""

    name: str
    count: float
    sci_g_per_unit: Triple | None


def _ordered(bounds: tuple[float, float, float]) -> tuple[float, float, float]:
    low, value, high = bounds
    if not -math.inf < low <= value <= high or value == math.inf:
        raise ValueError(f"bounds out of order: {low} <= {value} <= {high}")
    return bounds


# Low, value and high of a :class:`Triple`: to make one of these for each figure takes most of the
# time of a sum over thousands of jobs. pydantic checks them as it reads a row.
Bounds = Annotated[tuple[float, float, float], AfterValidator(_ordered)]


class Figures(NamedTuple):
    """What sums over many jobs need of a :class:`Settlement`, under the names that it has there.

    ``within`` is the job whose energy holds that of this one: sums count it there alone.
    """

    active_kwh: Bounds | None
    reserved_kwh: Bounds | None
    operational_g: Bounds | None
    embodied_g: Bounds | None
    total_g: Bounds | None
    baseline_g: Bounds | None
    saved_g: Bounds | None
    saving_estimated: bool
    measured_percent: float | None
    within: str | None = None
    signal: Signal | None = None
    first_come_baseline_g: Bounds | None = None
    first_come_saved_g: Bounds | None = None
    first_come_estimated: bool = False
    inside_band: bool | None = None

    @classmethod
    def of(cls, made: Settlement) -> Figures:
        """Those of a settlement."""
        found = (getattr(made, name) for name in cls._fields)
        return cls._make((f.low, f.value, f.high) if isinstance(f, Triple) else f for f in found)


@dataclass(frozen=True, slots=True)
class SeriesUsed:
    """The intensity of a grid zone, as far as a run, its baseline or its plan reaches.

    Each interval is its start and end (Unix seconds), low, value and high (g CO2e/kWh), and who
    stated it.
    """

    zone: str
    signal: Signal
    kind: Kind
    factors: Factors | None
    flow: Flow | None
    intervals: tuple[tuple[float, float, float, float, float, str], ...]


@dataclass(frozen=True, slots=True)
class AttemptUsed:
    """One start: Unix seconds, with the journal that its energy was read from.

    ``stops``, ``reload_s`` and ``resumed`` are as in :class:`scheduler.sci.AttemptRecord`.
    """

    started_s: float
    ended_s: float | None
    exit_code: int | None
    stops: tuple[tuple[float, float | None], ...]
    reload_s: float
    resumed: bool
    journal: JournalFile | None


@dataclass(frozen=True, slots=True)
class PlanUsed:
    """What the plan counted with: when (Unix seconds), at what power, on which forecast.

    ``band_g_per_kwh`` is where 80 % of all actuals were to lie; None where it was not calibrated.
    """

    spans: tuple[tuple[float, float], ...]
    watts: float
    forecast: SeriesUsed
    band_g_per_kwh: Triple | None = None


@dataclass(frozen=True, slots=True)
class StartUsed:
    """When another baseline starts (Unix seconds), and the intensity of home over it.

    ``estimated``: the start rests on how long other jobs are expected to run.
    """

    start_s: float
    estimated: bool
    intensity: SeriesUsed | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All inputs of a settlement but the journals, which it names, and the work that was counted.

    ``release_s`` is when the baseline starts at ``home`` (Unix seconds). ``unit`` is the one that
    was asked for, None where R is the job. ``first_come``, ``unit_rationale`` and ``within`` are
    as in :class:`Settlement`, ``step_s`` as in :class:`IntensityUsed`.
    """

    slots: int
    gpus: int
    unit: str | None
    attempts: tuple[AttemptUsed, ...]
    site: Site
    home: Site
    release_s: float
    intensity: SeriesUsed | None
    home_intensity: SeriesUsed | None
    planned: PlanUsed | None
    first_come: StartUsed | None = None
    step_s: float | None = None
    unit_rationale: str = ""
    within: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a job really cost. ``nulls`` names each unknown field with its reason.

    ``units`` is all the work that the job counted, by unit, over all attempts; ``metrics`` is what
    it told of its result (accuracy), the last value of each. ``uncertainty`` has the largest
    contributor first. ``place`` and ``evidence`` are None where it was settled before lowtide
    recorded them: a report is made from the settlement alone, whatever the config says by then.
    ``within`` is the job whose energy holds that of this one. ``left_out`` is work of the job that
    no meter reached.
    """

    status: Literal["provisional", "final"]
    active_kwh: Triple | None
    reserved_kwh: Triple | None
    components: tuple[ComponentEnergy, ...]
    measured_percent: float | None
    intensity: IntensityUsed | None
    pue: Triple
    pue_source: str
    operational_g: Triple | None
    embodied_g: Triple | None
    total_g: Triple | None
    unit: str
    unit_count: float | None
    sci_g_per_unit: Triple | None
    basis: Basis
    baseline_g: Triple | None
    saved_g: Triple | None
    saving_estimated: bool
    largest_uncertainty: str
    conformance: tuple[Rule, ...]
    attempts: tuple[AttemptEnergy, ...]
    nulls: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    hardware: HardwareUsed | None = None
    units: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    uncertainty: tuple[Contributor, ...] = ()
    planned_against_realized: Deviation | None = None
    place: Place | None = None
    within: str | None = None
    left_out: tuple[str, ...] = ()
    water: Water | None = None
    evidence: Evidence | None = None
    first_come: FirstCome | None = None
    unit_rationale: str = ""

    @property
    def functional_units(self) -> tuple[FunctionalUnit, ...]:
        """The score for each unit that the job counted, beside :attr:`unit`."""
        return tuple(
            FunctionalUnit(
                name,
                count,
                self.total_g.scaled(1.0 / count)
                if self.total_g and self.total_g.bounded and count > 0
                else None,
            )
            for name, count in self.units.items()
        )

    @property
    def signal(self) -> Signal | None:
        """What its grams rest on; None where the intensity is not known."""
        return None if self.intensity is None else self.intensity.signal

    @property
    def inside_band(self) -> bool | None:
        """As in :class:`Deviation`; None also where nothing was compared."""
        compared = self.planned_against_realized
        return None if compared is None else compared.inside_band

    @property
    def first_come_baseline_g(self) -> Triple | None:
        """What it would have emitted, served in order of release."""
        return None if self.first_come is None else self.first_come.baseline_g

    @property
    def first_come_saved_g(self) -> Triple | None:
        """What was saved against that."""
        return None if self.first_come is None else self.first_come.saved_g

    @property
    def first_come_estimated(self) -> bool:
        """Whether that rests on anything that is no actual figure."""
        return self.first_come is not None and self.first_come.estimated

    @property
    def saved_percent(self) -> float | None:
        """Share of the baseline saved, on middle values; may be negative."""
        if self.baseline_g is None or self.saved_g is None or self.baseline_g.value <= 0:
            return None
        return 100.0 * self.saved_g.value / self.baseline_g.value
