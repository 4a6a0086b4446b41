"""Following jobs that hold slots, and recording what became of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import CHECKPOINTED, RunState
from providers.series import from_unix
from scheduler.engine import rest
from scheduler.engine.context import alone
from scheduler.engine.dispatch import launch
from scheduler.engine.turns import HOLDING
from scheduler.models import Attempt, Job, JobState
from scheduler.quantities import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Receipt
    from scheduler.engine.context import Context

# The runner's exit code for a command that could not be started, as a shell would give it.
NOT_STARTED_EXIT = 127
ALIVE = frozenset({"running", "paused", "orphaned"})
# How long the runner of an attempt may take to leave its mark before it is started again.
LAUNCH_PATIENCE = timedelta(seconds=5)
# So many that have ended are recorded in one transaction: a commit waits for the disk, and whoever
# else writes waits for a transaction.
BATCH = 100
# A job that checkpoints so often in a row without progress has failed.
IDLE_STARTS = 3


def reap(ctx: Context, now: datetime) -> None:
    """Look at every job that holds slots, and record what became of it."""
    jobs = ctx.store.jobs.find(HOLDING)
    for first in range(0, len(jobs), BATCH):
        ended = []
        for job in jobs[first : first + BATCH]:
            with alone(ctx, job.id, now):
                ended += _reap(ctx, job, now)
        if ended:
            with ctx.store.together():
                for job, attempt, receipt in ended:
                    with alone(ctx, job.id, now):
                        if _is_open(ctx, attempt):
                            _ended(ctx, job, attempt, receipt, now)


def _is_open(ctx: Context, attempt: Attempt) -> bool:
    """Whether nobody else has recorded its end since we looked."""
    stored = ctx.store.jobs.attempts(attempt.job_id)
    return any(a.number == attempt.number and a.ended_at is None for a in stored)


def _reap(ctx: Context, job: Job, now: datetime) -> list[tuple[Job, Attempt, Receipt]]:
    """Follow one; an attempt that has left its receipt is returned, with it."""
    # A later one only waits at its engine.
    attempt = [a for a in ctx.store.jobs.attempts(job.id) if a.number <= job.attempt][-1]
    if attempt.ended_at is not None or not ctx.follows(job, attempt):
        return []  # it has checkpointed, or another host's lowtide looks after it
    executor = ctx.executor(attempt.region)
    state = executor.poll(Path(attempt.run_dir), attempt.token)
    if state.detail and state.phase in {"waiting", "ended", *ALIVE}:
        ctx.store.jobs.tell(job.id, now, "engine", state.detail)
    if state.phase == "ended" and state.receipt is not None:
        return [(job, attempt, state.receipt)]
    _follow(ctx, job, attempt, state, now)
    if job.cancel_requested and state.phase in {"waiting", *ALIVE}:
        executor.stop(Path(attempt.run_dir), attempt.token, ctx.config.settings.grace)
    return []


def _follow(ctx: Context, job: Job, attempt: Attempt, state: RunState, now: datetime) -> None:
    jobs = ctx.store.jobs
    if state.phase == "waiting":
        return
    if state.phase == "absent" and attempt.started_at is not None:
        # It was seen to run, so it is not started again.
        state = replace(state, phase="gone", detail="its run folder was taken away")
    if state.phase == "absent":
        if job.cancel_requested:
            grace = ctx.config.settings.grace
            ctx.executor(attempt.region).stop(Path(attempt.run_dir), attempt.token, grace)
            _end(ctx, job, attempt, JobState.CANCELLED, now, "cancelled before it started")
        elif abs(now - attempt.claimed_at) > LAUNCH_PATIENCE:
            launch(ctx, job, attempt, now)
        return
    begun = attempt.started_at
    if begun is None and state.started_at is not None:
        begun = from_unix(state.started_at)
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
        may_stop = job.spec.pausable is not None and job.spec.pausable.signal == "stop"
        if may_stop and jobs.get(job.id).state is JobState.RUNNING:
            # The runner may have stopped it with its last breath; none is left to let it go on.
            executor = ctx.executor(attempt.region)
            executor.resume(Path(attempt.run_dir), attempt.token)
    elif state.phase == "gone":
        gone = f"its processes are gone without a receipt ({state.detail or 'exit unknown'})"
        outcome = JobState.CANCELLED if job.cancel_requested else JobState.LOST
        _end(ctx, job, attempt, outcome, now, gone)


def _ended(ctx: Context, job: Job, attempt: Attempt, receipt: Receipt, now: datetime) -> None:
    code = receipt.exit_code
    if receipt.reason == "not_started":
        code = NOT_STARTED_EXIT
    if receipt.reason == "time_limit":
        outcome, said = JobState.FAILED, f"stopped at its time limit ({job.spec.time_limit_s:g} s)"
    elif receipt.reason == "paused" and not job.cancel_requested:
        _checkpointed(ctx, job, attempt, receipt, now)
        return
    elif receipt.reason == "paused":
        outcome, said = JobState.CANCELLED, "stopped at its checkpoint"
    else:
        outcome, said = verdict(receipt)
    if outcome is JobState.CANCELLED and not job.cancel_requested:
        said = "stopped by a signal to its runner"
    closed = replace(
        attempt,
        started_at=from_unix(receipt.started_at),
        ended_at=from_unix(receipt.ended_at),
        exit_code=code,
        signal=receipt.signal,
    )
    _end(ctx, job, closed, outcome, now, said)


def verdict(receipt: Receipt) -> tuple[JobState, str]:
    """What became of an attempt that nothing but its command, or a stop, has ended."""
    if receipt.reason == "not_started":
        return JobState.FAILED, f"not started: {receipt.error}"
    if receipt.reason == "stopped":
        return JobState.CANCELLED, "stopped"
    if receipt.exit_code == 0:
        return JobState.SUCCEEDED, "exit code 0"
    if receipt.signal is not None:
        return JobState.FAILED, f"killed by signal {receipt.signal}"
    return JobState.FAILED, f"exit code {receipt.exit_code}"


def _checkpointed(
    ctx: Context, job: Job, attempt: Attempt, receipt: Receipt, now: datetime
) -> None:
    """Close a segment; what is left of the job is planned at once."""
    jobs = ctx.store.jobs
    kept = receipt.exit_code == CHECKPOINTED
    outcome = str(JobState.PAUSED) if kept else rest.INTERRUPTED
    closed = replace(
        attempt,
        started_at=from_unix(receipt.started_at),
        ended_at=from_unix(receipt.ended_at),
        exit_code=receipt.exit_code,
        signal=receipt.signal,
        outcome=outcome,
    )
    before = [a for a in jobs.attempts(job.id) if a.number < attempt.number]
    if kept and _idle(job, [*before, closed]):
        said = f"exit code {CHECKPOINTED} {IDLE_STARTS} times in a row without any progress"
        _end(ctx, job, closed, JobState.FAILED, now, said)
        return
    said = f"checkpointed after {duration(rest.ran_s([closed], now))}"
    if not kept:
        said = (
            "it ended on SIGTERM without a checkpoint (exit code 75): it starts anew and is not "
            "paused again; a job that cannot checkpoint wants --pause-signal stop"
        )
    current = jobs.get(job.id)
    if current.state not in HOLDING:
        return  # another dispatcher was there first
    begun = current.started_at or closed.started_at
    jobs.transition(
        job.id, current.state, JobState.PAUSED, now, said, noted=closed, started_at=begun
    )


def _idle(job: Job, attempts: Sequence[Attempt]) -> bool:
    """Whether the last starts all checkpointed before any progress: such a job never ends."""
    reload_s = job.spec.pausable.resume_s if job.spec.pausable is not None else 0.0
    last = attempts[-IDLE_STARTS:]
    return len(last) == IDLE_STARTS and all(
        a.outcome == str(JobState.PAUSED) and rest.ran_s([a], a.ended_at) <= max(reload_s, 1.0)
        for a in last
        if a.ended_at is not None
    )


def _end(
    ctx: Context, job: Job, attempt: Attempt, outcome: JobState, now: datetime, said: str
) -> None:
    """Close an attempt; the job ends, or goes back to the queue under ``--retries``."""
    jobs = ctx.store.jobs
    current = jobs.get(job.id)
    if current.state not in HOLDING:
        return  # another dispatcher was there first
    before = [a for a in jobs.attempts(job.id) if a.number < attempt.number]
    end = attempt.ended_at or now
    closed = replace(attempt, ended_at=end, outcome=str(outcome))
    begun = current.started_at or closed.started_at
    waited_s = 0.0
    if begun is not None:
        ran = rest.ran_s([*before, closed], now)
        waited_s = max(0.0, (end - begun).total_seconds() - ran)
    bad = {JobState.FAILED, JobState.LOST}
    tries = sum(a.outcome in {str(s) for s in bad} for a in before) + 1
    again = outcome in bad and tries <= job.spec.retries and not job.cancel_requested
    moved = jobs.transition(
        job.id,
        current.state,
        outcome,
        now,
        said,
        noted=closed,
        retry=f"retry {tries} of {job.spec.retries}" if again else None,
        ended_at=end,
        started_at=begun,
        waited_s=waited_s,
    )
    if moved and not again:
        ctx.runs.forget_environment(job.id)


def exit_status(attempt: Attempt) -> int | None:
    """An attempt's exit code as a shell gives it: 128 + n for signal n; None if unknown."""
    if attempt.signal is not None:
        return 128 + attempt.signal
    return attempt.exit_code
