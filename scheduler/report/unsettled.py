"""Why a job has no settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scheduler.models import Job


def unsettled(job: Job, subject: str = "it") -> str:
    """The reason, in words, of a job without a settlement.

    Its run folders are read, and it is settled, by the lowtide that it came from.
    """
    origin = job.spec.origin
    if job.started_at is None or origin is None:
        return f"{subject} has not run"
    return f"{subject} is {origin.account}'s on {origin.host}, and not settled there yet"
