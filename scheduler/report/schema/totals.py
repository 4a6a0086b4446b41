"""Sums over the reports of many jobs, as JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from providers.base import Triple
from scheduler.models import Figures, JobState
from scheduler.report.schema.common import figure, null_reasons

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.models import Settlement

_SAVING = ("baseline_g", "saved_g")
_SPENT = tuple(
    field.name
    for field in fields(Figures)
    if field.name.endswith(("_kwh", "_g")) and field.name not in _SAVING
)


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
    figures: Settlement | Figures | None


class _Sum:
    """One sum that grows, and the jobs that are not in it."""

    def __init__(self) -> None:
        self.found: Triple | None = None
        self.left_out: list[str] = []

    def add(self, job_id: str, figure: Triple | None) -> None:
        if figure is None:
            self.left_out.append(job_id)
        else:
            self.found = figure if self.found is None else self.found + figure


class _Savings:
    """What jobs saved, of those whose saving is known."""

    def __init__(self) -> None:
        self.jobs, self.estimated = 0, False
        self.sums = {name: _Sum() for name in _SAVING}
        self._saved_g = self._baseline_g = 0.0

    def add(self, cost: JobCost) -> None:
        self.jobs += 1
        spent = cost.figures
        for name, each in self.sums.items():
            each.add(cost.job_id, None if spent is None else getattr(spent, name))
        if spent is not None and spent.saved_g is not None and spent.baseline_g is not None:
            self.estimated = self.estimated or spent.saving_estimated
            self._saved_g += spent.saved_g.value
            self._baseline_g += spent.baseline_g.value

    def as_json(self) -> dict[str, Any]:
        above = self._baseline_g > 0
        return {
            **{name: figure(each.found) for name, each in self.sums.items()},
            "saved_percent": 100.0 * self._saved_g / self._baseline_g if above else None,
            "saving_estimated": self.estimated,
        }


class Totals:
    """Sums that grow job by job, so that as many may be added as there are.

    What a job saved that failed, was cancelled or was lost stands apart: a failure saves nothing.
    """

    def __init__(self) -> None:
        self._jobs = 0
        self._sums = {name: _Sum() for name in _SPENT}
        self._savings, self._unsuccessful = _Savings(), _Savings()
        # Percent measured times kWh, of how many.
        self._measured = self._judged_kwh = 0.0

    def add(self, cost: JobCost) -> None:
        """Count a job with what it has cost."""
        self._jobs += 1
        spent = cost.figures
        for name, each in self._sums.items():
            each.add(cost.job_id, None if spent is None else getattr(spent, name))
        failed = cost.state.ended and cost.state is not JobState.SUCCEEDED
        (self._unsuccessful if failed else self._savings).add(cost)
        if spent is not None and spent.measured_percent is not None and spent.reserved_kwh:
            self._measured += spent.measured_percent * spent.reserved_kwh.value
            self._judged_kwh += spent.reserved_kwh.value

    def as_json(self) -> dict[str, Any]:
        """Sums over what is known; ``left_out`` names the jobs that each of them lacks."""
        sums = {name: figure(each.found) for name, each in self._sums.items()}
        apart = {"jobs": self._unsuccessful.jobs} | self._unsuccessful.as_json()
        content: dict[str, Any] = {
            "jobs": self._jobs,
            "energy_kwh": {"active": sums.pop("active_kwh"), "reserved": sums.pop("reserved_kwh")},
            **sums,
            **self._savings.as_json(),
            "measured_percent": self._measured / self._judged_kwh if self._judged_kwh > 0 else None,
            "unsuccessful": apart if self._unsuccessful.jobs else None,
        }
        lacking = {n: s.left_out for n, s in (self._sums | self._savings.sums).items()}
        content["jobs_without"] = {
            name: len(lacking[name])
            for name in ("reserved_kwh", "operational_g", "embodied_g", "saved_g")
            if lacking[name]
        }
        content["left_out"] = {name: ids for name, ids in lacking.items() if ids}
        why = {"unsuccessful": "no job here failed, was cancelled or was lost"}
        return content | {"null_reasons": null_reasons(content, why, "known of no job here")}


def totals(pairs: Iterable[tuple[HasState, Settlement | None]]) -> dict[str, Any]:
    """The sums over all of them."""
    sums = Totals()
    for job, settlement in pairs:
        sums.add(JobCost(job.id, job.state, settlement))
    return sums.as_json()
