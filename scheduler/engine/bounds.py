"""The bounds that no start may break, whoever asks for it.

Every start passes :func:`allows`: at once, by a deadline, at an engine that keeps begin times, of
a paused job, and again after a crash. A plan keeps them too, but passes look ahead, clocks are
corrected, and configs change after a plan was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.engine import rest
from scheduler.models import JobState

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Job


def not_before(ctx: Context, job: Job, now: datetime) -> datetime:
    """The earliest moment at which a job may begin: its release, and of a paused one the start
    of its next segment.
    """
    if job.plan is None or job.state is not JobState.PAUSED:
        return job.spec.release
    return max(job.spec.release, rest.resumes_at(ctx, job, now))


def allows(ctx: Context, job: Job, region: str, begin: datetime, now: datetime) -> bool:
    """Whether a job may begin in ``region`` at ``begin``; its story says where it may not.

    It is only early before its planned start, which needs no word.
    """
    may = rest.of(ctx, job, now).spec.regions or [r.name for r in ctx.regions.configured]
    if region not in may:
        said = f"it may not start in {region}, only in {', '.join(may)}: it is planned again"
        ctx.store.jobs.tell(job.id, now, "trouble", said)
        return False
    return begin >= not_before(ctx, job, now)
