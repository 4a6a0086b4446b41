"""What the end of an attempt makes of its job: decided first, then recorded with others'.

Deciding reads run folders, which may lie on a slow file system; recording does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from providers.base import CHECKPOINTED
from providers.series import from_unix
from scheduler.engine import rest
from scheduler.engine.context import alone
from scheduler.models import HOLDING, Attempt, Job, JobState
from scheduler.quantities import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from providers.base import Receipt
    from scheduler.engine.context import Context

# The runner's exit code for a command that could not be started, as a shell would give it.
NOT_STARTED_EXIT = 127
# By so much a clock may be set wrongly, or a pass come late, while an attempt runs.
AMISS = timedelta(days=366)
# A job that checkpoints so often in a row without progress has failed.
IDLE_STARTS = 3


@dataclass(frozen=True, slots=True)
class Ending:
    """A job's move from ``before`` to ``after`` with its attempt as it ended; ``retry``: why it
    goes back to the queue at once.
    """

    job_id: str
    before: JobState
    after: JobState
    at: datetime
    said: str
    attempt: Attempt
    retry: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


def by_receipt(
    ctx: Context, job: Job, attempt: Attempt, receipt: Receipt, now: datetime
) -> Ending | None:
    """What a receipt says; None where another dispatcher was there first.

    One that no runner can have left here is a damaged file of its job, which is lost.
    """
    if said := _fault(job, attempt, receipt, now):
        said = f"its receipt is damaged: {said}"
        outcome = JobState.CANCELLED if job.cancel_requested else JobState.LOST
        return of(ctx, job, attempt, outcome, now, said)
    closed = replace(
        attempt,
        started_at=from_unix(receipt.started_at),
        ended_at=from_unix(receipt.ended_at),
        exit_code=NOT_STARTED_EXIT if receipt.reason == "not_started" else receipt.exit_code,
        signal=receipt.signal,
    )
    if receipt.reason == "time_limit":
        assert job.spec.time_limit_s is not None
        limit = duration(job.spec.time_limit_s)
        outcome, said = JobState.FAILED, f"stopped at its time limit ({limit})"
    elif receipt.reason == "paused" and not job.cancel_requested:
        return _checkpointed(ctx, job, closed, now)
    elif receipt.reason == "paused":
        outcome, said = JobState.CANCELLED, "stopped at its checkpoint"
    else:
        outcome, said = verdict(receipt)
    if outcome is JobState.CANCELLED and not job.cancel_requested:
        said = "stopped by a signal to its runner"
    return of(ctx, job, closed, outcome, now, said)


def believable(at_s: float, attempt: Attempt, now: datetime) -> bool:
    """Whether a time in a run folder (Unix seconds) can be one of this attempt's."""
    low, high = (attempt.claimed_at - AMISS).timestamp(), (now + AMISS).timestamp()
    return low <= at_s <= high


def _fault(job: Job, attempt: Attempt, receipt: Receipt, now: datetime) -> str:
    """Why no runner can have left it for this attempt; empty where one can."""
    if (receipt.job_id, receipt.attempt) != (job.id, attempt.number):
        return f"it is that of {receipt.job_id}, attempt {receipt.attempt}"
    for at_s in (receipt.started_at, receipt.ended_at):
        if not believable(at_s, attempt, now):
            return f"{at_s:.0f} is outside the time of this attempt"
    if receipt.reason == "time_limit" and job.spec.time_limit_s is None:
        return "it has no time limit that could be reached"
    if receipt.reason == "paused" and job.spec.pausable is None:
        return "it may not pause"
    return ""


def of(
    ctx: Context, job: Job, attempt: Attempt, outcome: JobState, now: datetime, said: str
) -> Ending | None:
    """The job ends, or goes back to the queue under ``--retries``."""
    current = ctx.store.jobs.get(job.id)
    if current.state not in HOLDING:
        return None  # another dispatcher was there first
    before = _before(ctx, attempt)
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
    retry = f"retry {tries} of {job.spec.retries}" if again else None
    changes = {"ended_at": end, "started_at": begun, "waited_s": waited_s}
    return Ending(job.id, current.state, outcome, now, said, closed, retry, changes)


def record(ctx: Context, endings: Sequence[Ending]) -> None:
    """Store them in one transaction; what somebody else has moved meanwhile stays as it is."""
    if not endings:
        return
    over = []
    with ctx.store.together():
        for each in endings:
            with alone(ctx, each.job_id, each.at):
                moved = ctx.store.jobs.transition(
                    each.job_id,
                    each.before,
                    each.after,
                    each.at,
                    each.said,
                    noted=each.attempt,
                    retry=each.retry,
                    **each.changes,
                )
                if moved and each.after.ended and each.retry is None:
                    over.append(each.job_id)
    for job_id in over:
        with alone(ctx, job_id, endings[0].at):
            ctx.runs.forget_environment(job_id)


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


def _before(ctx: Context, attempt: Attempt) -> list[Attempt]:
    """The starts before this one."""
    return [a for a in ctx.store.jobs.attempts(attempt.job_id) if a.number < attempt.number]


def _checkpointed(ctx: Context, job: Job, attempt: Attempt, now: datetime) -> Ending | None:
    """A segment is over; what is left of the job is planned at once."""
    kept = attempt.exit_code == CHECKPOINTED
    closed = replace(attempt, outcome=str(JobState.PAUSED) if kept else rest.INTERRUPTED)
    if kept and _idle(job, [*_before(ctx, attempt), closed]):
        said = f"exit code {CHECKPOINTED} {IDLE_STARTS} times in a row without any progress"
        return of(ctx, job, closed, JobState.FAILED, now, said)
    said = f"checkpointed after {duration(rest.ran_s([closed], now))}"
    if not kept:
        said = (
            "it ended on SIGTERM without a checkpoint (exit code 75): it starts anew and is not "
            "paused again; a job that cannot checkpoint wants --pause-signal stop"
        )
    current = ctx.store.jobs.get(job.id)
    if current.state not in HOLDING:
        return None  # another dispatcher was there first
    changes = {"started_at": current.started_at or closed.started_at}
    return Ending(job.id, current.state, JobState.PAUSED, now, said, closed, changes=changes)


def _idle(job: Job, attempts: Sequence[Attempt]) -> bool:
    """Whether the last starts all checkpointed before any progress: such a job never ends."""
    reload_s = job.spec.pausable.resume_s if job.spec.pausable is not None else 0.0
    last = attempts[-IDLE_STARTS:]
    return len(last) == IDLE_STARTS and all(
        a.outcome == str(JobState.PAUSED) and rest.ran_s([a], a.ended_at) <= max(reload_s, 1.0)
        for a in last
        if a.ended_at is not None
    )


def exit_status(attempt: Attempt) -> int | None:
    """An attempt's exit code as a shell gives it: 128 + n for signal n; None if unknown."""
    if attempt.signal is not None:
        return 128 + attempt.signal
    return attempt.exit_code
