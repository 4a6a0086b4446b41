"""Sums over the reports of many jobs, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.report.schema.common import figure, null_reasons, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.models import Job, Settlement


def totals(pairs: Sequence[tuple[Job, Settlement | None]]) -> dict[str, Any]:
    """Sums over what is known, with the number of jobs whose figure is not."""
    found = [s for _, s in pairs if s is not None]
    reserved = [s.reserved_kwh for s in found]
    content: dict[str, Any] = {
        "jobs": len(pairs),
        "energy_kwh": {
            "active": figure(total([s.active_kwh for s in found])),
            "reserved": figure(total(reserved)),
        },
        "operational_g": figure(total([s.operational_g for s in found])),
        "embodied_g": figure(total([s.embodied_g for s in found])),
        "total_g": figure(total([s.total_g for s in found])),
        "baseline_g": figure(total([s.baseline_g for s in found])),
        "saved_g": figure(total([s.saved_g for s in found])),
        "saved_percent": None,
        "saving_estimated": any(s.saving_estimated for s in found),
        "measured_percent": _measured(found),
    }
    saved = [(s.saved_g, s.baseline_g) for s in found if s.saved_g and s.baseline_g]
    base = sum(b.value for _, b in saved)
    if base > 0:
        content["saved_percent"] = 100.0 * sum(g.value for g, _ in saved) / base
    missing = {
        name: len(pairs) - sum(getattr(s, name) is not None for s in found)
        for name in ("reserved_kwh", "operational_g", "embodied_g", "saved_g")
    }
    content["jobs_without"] = {k: n for k, n in missing.items() if n}
    return content | {"null_reasons": null_reasons(content, {}, "known of no job here")}


def _measured(found: Sequence[Settlement]) -> float | None:
    known = [(s.measured_percent, s.reserved_kwh) for s in found]
    pairs = [(p, e.value) for p, e in known if p is not None and e is not None]
    whole = sum(kwh for _, kwh in pairs)
    return sum(p * kwh for p, kwh in pairs) / whole if whole > 0 else None
