"""Starting jobs that are due, and following those that run."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Launch, RunState
from providers.errors import ExecutorError, LowtideError
from providers.series import from_unix
from scheduler.engine import dependencies
from scheduler.errors import StoreError
from scheduler.models import Attempt, Job, JobState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from providers.base import Receipt
    from scheduler.engine.context import Context

# The runner's exit code for a command that could not be started, as a shell would give it.
NOT_STARTED_EXIT = 127
# How long the runner of an attempt may take to leave its mark before it is started again.
LAUNCH_PATIENCE = timedelta(seconds=5)


def dispatch(ctx: Context, now: datetime, next_pass: datetime) -> None:
    """Start every planned job that is due, most urgent first, while its region has slots.

    A job whose latest safe start would pass before the next pass starts now; none starts
    before those that it waits for have succeeded.
    """
    planned = _free(ctx, now, next_pass)
    due = [job for job in planned if _due(job, now, next_pass)]
    for job in sorted(due, key=_urgency):
        with alone(ctx, job.id, now):
            if _room_is_promised(ctx, job, planned, now):
                said = "its slots are kept for a more urgent job; starts after it"
                ctx.store.jobs.tell(job.id, now, "waiting", said)
            else:
                _start(ctx, job, now)


def _free(ctx: Context, now: datetime, next_pass: datetime) -> list[Job]:
    """Planned jobs that wait for no other; one that does must not keep slots from it."""
    found = []
    for job in ctx.store.jobs.find({JobState.PLANNED}):
        missing = dependencies.missing(ctx, job.spec)
        if not missing:
            found.append(job)
        elif _due(job, now, next_pass):
            said = "for " + ", ".join(f"{other.id} ({other.state})" for other in missing)
            ctx.store.jobs.tell(job.id, now, "waiting", said)
    return found


def _due(job: Job, now: datetime, next_pass: datetime) -> bool:
    assert job.plan is not None  # planned jobs have one
    latest = job.spec.latest_start
    return job.plan.window.start <= now or (latest is not None and latest < next_pass)


def _urgency(job: Job) -> tuple[int, datetime, datetime, str]:
    """Priority first, then the nearest latest start."""
    spec = job.spec
    return (-spec.priority, spec.latest_start or spec.release, spec.submitted_at, job.id)


def _room_is_promised(ctx: Context, job: Job, planned: Sequence[Job], now: datetime) -> bool:
    """Whether starting ``job`` now would push a more urgent waiting job past its latest start."""
    assert job.plan is not None
    end = now + timedelta(seconds=job.spec.duration_s or 0.0)
    region = job.plan.window.region
    rivals = [
        other
        for other in planned
        if other.plan is not None
        and other.plan.window.region == region
        and _urgency(other) < _urgency(job)
        and (other.spec.latest_start or end) < end
    ]
    if not rivals:
        return False
    first = min(_urgency(other)[1] for other in rivals)
    running = [
        other.spec.slots
        for other in ctx.store.jobs.find({JobState.STARTING, JobState.RUNNING})
        if other.region == region and _expected_end(other, now) > first
    ]
    wanted = sum(running) + job.spec.slots + sum(other.spec.slots for other in rivals)
    return wanted > ctx.capacity(region, now)


def _expected_end(job: Job, now: datetime) -> datetime:
    begun = job.started_at or now
    return max(now, begun + timedelta(seconds=job.spec.duration_s or 0.0))


def _start(ctx: Context, job: Job, now: datetime) -> None:
    assert job.plan is not None
    region = job.plan.window.region
    executor = ctx.executor(region)
    gpus = executor.free_gpus(ctx.store.jobs.held_gpus())[: job.spec.gpus]
    if len(gpus) < job.spec.gpus:
        ctx.store.jobs.tell(job.id, now, "waiting", f"{job.spec.gpus} free GPUs in {region}")
        return
    number = job.attempt + 1
    attempt = Attempt(
        job_id=job.id,
        number=number,
        region=region,
        run_dir=str(ctx.runs.attempt(job.id, number)),
        token=secrets.token_hex(16),
        claimed_at=now,
        gpus=tuple(gpus),
    )
    if not ctx.store.jobs.claim(job, attempt, gpus, ctx.capacity(region, now)):
        ctx.store.jobs.tell(job.id, now, "waiting", f"no free slots in {region}")
        return
    launch(ctx, replace(job, attempt=number, region=region), attempt, now)


def launch(ctx: Context, job: Job, attempt: Attempt, now: datetime) -> None:
    """Hand an attempt to its executor; safe to repeat: an attempt runs at most once."""
    settings = ctx.config.settings
    try:
        ctx.executor(attempt.region).start(
            Launch(
                job_id=job.id,
                attempt=attempt.number,
                token=attempt.token,
                argv=job.spec.argv,
                cwd=job.spec.cwd,
                run_dir=attempt.run_dir,
                env_file=str(ctx.runs.environment(job.id)),
                units_file=str(ctx.runs.units(job.id)),
                work_dir=str(ctx.runs.work(job.id)),
                region=attempt.region,
                slots=job.spec.slots,
                gpus=attempt.gpus,
                meters=settings.meters,
                time_limit_s=job.spec.time_limit_s,
                grace_s=settings.grace,
                interval_s=settings.sample_interval,
                pause_signal=job.spec.pausable.signal if job.spec.pausable else None,
            )
        )
    except (ExecutorError, OSError) as e:
        ctx.store.jobs.tell(job.id, now, "start failed", f"{e}; tried again at the next pass")


def reap(ctx: Context, now: datetime) -> None:
    """Look at every job that holds slots, and record what became of it."""
    for job in ctx.store.jobs.find({JobState.STARTING, JobState.RUNNING}):
        with alone(ctx, job.id, now):
            attempt = ctx.store.jobs.attempts(job.id)[-1]
            executor = ctx.executor(attempt.region)
            state = executor.poll(Path(attempt.run_dir), attempt.token)
            _follow(ctx, job, attempt, state, now)
            if job.cancel_requested and state.phase in {"running", "orphaned"}:
                executor.stop(Path(attempt.run_dir), attempt.token, ctx.config.settings.grace)


@contextmanager
def alone(ctx: Context, job_id: str, now: datetime) -> Iterator[None]:
    """Keep one job's trouble (its region left the config, say) from stopping all others."""
    try:
        yield
    except StoreError:
        raise
    except LowtideError as e:
        ctx.store.jobs.tell(job_id, now, "trouble", str(e))


