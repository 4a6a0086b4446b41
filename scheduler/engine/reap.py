"""Following jobs that hold slots, and recording what became of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from providers.series import from_unix
from scheduler.engine import damaged, endings
from scheduler.engine.context import alone
from scheduler.engine.dispatch import launch
from scheduler.errors import DamagedRow
from scheduler.models import HOLDING, Attempt, Damaged, Job, JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import RunState
    from scheduler.engine.context import Context
    from scheduler.engine.endings import Ending

ALIVE = frozenset({"running", "paused", "orphaned"})
# How long the runner of an attempt may take to leave its mark before it is started again.
LAUNCH_PATIENCE = timedelta(seconds=5)
# So many that have ended are recorded in one transaction: a commit waits for the disk, and whoever
# else writes waits for a transaction.
BATCH = 100


def reap(ctx: Context, now: datetime, jobs: Sequence[Job] | None = None) -> None:
    """Look at every job that holds slots, or at ``jobs``, and record what became of it."""
    if jobs is None:
        jobs = ctx.store.jobs.find(HOLDING)
        for hurt in ctx.store.jobs.damaged_in(HOLDING) if ctx.store.damaged else ():
            with alone(ctx, hurt.id, now):
                damaged.follow(ctx, hurt, now)
    for first in range(0, len(jobs), BATCH):
        found = []
        for job in jobs[first : first + BATCH]:
            with alone(ctx, job.id, now):
                try:
                    found.append(_reap(ctx, job, now))
                except DamagedRow as e:  # of an attempt
                    hurt = Damaged(job.id, str(job.state), str(e), job.cancel_requested)
                    damaged.follow(ctx, hurt, now)
                    raise
        endings.record(ctx, [ending for ending in found if ending is not None])


def _reap(ctx: Context, job: Job, now: datetime) -> Ending | None:
    """Follow one; what the end of its attempt makes of it is returned."""
    # A later one only waits at its engine.
    attempt = [a for a in ctx.store.jobs.attempts(job.id) if a.number <= job.attempt][-1]
    if attempt.ended_at is not None or not ctx.follows(job, attempt):
        return None  # it has checkpointed, or another host's lowtide looks after it
    executor = ctx.executor(attempt.region)
    state = executor.poll(Path(attempt.run_dir), attempt.token)
    if state.detail and state.phase in {"waiting", "ended", *ALIVE}:
        ctx.store.jobs.tell(job.id, now, "engine", state.detail)
    if state.phase == "ended" and state.receipt is not None:
        return endings.by_receipt(ctx, job, attempt, state.receipt, now)
    ending = _follow(ctx, job, attempt, state, now)
    if job.cancel_requested and state.phase in {"waiting", *ALIVE}:
        executor.stop(Path(attempt.run_dir), attempt.token, ctx.config.settings.grace)
    return ending


def _follow(
    ctx: Context, job: Job, attempt: Attempt, state: RunState, now: datetime
) -> Ending | None:
    jobs = ctx.store.jobs
    patient = abs(now - attempt.claimed_at) <= LAUNCH_PATIENCE
    if state.phase == "waiting":
        begin_time = ctx.executor(attempt.region).capabilities.begin_time
        if begin_time and not (patient or job.cancel_requested):
            # It may still wait there for an hour that was planned before it was claimed.
            launch(ctx, job, attempt, now)
        return None
    if state.phase == "absent" and attempt.started_at is not None:
        # It was seen to run, so it is not started again.
        state = replace(state, phase="gone", detail="its run folder was taken away")
    if state.phase == "absent":
        if job.cancel_requested:
            grace = ctx.config.settings.grace
            ctx.executor(attempt.region).stop(Path(attempt.run_dir), attempt.token, grace)
            said = "cancelled before it started"
            return endings.of(ctx, job, attempt, JobState.CANCELLED, now, said)
        if not patient:
            launch(ctx, job, attempt, now)
        return None
    begun = attempt.started_at
    told_s = state.started_at
    if begun is None and told_s is not None and endings.believable(told_s, attempt, now):
        begun = from_unix(told_s)
        attempt = replace(attempt, started_at=begun)
    if begun is not None and job.state is JobState.STARTING and state.phase in ALIVE:
        jobs.transition(
            job.id,
            job.state,
            JobState.RUNNING,
            now,
            f"started {begun:%Y-%m-%dT%H:%M:%SZ}",
            noted=attempt,
            started_at=job.started_at or begun,
        )
    if state.phase == "paused" and jobs.get(job.id).state is JobState.RUNNING:
        said = "its processes are stopped; what they hold stays held"
        jobs.transition(job.id, JobState.RUNNING, JobState.PAUSED, now, said, noted=attempt)
    elif state.phase == "orphaned":
        jobs.tell(job.id, now, "gap", "the runner died: the job goes on, its energy is not read")
        if job.spec.stops and jobs.get(job.id).state is JobState.RUNNING:
            # The runner may have stopped it with its last breath; none is left to let it go on.
            executor = ctx.executor(attempt.region)
            executor.resume(Path(attempt.run_dir), attempt.token)
    elif state.phase == "gone":
        gone = f"its processes are gone without a receipt ({state.detail or 'exit unknown'})"
        outcome = JobState.CANCELLED if job.cancel_requested else JobState.LOST
        return endings.of(ctx, job, attempt, outcome, now, gone)
    return None
