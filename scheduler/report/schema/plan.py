"""Plans, the queue, series of jobs and of intensity, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.base import BAND_PERCENT
from scheduler.report.schema.common import figure, iso, null_reasons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.series import Series
    from scheduler.models import Plan, QueuePlan, Recurrence, Window

NO_BOUND = (
    "no lower bound is known: the queue is too long, or only a part of it was planned at once"
)


def plan_json(plan: Plan) -> dict[str, Any]:
    """The ``plan`` object of ``submit`` and ``plan``."""
    window, watts = plan.window, plan.power.watts
    content = {
        "region": window.region,
        "start": iso(window.start),
        "end": iso(window.end),
        "segments": [
            {"region": window.region, "start": iso(start), "end": iso(end)}
            for start, end in window.spans
        ],
        "goes_on_at": iso(plan.goes_on_at),
        "basis": plan.basis,
        "expected_g": figure(window.grams),
        "g_per_kwh": figure(window.g_per_kwh),
        "band_percent": BAND_PERCENT if window.calibrated else None,
        "run_now_g": figure(plan.run_now.grams),
        "saving_percent": plan.saving_percent,
        "signal": plan.signal,
        "power": {
            "value_w": None if watts is None else watts.value,
            "low_w": None if watts is None else watts.low,
            "high_w": None if watts is None else watts.high,
            "source": plan.power.source,
            "detail": plan.power.detail,
        },
        "assumed": {
            "duration_s": plan.duration_s,
            "duration_source": None if plan.duration_s is None else plan.duration_source,
        },
        "forecast": {"source": plan.forecast_source, "issued_at": iso(plan.forecast_issued_at)},
        "latest_safe_start": iso(plan.latest_safe_start),
        "cost": None
        if window.cost is None
        else {"value": window.cost, "run_now": plan.run_now.cost, "currency": plan.currency},
        "reason": plan.reason,
        "alternatives": [_alternative(w) | {"told": w.told} for w in plan.alternatives],
    }
    reasons = {k.replace("power.value_w", "power"): v for k, v in plan.nulls.items()}
    reasons.setdefault("latest_safe_start", "no deadline bounds its start")
    for name in ("g_per_kwh", "band_percent"):
        reasons.setdefault(name, plan.nulls.get("expected_g", "planned before it was noted"))
    reasons["assumed"] = "no duration was given"
    reasons["goes_on_at"] = "it has not paused"
    reasons["cost"] = "no price is set for the region (regions.<name>.price)"
    reasons["cost.run_now"] = "no price is set for the home region"
    return content | {"null_reasons": null_reasons(content, reasons)}


def recurrence_json(series: Recurrence) -> dict[str, Any]:
    """A job that repeats; ``next`` is the first occurrence that is no job yet."""
    return {
        "id": series.id,
        "name": series.template.name,
        "every": series.every,
        "tz": series.tz,
        "within_s": series.within_s,
        "next": iso(series.next),
    }


def queue_json(queue: QueuePlan | None) -> dict[str, Any]:
    """How near the plans of the whole queue are to the best possible."""
    content = {
        "made_at": iso(queue.made_at) if queue else None,
        "jobs": queue.jobs if queue else 0,
        "together": queue.together if queue else False,
        "late": queue.late if queue else 0,
        "cost_g": queue.cost_g if queue else None,
        "lower_bound_g": queue.lower_bound_g if queue else None,
        "gap_percent": queue.gap_percent if queue else None,
    }
    why = "the queue was not looked at yet"
    if queue is not None:
        why = NO_BOUND if queue.lower_bound_g is None else "the lower bound is zero"
        if queue.cost_g is None:
            why = "the power of a job in the queue is not known"
    return content | {"null_reasons": null_reasons(content, {}, why)}


def _alternative(window: Window) -> dict[str, Any]:
    return {
        "region": window.region,
        "start": iso(window.start),
        "end": iso(window.end),
        "segments": [{"start": iso(start), "end": iso(end)} for start, end in window.spans],
        "expected_g": figure(window.grams),
        "cost": window.cost,
        "dispatchable": window.dispatchable,
    }


def ranked_json(
    window: Window, plan: Plan, more: dict[str, Any], nulls: dict[str, str]
) -> dict[str, Any]:
    """A region with its best window, and ``more`` of it; ``nulls`` are reasons of its own."""
    row = _alternative(window) | {
        "g_per_kwh": figure(window.g_per_kwh),
        "saving_percent": plan.saving_of(window),
        **more,
    }
    return row | {"null_reasons": null_reasons(row, _nulls(plan, window) | nulls)}


def _nulls(plan: Plan, window: Window) -> dict[str, str]:
    """Why something of a window beside the plan's own is not known."""
    other = plan.run_now.other_accounting(window)
    return plan.nulls | ({"saving_percent": other} if other else {})


def pareto_json(plan: Plan, front: Sequence[Window]) -> list[dict[str, Any]]:
    """The plans that no other beats in grams, finish and money at once, the earliest first."""
    rows = []
    for window in front:
        row = _alternative(window) | {
            "g_per_kwh": figure(window.g_per_kwh),
            "saving_percent": plan.saving_of(window),
            "currency": plan.currency,
        }
        reasons = _nulls(plan, window) | {
            "cost": "no price is set for the region (regions.<name>.price)"
        }
        rows.append(row | {"null_reasons": null_reasons(row, reasons)})
    return rows


def series_json(series: Series) -> dict[str, Any]:
    """A series as intervals; holes are simply not there."""
    from providers.series import from_unix

    columns = (series.starts, series.ends, series.g_per_kwh, series.low, series.high)
    return {
        "zone": series.zone,
        "signal": series.signal,
        "kind": series.kind,
        "source": series.source,
        "factors": series.factors,
        "flow": series.flow,
        "issued_at": iso(series.issued_at),
        "intervals": [
            {
                "start": iso(from_unix(start)),
                "end": iso(from_unix(end)),
                "g_per_kwh": {"low": low, "value": value, "high": high},
                "source": source,
            }
            for start, end, value, low, high, source in zip(
                *(c.tolist() for c in columns), series.sources.tolist(), strict=True
            )
        ],
    }