def _follow(ctx: Context, job: Job, attempt: Attempt, state: RunState, now: datetime) -> None:
    jobs = ctx.store.jobs
    if state.phase == "absent":
        if job.cancel_requested:
            grace = ctx.config.settings.grace
            ctx.executor(attempt.region).stop(Path(attempt.run_dir), attempt.token, grace)
            _end(ctx, job, attempt, JobState.CANCELLED, now, "cancelled before it started")
        elif now - attempt.claimed_at > LAUNCH_PATIENCE:
            launch(ctx, job, attempt, now)
        return
    if attempt.started_at is None and state.started_at is not None:
        begun = from_unix(state.started_at)
        jobs.update_attempt(attempt, started_at=begun)
        if job.state is JobState.STARTING and state.phase in {"running", "orphaned"}:
            jobs.transition(
                job.id,
                job.state,
                JobState.RUNNING,
                now,
                f"started {begun:%Y-%m-%dT%H:%M:%SZ}",
                started_at=job.started_at or begun,
            )
    if state.phase == "orphaned":
        jobs.tell(job.id, now, "gap", "the runner died: the job goes on, its energy is not read")
    elif state.phase == "gone":
        gone = f"its processes are gone without a receipt ({state.detail or 'exit unknown'})"
        outcome = JobState.CANCELLED if job.cancel_requested else JobState.LOST
        _end(ctx, job, attempt, outcome, now, gone)
    elif state.phase == "ended" and state.receipt is not None:
        _ended(ctx, job, attempt, state.receipt, now)


def _ended(ctx: Context, job: Job, attempt: Attempt, receipt: Receipt, now: datetime) -> None:
    code = receipt.exit_code
    if receipt.reason == "not_started":
        outcome, said, code = JobState.FAILED, f"not started: {receipt.error}", NOT_STARTED_EXIT
    elif receipt.reason == "time_limit":
        outcome, said = JobState.FAILED, f"stopped at its time limit ({job.spec.time_limit_s:g} s)"
    elif receipt.reason == "stopped":
        outcome, said = JobState.CANCELLED, "stopped"
    elif receipt.exit_code == 0:
        outcome, said = JobState.SUCCEEDED, "exit code 0"
    elif receipt.signal is not None:
        outcome, said = JobState.FAILED, f"killed by signal {receipt.signal}"
    else:
        outcome, said = JobState.FAILED, f"exit code {receipt.exit_code}"
    if outcome is JobState.CANCELLED and not job.cancel_requested:
        said = "stopped by a signal to its runner"
    ctx.store.jobs.update_attempt(
        attempt,
        started_at=from_unix(receipt.started_at),
        exit_code=code,
        signal=receipt.signal,
    )
    _end(
        ctx,
        job,
        attempt,
        outcome,
        now,
        said,
        from_unix(receipt.ended_at),
        from_unix(receipt.started_at),
    )


def _end(
    ctx: Context,
    job: Job,
    attempt: Attempt,
    outcome: JobState,
    now: datetime,
    said: str,
    ended_at: datetime | None = None,
    started_at: datetime | None = None,
) -> None:
    """Close an attempt; the job ends, or goes back to the queue under ``--retries``."""
    jobs = ctx.store.jobs
    current = jobs.get(job.id)
    moved = jobs.transition(
        job.id,
        current.state,
        outcome,
        now,
        said,
        ended_at=ended_at or now,
        started_at=current.started_at or started_at,
    )
    if not moved:
        return
    jobs.update_attempt(attempt, ended_at=ended_at or now, outcome=str(outcome))
    left = job.spec.retries + 1 - attempt.number
    if outcome in {JobState.FAILED, JobState.LOST} and left > 0 and not job.cancel_requested:
        jobs.transition(
            job.id,
            outcome,
            JobState.QUEUED,
            now,
            f"retry {attempt.number} of {job.spec.retries}",
            ended_at=None,
            plan=None,
        )
    else:
        ctx.runs.forget_environment(job.id)


def exit_status(attempt: Attempt) -> int | None:
    """An attempt's exit code as a shell gives it: 128 + n for signal n; None if unknown."""
    if attempt.signal is not None:
        return 128 + attempt.signal
    return attempt.exit_code
