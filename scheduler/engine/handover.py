"""Handing planned jobs early to engines that keep begin times themselves.

Such an engine starts a job at its hour though nobody of ours looks. The job stays ``planned``,
with its next attempt open, until the engine has begun it; a new plan moves it there. One that has
checkpointed waits there for its next segment in the same way, and stays ``paused``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.engine import bounds, dependencies
from scheduler.engine.context import alone
from scheduler.engine.dispatch import draft, launch, launch_of
from scheduler.errors import StoreError

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Attempt, Job
    from scheduler.regions import Region

# So many jobs wait at their engines at most, the next to start: each is looked at in every pass.
AT_MOST = 500
BEGUN = frozenset({"running", "paused", "orphaned", "ended"})


def look(ctx: Context, now: datetime) -> None:
    """See what has begun at its engine, or is no longer there."""
    for attempt in ctx.store.jobs.handed_over():
        with alone(ctx, attempt.job_id, now):
            job = ctx.store.jobs.get(attempt.job_id)
            if ctx.follows(job, attempt):
                _look(ctx, job, attempt, now)


def hand_over(ctx: Context, now: datetime) -> None:
    """Hand over what may wait at its engine; move or take back what is planned otherwise.

    What is only stopped keeps what it holds, and goes on there.
    """
    waiting, ours = set(), 0
    for attempt in ctx.store.jobs.handed_over():
        waiting.add(attempt.job_id)
        with alone(ctx, attempt.job_id, now):
            job = ctx.store.jobs.get(attempt.job_id)
            if not ctx.follows(job, attempt):
                continue
            ours += 1
            assert job.plan is not None  # planned and paused jobs have one
            later = job.plan.start > now or job.plan.window.region != attempt.region
            if not job.holds and later:
                _follow_plan(ctx, job, attempt, now)
    there = [r.name for r in ctx.regions.configured if _keeps_begin_times(ctx, r)]
    if not there:
        return
    checkpointed = [
        job
        for job in ctx.store.waiting.paused()
        if not (job.holds or job.id in waiting) and _goes_on_later(job, there, now)
    ]
    room = max(0, AT_MOST - ours)
    for job in (*checkpointed, *ctx.store.waiting.to_hand_over(there, now, room)):
        with alone(ctx, job.id, now):
            if ctx.may_start(job) and not dependencies.missing(ctx, job.spec):
                _hand(ctx, job, now)


def _goes_on_later(job: Job, there: list[str], now: datetime) -> bool:
    return job.plan is not None and job.plan.start > now and job.plan.window.region in there


def _look(ctx: Context, job: Job, attempt: Attempt, now: datetime) -> None:
    state = ctx.executor(attempt.region).poll(Path(attempt.run_dir), attempt.token)
    if state.phase in BEGUN or state.started_at is not None:
        # Also one that is gone by now: what it ran, and that it is lost, is for its job's record.
        ctx.store.jobs.claim(job, attempt, (), None)
    elif state.phase == "gone":
        # Cancelled behind our back, or refused: what is due is planned and started anew.
        ctx.store.jobs.withdraw(job, attempt, now, state.detail or "the engine has let go of it")
    elif state.detail:
        ctx.store.jobs.tell(job.id, now, "engine", state.detail)


def _keeps_begin_times(ctx: Context, region: Region) -> bool:
    """False also where its engine cannot be had: who needs it is told so."""
    try:
        return region.executor is not None and ctx.executor(region.name).capabilities.begin_time
    except StoreError:
        raise
    except Exception:  # noqa: BLE001 -- its jobs are told so one by one
        return False


def _hand(ctx: Context, job: Job, now: datetime) -> None:
    assert job.plan is not None
    attempt = draft(ctx, job, now, ())
    begin = job.plan.start
    if not bounds.allows(ctx, job, attempt.region, begin, now):
        return
    said = f"to {attempt.region}, to begin {begin:%Y-%m-%dT%H:%M:%SZ}"
    if ctx.store.jobs.hand_over(job, attempt, said):
        launch(ctx, job, attempt, now, begin.timestamp())


def _follow_plan(ctx: Context, job: Job, attempt: Attempt, now: datetime) -> None:
    """Move what waits to where and when it is planned now; take it back where it cannot be."""
    assert job.plan is not None
    region, begin_s = job.plan.window.region, job.plan.start.timestamp()
    if not bounds.allows(ctx, job, region, job.plan.start, now):
        return
    here, there = ctx.executor(attempt.region), ctx.executor(region)
    absent = here.poll(Path(attempt.run_dir), attempt.token).phase == "absent"
    if absent and region == attempt.region:
        launch(ctx, job, attempt, now, begin_s)
        return
    moved = launch_of(ctx, job, attempt, now, region)
    if not absent and there.capabilities.begin_time and there.move(moved, begin_s):
        if region != attempt.region:
            ctx.store.jobs.moved(attempt, region)
            ctx.store.jobs.tell(job.id, now, "moved", f"from {attempt.region} to {region}")
    elif region != attempt.region and here.take_back(Path(attempt.run_dir), attempt.token):
        ctx.store.jobs.withdraw(job, attempt, now, f"taken back from {attempt.region}")
