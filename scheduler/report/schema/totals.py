"""Sums over the reports of many jobs, as JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from providers.base import Triple
from scheduler.models import Figures
from scheduler.report.schema.common import figure, null_reasons

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.models import Job, Settlement

_NAMES = tuple(field.name for field in fields(Figures) if field.name.endswith(("_kwh", "_g")))

OPEN = {"high": "of a job in the sum no upper bound is known"}


class Totals:
    """Sums that grow job by job, so that as many may be added as there are."""

    def __init__(self) -> None:
        self._jobs, self._within, self._estimated = 0, 0, False
        self._sums: dict[str, Triple | None] = dict.fromkeys(_NAMES)
        self._known = dict.fromkeys(_NAMES, 0)
        # Grams saved of how many; percent measured times kWh, of how many.
        self._saved_g = self._baseline_g = self._measured = self._judged_kwh = 0.0

    def add(self, found: Settlement | Figures | None, *, inner: bool = False) -> None:
        """Count a job with what it has cost; None: that is not known. ``inner``: it ran within a
        job that is counted here, with what this one cost.
        """
        self._jobs += 1
        if found is None:
            return
        if inner:
            self._within += 1
            return
        self._estimated = self._estimated or found.saving_estimated
        for name in _NAMES:
            known, before = getattr(found, name), self._sums[name]
            if known is not None:
                self._known[name] += 1
                self._sums[name] = known if before is None else before + known
        if found.saved_g is not None and found.baseline_g is not None:
            self._saved_g += found.saved_g.value
            self._baseline_g += found.baseline_g.value
        if found.measured_percent is not None and found.reserved_kwh is not None:
            self._measured += found.measured_percent * found.reserved_kwh.value
            self._judged_kwh += found.reserved_kwh.value

    def as_json(self) -> dict[str, Any]:
        """Sums over what is known, with the number of jobs whose figure is not."""
        sums = {name: figure(found) for name, found in self._sums.items()}
        above, judged = self._baseline_g > 0, self._judged_kwh > 0
        content: dict[str, Any] = {
            "jobs": self._jobs,
            "jobs_within": self._within,
            "energy_kwh": {"active": sums.pop("active_kwh"), "reserved": sums.pop("reserved_kwh")},
            **sums,
            "saved_percent": 100.0 * self._saved_g / self._baseline_g if above else None,
            "saving_estimated": self._estimated,
            "measured_percent": self._measured / self._judged_kwh if judged else None,
        }
        missing = {
            name: self._jobs - self._within - self._known[name]
            for name in ("reserved_kwh", "operational_g", "embodied_g", "saved_g")
        }
        content["jobs_without"] = {k: n for k, n in missing.items() if n}
        return content | {"null_reasons": null_reasons(content, OPEN, "known of no job here")}


def outermost(pairs: Iterable[tuple[Job, Settlement | None]]) -> list[Settlement | None]:
    """What the jobs cost, without those that ran within another one of them."""
    found = list(pairs)
    ids = {job.id for job, _ in found}
    return [s for _, s in found if s is None or s.within not in ids]


def totals(pairs: Iterable[tuple[Job, Settlement | None]]) -> dict[str, Any]:
    """The sums over all of them."""
    sums, found = Totals(), list(pairs)
    ids = {job.id for job, _ in found}
    for _, settlement in found:
        sums.add(settlement, inner=settlement is not None and settlement.within in ids)
    return sums.as_json()
