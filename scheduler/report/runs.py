"""Runs side by side: what each spent, what it reached, and which ones nothing beats."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from providers.base import JOULES_PER_KWH, Triple
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.report.unsettled import unsettled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.models import Job, Settlement

Better = Literal["higher", "lower"]
Against = Literal["total_g", "operational_g", "energy_kwh"]
# What a ranking may count, the most telling first.
AGAINST: tuple[Against, ...] = ("total_g", "operational_g", "energy_kwh")


@dataclass(frozen=True, slots=True)
class Basis:
    """What figures rest on; those of different ones differ by themselves.

    ``components`` are the kinds whose energy is known (``cpu``, ``dram``, ``gpu``), ``missing``
    those that were held but not read, ``embodied`` whether M is known. That one run holds a
    GPU and another none is no difference in boundary: both count what they held.
    """

    signal: str | None
    components: tuple[str, ...]
    missing: tuple[str, ...]
    embodied: bool

    @property
    def key(self) -> tuple[object, ...]:
        """What must be the same for two runs to be ranked against each other."""
        return self.signal, self._always, self.missing

    @property
    def _always(self) -> tuple[str, ...]:
        return tuple(name for name in self.components if name != "gpu")

    def differs(self, other: Basis, against: Against) -> tuple[str, ...]:
        """In what it is another than ``other``, as far as ``against`` counts it; in words."""
        said = []
        if against != "energy_kwh" and self.signal != other.signal:
            said.append(f"signal: {self.signal}, not {other.signal}")
        if self._always != other._always:
            said.append(f"energy of {_list(self._always)}, not of {_list(other._always)}")
        if self.missing != other.missing:
            said.append(f"not read: {_list(self.missing)}, not {_list(other.missing)}")
        return tuple(said)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"


@dataclass(frozen=True, slots=True)
class Run:
    """One job of a comparison; ``pareto`` None where it is not ranked, ``why`` says why not."""

    job: Job
    settlement: Settlement | None
    differs: tuple[str, ...] = ()
    pareto: bool | None = None
    why: str = ""

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last value of each metric that it wrote."""
        return self.settlement.metrics if self.settlement is not None else {}

    @property
    def basis(self) -> Basis:
        """What its figures rest on."""
        s = self.settlement
        parts = s.components if s is not None else ()
        kinds = [(c.name.split(":")[0], c.energy_kwh is not None) for c in parts]
        return Basis(
            signal=s.intensity.signal if s is not None and s.intensity is not None else None,
            components=tuple(sorted({kind for kind, known in kinds if known})),
            missing=tuple(sorted({kind for kind, known in kinds if not known})),
            embodied=s is not None and s.embodied_g is not None,
        )

    @property
    def power_w(self) -> Triple | None:
        """Reserved energy over the time really run."""
        s, ran_s = self.settlement, self.job.ran_s
        if s is None or s.reserved_kwh is None or not ran_s or ran_s <= 0:
            return None
        return s.reserved_kwh.scaled(JOULES_PER_KWH / ran_s)

    def spent(self, against: Against) -> Triple | None:
        """Its grams, or its reserved energy."""
        if self.settlement is None:
            return None
        name = "reserved_kwh" if against == "energy_kwh" else against
        found: Triple | None = getattr(self.settlement, name)
        return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs, and what they were ranked by: ``metric`` (None: not at all) ``against`` what."""

    runs: tuple[Run, ...]
    metric: str | None = None
    better: Better = "higher"
    against: Against | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def ranked(self) -> list[Run]:
        """The runs that could be ranked."""
        return [run for run in self.runs if run.pareto is not None]


def compare(runs: Sequence[Run], metric: str | None, better: Better) -> Comparison:
    """Rank ``runs`` by ``metric`` against grams, or energy where grams are not known of all.

    Ranked are succeeded runs that have the metric and stand on the basis of most of them (of
    the first ones, where no basis has more); every other one says why it is not.
    :class:`UsageError` where no run has the metric.
    """
    if metric is not None and not any(metric in run.metrics for run in runs):
        known = ", ".join(sorted({name for run in runs for name in run.metrics})) or "none"
        raise UsageError(f"no run here wrote metric.{metric}=... to $LOWTIDE_UNITS; known: {known}")
    fit = [run for run in runs if not _unfit(run, metric)]
    against = next((a for a in AGAINST if fit and all(r.spent(a) for r in fit)), None)
    counted = Counter(run.basis.key for run in fit or runs)
    common = max((run.basis for run in fit or runs), key=lambda basis: counted[basis.key])
    # Beside one another, all differences are told; a ranking by energy does not count them all.
    told = [replace(r, differs=r.basis.differs(common, against or "total_g")) for r in runs]
    if metric is None:
        return Comparison(tuple(told), notes=_notes(told, None))
    placed = [replace(r, why=_unfit(r, metric) or _unlike(r, against)) for r in told]
    ranked = [r for r in placed if not r.why]
    done = [r if r.why else _placed(r, ranked, metric, better, against) for r in placed]
    return Comparison(tuple(done), metric, better, against, _notes(done, against))


def _unfit(run: Run, metric: str | None) -> str:
    if run.settlement is None:
        return unsettled(run.job)
    if metric is not None and run.job.state is not JobState.SUCCEEDED:
        return f"it has not succeeded: {run.job.state}"
    if metric is not None and metric not in run.metrics:
        return f"it wrote no metric.{metric}=... to $LOWTIDE_UNITS"
    energy = run.spent("energy_kwh")
    if energy is None:
        return "its energy is not known"
    return "" if energy.bounded else "its energy has no upper bound: not all of it was read"


def _unlike(run: Run, against: Against | None) -> str:
    assert against is not None  # the energy of every fit run is known
    return f"another basis: {'; '.join(run.differs)}" if run.differs else ""


def _placed(
    run: Run, ranked: Sequence[Run], metric: str, better: Better, against: Against | None
) -> Run:
    sign = -1.0 if better == "higher" else 1.0
    assert against is not None  # there is a ranked run

    def at(each: Run) -> tuple[float, float]:
        spent = each.spent(against)
        assert spent is not None  # else another figure had been chosen
        return sign * each.metrics[metric], spent.value

    mine = at(run)
    beaten = any(
        other[0] <= mine[0] and other[1] <= mine[1] and other != mine for other in map(at, ranked)
    )
    return replace(run, pareto=not beaten)


def _notes(runs: Sequence[Run], against: Against | None) -> tuple[str, ...]:
    """What a reader must know before drawing a conclusion."""
    notes = []
    if against == "operational_g":
        notes.append("embodied carbon is not known of every run: operational carbon is compared")
    if against == "energy_kwh":
        notes.append("CO2e is not known of every run: energy is compared")
    found = [r.settlement for r in runs if r.settlement is not None]
    told = {f"{s.intensity.kind} of {s.intensity.source}" for s in found if s.intensity}
    if len(told) > 1:
        notes.append(f"intensities are of several kinds: {'; '.join(sorted(told))}")
    methods: dict[str, set[str]] = {}
    for c in (c for s in found for c in s.components if c.energy_kwh is not None):
        methods.setdefault(c.name.split(":")[0], set()).add(c.method)
    notes += [
        f"energy of {kind} is {' in some runs, '.join(sorted(how))} in others"
        for kind, how in methods.items()
        if len(how) > 1
    ]
    units = {s.unit for s in found}
    if len(units) > 1:
        notes.append(f"scores are per different units: {', '.join(sorted(units))}")
    if any(s.status == "provisional" for s in found):
        notes.append("some settlements are provisional: actual intensities are still to come")
    return tuple(notes)
