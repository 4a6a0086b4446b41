"""Sums over the reports of many jobs, as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from providers.base import BAND_PERCENT, Triple
from scheduler.models import Figures, JobState
from scheduler.report.schema.common import figure, null_reasons

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.models import Bounds, Settlement

# What sums over jobs save against: the same jobs on the same slots, served in order of release.
BASELINE = "first come, first served on the same slots"
_SAVING = ("baseline_g", "saved_g")
_SPENT = ("active_kwh", "reserved_kwh", "operational_g", "embodied_g", "total_g")
# Grams of jobs that are settled on different signals are no sum.
_BY_SIGNAL = ("operational_g", "total_g", *_SAVING, "saved_percent")


class HasState(Protocol):
    """A job, as far as sums must know it."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def state(self) -> JobState:
        """Its state."""
        ...


class JobCost(NamedTuple):
    """A job with what it has cost; None where that is not known."""

    job_id: str
    state: JobState
    figures: Figures | None

    @classmethod
    def of(cls, job: HasState, settlement: Settlement | None) -> JobCost:
        """The cost of a job by its settlement."""
        return cls(job.id, job.state, None if settlement is None else Figures.of(settlement))


class _Sum:
    """One sum that grows, and the jobs that are not in it."""

    def __init__(self) -> None:
        self._low = self._value = self._high = 0.0
        self._known = False
        self.left_out: list[str] = []

    def add(self, job_id: str, figure: Bounds | None) -> None:
        if figure is None:
            self.left_out.append(job_id)
            return
        self._known = True
        low, value, high = figure
        self._low += low
        self._value += value
        self._high += high

    @property
    def found(self) -> Triple | None:
        return Triple(self._low, self._value, self._high) if self._known else None


class _Savings:
    """What jobs saved, of those whose saving is known."""

    def __init__(self) -> None:
        self.job_ids: list[str] = []
        self.estimated = False
        self.sums = {name: _Sum() for name in _SAVING}

    def add(self, cost: JobCost) -> None:
        self.job_ids.append(cost.job_id)
        spent = cost.figures
        for name, each in self.sums.items():
            each.add(cost.job_id, None if spent is None else getattr(spent, f"first_come_{name}"))
        if spent is not None and spent.first_come_saved_g is not None:
            self.estimated = self.estimated or spent.first_come_estimated

    def as_json(self) -> dict[str, Any]:
        baseline, saved = (each.found for each in self.sums.values())
        percent = None
        if baseline is not None and saved is not None and baseline.value > 0:
            percent = 100.0 * saved.value / baseline.value
        return {
            "baseline_g": figure(baseline),
            "saved_g": figure(saved),
            "saved_percent": percent,
            "saving_estimated": self.estimated,
        }


NO_BAND = {"inside_percent": "no job here has a calibrated band and a known actual intensity"}
OPEN = {"high": "of a job in the sum no upper bound is known"}


class Totals:
    """Sums that grow job by job, so that as many may be added as there are.

    What a job saved that failed, was cancelled or was lost stands apart: a failure saves nothing.
    """

    def __init__(self) -> None:
        self._jobs = self._within = 0
        self._sums = {name: _Sum() for name in _SPENT}
        self._savings, self._unsuccessful = _Savings(), _Savings()
        self._signals: Counter[str] = Counter()
        # Percent measured times kWh, of how many.
        self._measured = self._judged_kwh = 0.0
        # Runs whose plan had a calibrated band, and how many actuals lay inside.
        self._banded = self._inside = 0

    def add(self, cost: JobCost, *, inner: bool = False) -> None:
        """Count a job with what it has cost; ``inner``: it ran within a job that is counted here,
        with what this one cost.
        """
        self._jobs += 1
        if inner:
            self._within += 1
            return
        spent = cost.figures
        for name, each in self._sums.items():
            each.add(cost.job_id, None if spent is None else getattr(spent, name))
        if spent is not None and spent.signal is not None:
            self._signals[spent.signal] += 1
        if spent is not None and spent.inside_band is not None:
            self._banded += 1
            self._inside += spent.inside_band
        failed = cost.state.ended and cost.state is not JobState.SUCCEEDED
        (self._unsuccessful if failed else self._savings).add(cost)
        if spent is not None and spent.measured_percent is not None and spent.reserved_kwh:
            _, reserved_kwh, _ = spent.reserved_kwh
            self._measured += spent.measured_percent * reserved_kwh
            self._judged_kwh += reserved_kwh

    def as_json(self) -> dict[str, Any]:
        """Sums over what is known; ``left_out`` names the jobs that each of them lacks."""
        sums = {name: figure(each.found) for name, each in self._sums.items()}
        apart = {"job_ids": self._unsuccessful.job_ids} | self._unsuccessful.as_json()
        content: dict[str, Any] = {
            "jobs": self._jobs,
            "jobs_within": self._within,
            "energy_kwh": {"active": sums.pop("active_kwh"), "reserved": sums.pop("reserved_kwh")},
            **sums,
            **self._savings.as_json(),
            "measured_percent": min(100.0, self._measured / self._judged_kwh)
            if self._judged_kwh > 0
            else None,
            "planned_band": {
                "runs": self._banded,
                "inside": self._inside,
                "inside_percent": 100.0 * self._inside / self._banded if self._banded else None,
                "aim_percent": BAND_PERCENT,
            },
            "baseline": BASELINE,
            "unsuccessful": apart if self._unsuccessful.job_ids else None,
        }
        lacking = {n: s.left_out for n, s in (self._sums | self._savings.sums).items()}
        content["jobs_without"] = {
            name: len(lacking[name])
            for name in ("reserved_kwh", "operational_g", "embodied_g", "saved_g")
            if lacking[name]
        }
        why = {**OPEN, **NO_BAND, "unsuccessful": "no job here failed, was cancelled or was lost"}
        if len(self._signals) > 1:
            mixed = ", ".join(f"{n} on {signal}" for signal, n in sorted(self._signals.items()))
            content |= dict.fromkeys(_BY_SIGNAL)
            why |= dict.fromkeys(
                _BY_SIGNAL, f"jobs are settled on several signals ({mixed}), which are not summed"
            )
            if content["unsuccessful"] is not None:
                content["unsuccessful"] |= dict.fromkeys(_SAVING) | {"saved_percent": None}
        reasons = null_reasons(content, why, "known of no job here")
        left_out = {name: ids for name, ids in lacking.items() if ids}
        return content | {"left_out": left_out, "null_reasons": reasons}


def outermost(pairs: Iterable[tuple[HasState, Settlement | None]]) -> list[Settlement | None]:
    """What the jobs cost, without those that ran within another one of them."""
    found = list(pairs)
    ids = {job.id for job, _ in found}
    return [s for _, s in found if s is None or s.within not in ids]


def totals(pairs: Iterable[tuple[HasState, Settlement | None]]) -> dict[str, Any]:
    """The sums over all of them."""
    sums, found = Totals(), list(pairs)
    ids = {job.id for job, _ in found}
    for job, settlement in found:
        inner = settlement is not None and settlement.within in ids
        sums.add(JobCost.of(job, settlement), inner=inner)
    return sums.as_json()
