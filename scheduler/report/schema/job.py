"""A job as JSON: what was asked for, where it stands, what happened to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.models import GIVEN
from scheduler.quantities import duration
from scheduler.report.redaction import redact
from scheduler.report.schema.common import iso, null_reasons
from scheduler.report.schema.plan import plan_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.models import Attempt, Damaged, Event, Job
    from scheduler.store import Listing


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
        "duration": durations(job),
        "submitted_at": iso(spec.submitted_at),
        "release": iso(spec.release),
        "deadline": iso(spec.deadline),
        "start_by": iso(spec.start_by),
        "latest_safe_start": iso(spec.latest_start),
        "attempt": job.attempt,
        "started_at": iso(job.started_at),
        "ended_at": iso(job.ended_at),
        "pruned_at": iso(job.pruned_at),
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
    unset |= {"pruned_at": "all that it left is kept"}
    unset |= {"assumed_s": "not given", "actual_s": "it has not run to its end"}
    for i, a in enumerate(attempts or ()):
        for name in ("started_at", "ended_at", "exit_code", "signal", "outcome"):
            unset[f"attempts.{i}.{name}"] = "not known" if a.ended_at else "it has not ended"
    nested = {k: v for k, v in content.items() if k != "plan" or v is None}
    return content | {"null_reasons": null_reasons(nested, unset)}


def listing_json(listing: Listing) -> dict[str, Any]:
    """The ``jobs`` of ``status``, and by state how many there are and how many are not listed."""
    return {
        "jobs": [job_json(job) for job in listing.jobs],
        "counts": {str(state): n for state, n in listing.counts.items()},
        "left_out": {str(state): n for state, n in listing.left_out.items()},
    }


def damaged_json(each: Damaged) -> dict[str, str]:
    """A job or series of ``status`` whose row cannot be read; its state is as it is stored."""
    return {"id": each.id, "state": each.stored, "detail": each.reason}


def durations(job: Job) -> dict[str, float | None]:
    """How long a run was taken to last, and how long it did, seconds."""
    return {"assumed_s": job.spec.duration_s, "actual_s": job.ran_s}


def overrun(job: Job) -> list[str]:
    """A line for a job that outlasted the duration it was planned with, else nothing."""
    spec, ran = job.spec, job.ran_s
    if spec.duration_s is None or ran is None:
        return []
    source = "given" if spec.duration_source == GIVEN else "learned"
    said = f"ran {duration(ran)}, longer than the {duration(spec.duration_s)} {source}"
    return [said] * (ran > spec.duration_s)
