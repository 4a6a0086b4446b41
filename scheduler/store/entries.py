"""New jobs and lines of their story, within the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.models import JobState
from scheduler.store import values
from scheduler.store.rows import EventRow, JobRow
from scheduler.texts import printable_lines

if TYPE_CHECKING:
    from datetime import datetime

    from sqlmodel import Session

    from scheduler.models import JobSpec

# The story of lowtide itself, beside those of jobs and series: steps and sources that failed.
OWN = "lowtide"


def enqueue(session: Session, job_id: str, spec: JobSpec, at: datetime) -> None:
    """Put a job into the queue within the caller's transaction."""
    latest, release = spec.latest_start, spec.release
    session.add(
        JobRow(
            id=job_id,
            state=JobState.QUEUED,
            spec=spec.model_dump_json(),
            slots=spec.slots,
            submitted_at=spec.submitted_at.timestamp(),
            latest_start=latest.timestamp() if latest else None,
            user=spec.user,
            group=spec.group,
            host=spec.origin.host if spec.origin is not None else "",
            places=values.places(spec.home, spec.regions),
            release=release.timestamp(),
            until=spec.looked_until(release).timestamp(),
            priority=spec.priority,
            waits=bool(spec.after),
            recurrence=spec.recurrence,
            name=spec.name,
        )
    )
    tell(session, job_id, at, "submitted", f"by {spec.user}")


def tell(session: Session, job_id: str, at: datetime, kind: str, detail: str) -> None:
    """Add a line to a job's story, within the caller's transaction.

    Jobs and engines have a say in it, also in what no database takes.
    """
    said = printable_lines(detail)
    session.add(EventRow(job_id=job_id, at=at.timestamp(), kind=kind, detail=said))
    session.flush()
