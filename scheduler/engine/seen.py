"""Jobs as readers see them: as stored, and as receipts say that no pass has recorded yet.

Files of run folders are read. No engine or source is asked, no lock is waited for and nothing is
written, so a reader is never kept waiting.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner import journal
from providers.series import from_unix
from scheduler.engine import endings
from scheduler.errors import DamagedRow, StoreError
from scheduler.models import HOLDING, JobState
from scheduler.texts import printable_lines

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Attempt, Job

ENDED = frozenset(state for state in JobState if state.ended)


def seen(ctx: Context, job: Job, now: datetime) -> Job:
    """A stored job as its run folder shows it now; as it is stored where that fails."""
    if job.state not in HOLDING:
        return job
    try:
        return look(ctx, job, now)[0]
    except StoreError:
        raise
    except Exception:  # noqa: BLE001 -- whatever lies there, a list of jobs is answered
        return job


def ended(
    ctx: Context, now: datetime, *, since: datetime | None = None, group: str | None = None
) -> list[Job]:
    """Jobs that have ended (``since`` then), in order of submission."""
    found = ctx.store.jobs.find(ENDED, since=since, group=group)
    found += ended_unseen(ctx, now, since=since, group=group)
    return sorted(found, key=lambda job: (job.spec.submitted_at, job.id))


def ended_unseen(
    ctx: Context, now: datetime, *, since: datetime | None = None, group: str | None = None
) -> list[Job]:
    """Of these, the ones whose end no pass has recorded yet."""
    found = [seen(ctx, job, now) for job in ctx.store.jobs.find(HOLDING, group=group)]
    over = [job for job in found if job.ended_at is not None and job.state.ended]
    return [job for job in over if since is None or (job.ended_at or now) >= since]


def look(ctx: Context, job: Job, now: datetime) -> tuple[Job, list[Attempt]]:
    """A stored job and its attempts, as its run folder shows them."""
    try:
        attempts = ctx.store.jobs.attempts(job.id)
    except DamagedRow:
        return job, []
    at = next((i for i, a in enumerate(attempts) if a.number == job.attempt), None)
    if job.state not in HOLDING or at is None or attempts[at].ended_at is not None:
        return job, attempts
    attempt = attempts[at]
    if not ctx.follows(job, attempt):
        return job, attempts
    receipt = journal.read_receipt(Path(attempt.run_dir))
    if receipt is not None:
        ending = endings.by_receipt(ctx, job, attempt, receipt, now)
        if ending is not None and ending.retry is None and ending.after.ended:
            attempts[at] = ending.attempt
            said = printable_lines(ending.said)
            job = replace(job, state=ending.after, reason=said, **ending.changes)
        return job, attempts
    begun = journal.moment_s(journal.read_json(Path(attempt.run_dir) / "started"))
    begun = begun if begun is not None and endings.believable(begun, attempt, now) else None
    if begun is not None and job.state is JobState.STARTING and not job.cancel_requested:
        attempts[at] = replace(attempt, started_at=from_unix(begun))
        started = job.started_at or from_unix(begun)
        job = replace(job, state=JobState.RUNNING, started_at=started)
    return job, attempts
