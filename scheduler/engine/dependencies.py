"""Jobs that wait for others: who they are, when they are expected to end, and what if they fail."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from scheduler.engine.context import alone
from scheduler.engine.submission import iso
from scheduler.errors import UsageError
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Damaged, Job, JobSpec


def resolve(ctx: Context, spec: JobSpec, prefixes: Sequence[str], now: datetime) -> JobSpec:
    """``spec`` after the jobs named, by ids or prefixes of ids.

    :class:`UsageError` where one is unknown or ended badly, or where the chain cannot meet
    the job's times by the planned ends of those before it.
    """
    if not prefixes:
        return spec
    try:
        named = [ctx.store.jobs.get(prefix) for prefix in prefixes]
    except UsageError as e:
        raise UsageError(f"--after: {e}") from e
    for job in named:
        if _failed(job):
            raise UsageError(
                f"--after {job.id}: that job is {job.state} ({job.reason}): name one that "
                "succeeded or is still to run"
            )
    spec = spec.model_copy(update={"after": tuple(dict.fromkeys(job.id for job in named))})
    ready = ready_at(ctx, spec, now)
    if spec.deadline_assumed and spec.deadline is not None:
        return spec.model_copy(update={"deadline": spec.deadline + (ready - spec.release)})
    latest = spec.latest_start
    if latest is not None and ready > latest:
        finish = ready + timedelta(seconds=spec.duration_s or 0.0)
        raise UsageError(
            f"--after {', '.join(spec.after)}: planned to end at {iso(ready)}, so this job ends "
            f"at {iso(finish)} at the earliest; move its deadline or latest start"
        )
    return spec


def ready_at(ctx: Context, spec: JobSpec, now: datetime) -> datetime:
    """The earliest time at which those before it have ended: as planned, or as it came.

    Never before ``spec.release``; where one that goes on has no planned end, not before ``now``.
    """
    ends = [spec.release]
    for job in before(ctx, spec):
        if job.ended_at is not None:
            ends.append(job.ended_at)
        else:
            planned = job.plan.window.end if job.plan is not None else None
            ends.append(max(planned or now, now))
    return max(ends)


def before(ctx: Context, spec: JobSpec) -> list[Job | Damaged]:
    """The jobs that it waits for."""
    return [ctx.store.jobs.found(job_id) for job_id in spec.after]


def missing(ctx: Context, spec: JobSpec) -> list[Job | Damaged]:
    """The jobs that it waits for and that have not succeeded."""
    return [job for job in before(ctx, spec) if job.state is not JobState.SUCCEEDED]


def released(ctx: Context, job: Job, now: datetime) -> JobSpec:
    """The job's spec with its release moved to :func:`ready_at`; its story says if that is late."""
    ready = ready_at(ctx, job.spec, now)
    latest = job.spec.latest_start
    if job.spec.after and latest is not None and ready > latest:
        said = f"what it waits for ends after its latest safe start {iso(latest)}"
        ctx.store.jobs.tell(job.id, now, "late", f"{said}: it starts as soon as it can")
    return job.spec.model_copy(update={"release": ready})


def changed(ctx: Context, job: Job, ready: datetime) -> bool:
    """Whether what it waits for moved behind its planned start, or ended since it was planned."""
    assert job.plan is not None
    others, made_at = before(ctx, job.spec), job.plan.made_at
    ended = any(other.ended_at is not None and other.ended_at > made_at for other in others)
    return ended or (bool(others) and job.plan.start < ready)


def cancel_orphans(ctx: Context, now: datetime) -> None:
    """Cancel every waiting job that waits for one that ended without success."""
    for job in ctx.store.waiting.dependent():
        with alone(ctx, job.id, now):
            if ctx.here.has_folders(job.spec.origin):
                _cancel_orphan(ctx, job, now)


def _cancel_orphan(ctx: Context, job: Job, now: datetime) -> None:
    try:
        failed = next((b for b in before(ctx, job.spec) if _failed(b)), None)
    except UsageError as e:  # one was deleted
        said = f"it was to run after a job that is not there any more: {e}"
    else:
        if failed is None:
            return
        said = f"it was to run after {failed.id}, which is {failed.state} ({failed.reason})"
    if ctx.store.jobs.transition(job.id, job.state, JobState.CANCELLED, now, said, ended_at=now):
        ctx.runs.forget_environment(job.id)


def _failed(job: Job | Damaged) -> bool:
    return job.state.ended and job.state is not JobState.SUCCEEDED
