"""The SCI report of a job as JSON."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scheduler import sci
from scheduler.report.schema.common import figure, iso, null_reasons
from scheduler.report.schema.evidence import evidence_json, sealed
from scheduler.report.schema.job import durations, overrun
from scheduler.report.unsettled import unsettled
from scheduler.report.versions import difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.models import FirstCome, HardwareUsed, Job, Settlement
    from scheduler.store import Version

NOT_RECORDED = "not recorded: it was settled before lowtide recorded the place"
NO_ZONE = "its region had no grid zone in the config"
NO_EVIDENCE = "it was settled before lowtide kept what a settlement is computed from"


def report_json(
    job: Job,
    settlement: Settlement | None,
    *,
    versions: Sequence[Version] = (),
) -> dict[str, Any]:
    """One job of ``report``; a job that never ran has nulls with that reason."""
    s, spec, plan = settlement, job.spec, job.plan
    content: dict[str, Any] = {
        "job_id": job.id,
        "name": spec.name,
        "group": spec.group,
        "project": spec.project,
        "user": spec.user,
        "state": str(job.state),
        "status": s.status if s else None,
        "region": job.region,
        "zone": s.place.zone if s and s.place else None,
        "started_at": iso(job.started_at),
        "ended_at": iso(job.ended_at),
        "duration": durations(job),
        "deadline_met": job.deadline_met,
        "planned_g": figure(plan.window.grams) if plan else None,
        **settled_json(s),
        "settlements": _versions(versions),
        "evidence": evidence_json(s.evidence) if s and s.evidence else None,
        "notes": [*(s.notes if s else ()), *overrun(job)],
    }
    if s is None:
        content["functional_unit"]["name"] = sci.unit_name(spec.unit or "job")
        content["basis"] = plan.basis if plan else None
    never = unsettled(job, "the job") if s is None else ""
    content["null_reasons"] = null_reasons(content, _reasons(job, s), never)
    return content if content["evidence"] is None else sealed(content)


def settled_json(s: Settlement | None) -> dict[str, Any]:
    """All of a report that comes from the settlement, and from nothing that was asked for."""
    return {
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
            "factors": s.intensity.factors if s and s.intensity else None,
            "flow": s.intensity.flow if s and s.intensity else None,
            "step_s": s.intensity.step_s if s and s.intensity else None,
            "g_per_kwh": s.intensity.g_per_kwh.value if s and s.intensity else None,
            "bounds": figure(s.intensity.g_per_kwh) if s and s.intensity else None,
        },
        "pue": {
            "value": s.pue.value if s else None,
            "bounds": figure(s.pue) if s else None,
            "source": s.pue_source if s else None,
        },
        "water": {
            "litres": figure(s.water.litres),
            "l_per_kwh": figure(s.water.use.l_per_kwh),
            "source": s.water.use.source,
            "boundary": "on site, location-based",
        }
        if s and s.water
        else None,
        "operational_g": figure(s.operational_g) if s else None,
        "embodied_g": figure(s.embodied_g) if s else None,
        "hardware": _hardware(s.hardware) if s and s.hardware else None,
        "total_g": figure(s.total_g) if s else None,
        "functional_unit": {
            "name": s.unit if s else None,
            "count": s.unit_count if s else None,
        },
        "unit_counted": "gross",
        "unit_rationale": (s.unit_rationale or None) if s else None,
        "sci_g_per_unit": figure(s.sci_g_per_unit) if s else None,
        "functional_units": [
            {"name": u.name, "count": u.count, "sci_g_per_unit": figure(u.sci_g_per_unit)}
            for u in (s.functional_units if s else ())
        ],
        "metrics": s.metrics if s else None,
        "basis": s.basis if s else None,
        "within": s.within if s else None,
        "planned_against_realized": _deviation(s),
        "baseline_g": figure(s.baseline_g) if s else None,
        "saved_g": figure(s.saved_g) if s else None,
        "saved_percent": s.saved_percent if s else None,
        "saving_estimated": s.saving_estimated if s else None,
        "first_come": _first_come(s.first_come if s else None),
        "largest_uncertainty": s.largest_uncertainty if s else None,
        "uncertainty": [asdict(c) for c in (s.uncertainty if s else ())],
        "uncertainty_rule": sci.RULE,
        "boundary": _boundary(s),
        "methodology": list(sci.methodology(s)) if s else None,
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
    }


def _reasons(job: Job, s: Settlement | None) -> dict[str, str]:
    """Why each figure that may be null is."""
    plan = job.plan
    reasons: dict[str, str] = dict(s.nulls) if s else {}
    if s is not None:
        reasons.setdefault("planned_against_realized", "settled before it was told")
        reasons.setdefault("water", "it was settled before lowtide counted water")
        apart = "its source does not tell boards apart, or it has none"
        machines = ("hardware", "evidence.site.hardware", "evidence.home.hardware")
        reasons |= {
            f"{at}.{name}": apart for at in machines for name in ("boards_kg", "boards_share")
        }
        if s.first_come is None:
            reasons.setdefault("first_come", "settled before it was computed")
        reasons.setdefault("hardware", "it was settled before lowtide noted the machine")
    reasons |= dict.fromkeys(
        ("low_g", "high_g"), reasons.get("operational_g", "no grams are known")
    )
    for i, u in enumerate(s.functional_units if s else ()):
        if u.count <= 0:
            reasons[f"functional_units.{i}.sci_g_per_unit"] = "its count is not above zero"
    reasons |= dict.fromkeys(("group", "project"), "not given")
    if s is not None:
        reasons["zone"] = NO_ZONE if s.place else NOT_RECORDED
        reasons |= _evidence_reasons(s)
    reasons["deadline_met"] = job.no_verdict
    reasons |= {"started_at": "it has not started", "ended_at": "it has not ended"}
    reasons |= {"assumed_s": "not given", "actual_s": "it has not run to its end"}
    reasons.setdefault("region", "not planned yet")
    reasons |= {"step_s": "for how long its values hold is not known"}
    reasons |= {"within": "it did not run within another job of its queue"}
    reasons |= {"unit_rationale": "not given: --unit-rationale TEXT"}
    reasons |= {"factors": "its source does not state them", "flow": "its source does not state it"}
    for i, c in enumerate(s.components if s else ()):
        for name in ("active_kwh", "energy_kwh"):
            if f"components.{c.name}.{name}" in reasons:
                reasons[f"components.{i}.{name}"] = reasons[f"components.{c.name}.{name}"]
    reasons.setdefault("exit_code", "it has not ended, or nobody saw how")
    reasons.setdefault("energy_kwh", "no meter could be read in this attempt")
    reasons.setdefault("saved_percent", "the baseline is zero")
    if plan is None:
        reasons.setdefault("planned_g", "it was not planned")
    elif plan.window.grams is None:
        reasons.setdefault("planned_g", plan.nulls.get("expected_g", "the plan had no forecast"))
    return reasons


def _evidence_reasons(s: Settlement) -> dict[str, str]:
    """Why parts of the evidence are not there."""
    if s.evidence is None:
        return {"evidence": NO_EVIDENCE}
    at = "evidence"
    found = {
        f"{at}.unit": "none was named: R is the job",
        f"{at}.home_intensity": s.nulls.get("baseline_g", ""),
        f"{at}.first_come": s.nulls.get("first_come", ""),
        f"{at}.first_come.intensity": s.nulls.get("first_come", ""),
        f"{at}.planned": s.nulls.get("planned_against_realized", ""),
        f"{at}.site.hardware": s.nulls.get("hardware", ""),
        f"{at}.planned.band_g_per_kwh": sci.NOT_CALIBRATED,
        f"{at}.home.hardware": "no hardware is counted there",
        f"{at}.home.water": "no use of water is known there",
        f"{at}.site.water": s.nulls.get("water", ""),
        "ended_s": "it has not ended",
        "journal": "it has left none that could be read",
    }
    for i in range(len(s.evidence.attempts)):
        found[f"{at}.attempts.{i}.stops"] = "it was still stopped at the end"
    return {path: why for path, why in found.items() if why}


def _first_come(found: FirstCome | None) -> dict[str, Any]:
    return {
        "start": iso(found.start) if found else None,
        "baseline_g": figure(found.baseline_g) if found else None,
        "saved_g": figure(found.saved_g) if found else None,
        "saved_percent": found.saved_percent if found else None,
        "estimated": found.estimated if found else None,
    }


def _deviation(s: Settlement | None) -> dict[str, Any] | None:
    """Both sides are operational carbon, whatever the basis of the plan."""
    if s is None or s.planned_against_realized is None:
        return None
    d = s.planned_against_realized
    sides = {"basis": "operational", "difference_g": d.difference_g} | asdict(d)
    return sides | {"band_g_per_kwh": figure(d.band_g_per_kwh)}


def _boundary(s: Settlement | None) -> dict[str, list[str]] | None:
    if s is None:
        return None
    limits = sci.boundary(s)
    return {"in": list(limits.inside), "out": list(limits.outside)}


def _hardware(used: HardwareUsed) -> dict[str, Any]:
    return {
        "source": used.source,
        "total_kg": figure(used.total_kg),
        "lifespan_h": used.lifespan_h,
        "lifespan_source": used.lifespan_source,
        "slots": used.slots,
        "gpus": used.gpus,
        "reserved_share": used.reserved_share,
        "reserved_share_source": used.reserved_share_source,
        "boards_kg": figure(used.boards_kg),
        "boards_share": used.boards_share,
    }


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
