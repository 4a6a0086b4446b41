"""JSON for programs. Triples are ``{low, value, high}``, times ISO 8601 in UTC with ``Z``; an
unknown is null and named with its reason in ``null_reasons`` of the same object.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scheduler.models import GIVEN, saving_percent
from scheduler.quantities import duration
from scheduler.report.units import redact
from scheduler.report.versions import difference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from providers.base import Triple
    from providers.series import Series
    from scheduler.models import (
        Attempt,
        Event,
        Job,
        Plan,
        QueuePlan,
        Recurrence,
        Settlement,
        Window,
    )
    from scheduler.store import Version

SCHEMA_VERSION = 1
NO_BOUND = "the queue is too long for a lower bound at every look"


def iso(moment: datetime | None) -> str | None:
    """Milliseconds only where there are any."""
    if moment is None:
        return None
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def figure(value: Triple | None) -> dict[str, float] | None:
    """A triple, or null."""
    return None if value is None else value.as_dict()


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
    reasons["assumed"] = "no duration was given"
    reasons["goes_on_at"] = "it has not paused"
    reasons["cost"] = "no price is set for the region (regions.<name>.price)"
    reasons["cost.run_now"] = "no price is set for the home region"
    return content | {"null_reasons": _reasons(content, reasons)}


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
    return content | {"null_reasons": _reasons(content, {}, why)}


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
        "saving_percent": saving_percent(plan.run_now.grams, window.grams),
        **more,
    }
    return row | {"null_reasons": _reasons(row, plan.nulls | nulls)}


def pareto_json(plan: Plan, front: Sequence[Window]) -> list[dict[str, Any]]:
    """The plans that no other beats in grams, finish and money at once, the earliest first."""
    rows = []
    for window in front:
        row = _alternative(window) | {
            "g_per_kwh": figure(window.g_per_kwh),
            "saving_percent": saving_percent(plan.run_now.grams, window.grams),
            "currency": plan.currency,
        }
        reasons = plan.nulls | {"cost": "no price is set for the region (regions.<name>.price)"}
        rows.append(row | {"null_reasons": _reasons(row, reasons)})
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


def job_json(
    job: Job, *, events: Sequence[Event] | None = None, attempts: Sequence[Attempt] | None = None
) -> dict[str, Any]:
    """A job in ``status``, ``show`` and ``why``."""
    spec = job.spec
    content: dict[str, Any] = {
        "job_id": job.id,
        "name": spec.name,
        "group": spec.group,
        "project": spec.project,
        "user": spec.user,
        "state": str(job.state),
        "reason": job.reason,
        "argv": redact(spec.argv),
        "cwd": spec.cwd,
        "region": job.region,
        "home": spec.home,
        "slots": spec.slots,
        "gpus": spec.gpus,
        "duration_s": spec.duration_s,
        "duration": _duration(job),
        "submitted_at": iso(spec.submitted_at),
        "release": iso(spec.release),
        "deadline": iso(spec.deadline),
        "start_by": iso(spec.start_by),
        "latest_safe_start": iso(spec.latest_start),
        "attempt": job.attempt,
        "started_at": iso(job.started_at),
        "ended_at": iso(job.ended_at),
        "plan": None if job.plan is None else plan_json(job.plan),
    }
    if events is not None:
        content["events"] = [{"at": iso(e.at), "kind": e.kind, "detail": e.detail} for e in events]
    if attempts is not None:
        content["attempts"] = [
            {
                "number": a.number,
                "region": a.region,
                "claimed_at": iso(a.claimed_at),
                "started_at": iso(a.started_at),
                "ended_at": iso(a.ended_at),
                "exit_code": a.exit_code,
                "signal": a.signal,
                "outcome": a.outcome,
            }
            for a in attempts
        ]
    unset = dict.fromkeys(("group", "project", "deadline", "start_by"), "not given")
    unset |= {"duration_s": "not given", "latest_safe_start": "no deadline bounds its start"}
    unset |= dict.fromkeys(("region", "plan"), "not planned yet")
    unset |= {"started_at": "not started", "ended_at": "not ended"}
    unset |= {"assumed_s": "not given", "actual_s": "it has not run to its end"}
    for i, a in enumerate(attempts or ()):
        for name in ("started_at", "ended_at", "exit_code", "signal", "outcome"):
            unset[f"attempts.{i}.{name}"] = "not known" if a.ended_at else "it has not ended"
    nested = {k: v for k, v in content.items() if k != "plan" or v is None}
    return content | {"null_reasons": _reasons(nested, unset)}


def report_json(
    job: Job,
    settlement: Settlement | None,
    *,
    zone: str | None,
    versions: Sequence[Version] = (),
) -> dict[str, Any]:
    """One job of ``report``; a job that never ran has nulls with that reason."""
    s, spec, plan = settlement, job.spec, job.plan
    met = None
    if spec.deadline is not None and job.ended_at is not None:
        met = job.ended_at <= spec.deadline
    content: dict[str, Any] = {
        "job_id": job.id,
        "name": spec.name,
        "group": spec.group,
        "project": spec.project,
        "user": spec.user,
        "state": str(job.state),
        "status": s.status if s else None,
        "region": job.region,
        "zone": zone,
        "started_at": iso(job.started_at),
        "ended_at": iso(job.ended_at),
        "duration": _duration(job),
        "deadline_met": met,
        "energy_kwh": {
            "active": figure(s.active_kwh) if s else None,
            "reserved": figure(s.reserved_kwh) if s else None,
        },
        "components": [
            {
                "name": c.name,
                "method": c.method,
                "source": c.source,
                "coverage_percent": c.coverage_percent,
                "active_kwh": figure(c.active_kwh),
                "energy_kwh": figure(c.energy_kwh),
                "facts": c.facts,
                "replayed": c.replayed,
            }
            for c in (s.components if s else ())
        ],
        "measured_percent": s.measured_percent if s else None,
        "intensity": {
            "signal": s.intensity.signal if s and s.intensity else None,
            "kind": s.intensity.kind if s and s.intensity else None,
            "source": s.intensity.source if s and s.intensity else None,
            "g_per_kwh": s.intensity.g_per_kwh.value if s and s.intensity else None,
            "bounds": figure(s.intensity.g_per_kwh) if s and s.intensity else None,
        },
        "pue": {
            "value": s.pue.value if s else None,
            "bounds": figure(s.pue) if s else None,
            "source": s.pue_source if s else None,
        },
        "operational_g": figure(s.operational_g) if s else None,
        "embodied_g": figure(s.embodied_g) if s else None,
        "total_g": figure(s.total_g) if s else None,
        "functional_unit": {
            "name": s.unit if s else spec.unit or "job",
            "count": s.unit_count if s else None,
        },
        "sci_g_per_unit": figure(s.sci_g_per_unit) if s else None,
        "basis": s.basis if s else plan.basis if plan else None,
        "planned_g": figure(plan.window.grams) if plan else None,
        "baseline_g": figure(s.baseline_g) if s else None,
        "saved_g": figure(s.saved_g) if s else None,
        "saved_percent": s.saved_percent if s else None,
        "saving_estimated": s.saving_estimated if s else None,
        "largest_uncertainty": s.largest_uncertainty if s else None,
        "conformance": [
            {"rule": r.rule, "verdict": r.met, "why": r.why} for r in (s.conformance if s else ())
        ],
        "attempts": [
            {
                "started_at": iso(a.started_at),
                "ended_at": iso(a.ended_at),
                "exit_code": a.exit_code,
                "energy_kwh": figure(a.energy_kwh),
                "attribution": a.attribution,
            }
            for a in (s.attempts if s else ())
        ],
        "settlements": _versions(versions),
        "notes": [*(s.notes if s else ()), *overrun(job)],
    }
    never = "the job has not run" if s is None else ""
    reasons: dict[str, str] = dict(s.nulls) if s else {}
    reasons |= dict.fromkeys(("group", "project"), "not given")
    reasons.setdefault("zone", f"region {job.region} has no grid zone in the config")
    reasons.setdefault(
        "deadline_met", "no deadline was given" if spec.deadline is None else "it has not ended"
    )
    reasons |= {"started_at": "it has not started", "ended_at": "it has not ended"}
    reasons |= {"assumed_s": "not given", "actual_s": "it has not run to its end"}
    reasons.setdefault("region", "not planned yet")
    for i, c in enumerate(s.components if s else ()):
        for name in ("active_kwh", "energy_kwh"):
            if f"components.{c.name}.{name}" in reasons:
                reasons[f"components.{i}.{name}"] = reasons[f"components.{c.name}.{name}"]
    reasons.setdefault("exit_code", "it has not ended, or nobody saw how")
    reasons.setdefault("energy_kwh", "no meter could be read in this attempt")
    reasons.setdefault("saved_percent", "the baseline is zero")
    if plan is not None and plan.window.grams is None:
        reasons.setdefault("planned_g", plan.nulls.get("expected_g", "the plan had no forecast"))
    return content | {"null_reasons": _reasons(content, reasons, never)}


def _versions(versions: Sequence[Version]) -> list[dict[str, Any]]:
    """Every settlement, the first one first; each ``difference`` is to the one before it."""
    said = [difference(a.settlement, b.settlement) for a, b in pairwise(versions)]
    return [
        {
            "version": v.number,
            "made_at": iso(v.made_at),
            "status": v.settlement.status,
            "operational_g": figure(v.settlement.operational_g),
            "saved_g": figure(v.settlement.saved_g),
            "difference": text,
        }
        for v, text in zip(versions, ["the first settlement", *said], strict=False)
    ]


def _duration(job: Job) -> dict[str, float | None]:
    return {"assumed_s": job.spec.duration_s, "actual_s": job.ran_s}


def overrun(job: Job) -> list[str]:
    """A line for a job that outlasted the duration it was planned with, else nothing."""
    spec, ran = job.spec, job.ran_s
    if spec.duration_s is None or ran is None:
        return []
    source = "given" if spec.duration_source == GIVEN else "learned"
    said = f"ran {duration(ran)}, longer than the {duration(spec.duration_s)} {source}"
    return [said] * (ran > spec.duration_s)


def totals(pairs: Sequence[tuple[Job, Settlement | None]]) -> dict[str, Any]:
    """Sums over what is known, with the number of jobs whose figure is not."""
    found = [s for _, s in pairs if s is not None]
    reserved = [s.reserved_kwh for s in found]
    content: dict[str, Any] = {
        "jobs": len(pairs),
        "energy_kwh": {
            "active": figure(_sum([s.active_kwh for s in found])),
            "reserved": figure(_sum(reserved)),
        },
        "operational_g": figure(_sum([s.operational_g for s in found])),
        "embodied_g": figure(_sum([s.embodied_g for s in found])),
        "total_g": figure(_sum([s.total_g for s in found])),
        "baseline_g": figure(_sum([s.baseline_g for s in found])),
        "saved_g": figure(_sum([s.saved_g for s in found])),
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
    return content | {"null_reasons": _reasons(content, {}, "known of no job here")}


def _measured(found: Sequence[Settlement]) -> float | None:
    known = [(s.measured_percent, s.reserved_kwh) for s in found]
    pairs = [(p, e.value) for p, e in known if p is not None and e is not None]
    whole = sum(kwh for _, kwh in pairs)
    return sum(p * kwh for p, kwh in pairs) / whole if whole > 0 else None


def _sum(figures: Sequence[Triple | None]) -> Triple | None:
    known = [f for f in figures if f is not None]
    total = known[0] if known else None
    for each in known[1:]:
        assert total is not None  # there is a first one
        total = total + each
    return total


def _reasons(content: Any, known: dict[str, str], default: str = "") -> dict[str, str]:
    """A reason for each null in ``content``, by its path; a parent's reason serves its parts."""
    reasons: dict[str, str] = {}
    for path in _nulls(content, ""):
        parts = path.split(".")
        named = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        found = next((known[n] for n in (*named, parts[-1]) if n in known), "")
        reasons[path] = found or default or "not known"
    return reasons


def _nulls(content: Any, path: str) -> list[str]:
    if content is None:
        return [path]
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    return [
        found
        for key, value in items
        for found in _nulls(value, f"{path}.{key}" if path else str(key))
    ]
