"""Jobs that repeat. A series and the jobs made of it change in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlmodel import col, func, select, update

from providers.series import from_unix
from scheduler.errors import DamagedRow, UsageError
from scheduler.models import Damaged, JobSpec, Recurrence
from scheduler.store import values
from scheduler.store.entries import enqueue
from scheduler.store.rows import JobRow, RecurrenceRow
from scheduler.texts import not_one

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.store.database import Database

_ACTIVE = (
    select(RecurrenceRow)
    .where(col(RecurrenceRow.stopped_at).is_(None))
    .order_by(col(RecurrenceRow.submitted_at), col(RecurrenceRow.id))
)


class Recurrences:
    """The series that were submitted; a stopped one stays, but is not seen here again."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, series: Recurrence, job_id: str, spec: JobSpec, at: datetime) -> None:
        """Store a series and put its first job into the queue."""
        with self._db.write() as session:
            session.add(
                RecurrenceRow(
                    id=series.id,
                    template=series.template.model_dump_json(),
                    every=series.every,
                    tz=series.tz,
                    within_s=series.within_s,
                    next=series.next.timestamp(),
                    submitted_at=at.timestamp(),
                )
            )
            enqueue(session, job_id, spec, at)

    def active(self) -> list[Recurrence]:
        """Every series that was not stopped, in order of submission."""
        with self._db.read() as session:
            return list(values.readable(self._db, session.exec(_ACTIVE), values.series))

    def damaged(self) -> list[Damaged]:
        """Every series whose row cannot be read, and that was not stopped."""
        query = select(RecurrenceRow).where(col(RecurrenceRow.stopped_at).is_(None))
        found = []
        with self._db.read() as session:
            for row in session.exec(query.order_by(col(RecurrenceRow.id))):
                try:
                    values.series(row)
                except DamagedRow as e:
                    found.append(Damaged(e.key, "active", str(e)))
        return found

    def get(self, prefix: str) -> Recurrence | Damaged:
        """The active series whose id starts with ``prefix``; else :class:`UsageError`."""
        active: list[Recurrence | Damaged] = [*self.active(), *self.damaged()]
        found = [series for series in active if series.id.startswith(prefix)]
        if len(found) != 1 or not prefix:
            raise UsageError(not_one("active series", prefix, [s.id for s in found]))
        return found[0]

    def advance(
        self, series: Recurrence, following: datetime, job_id: str, spec: JobSpec, at: datetime
    ) -> bool:
        """Make the next job and move on to ``following``; False if another did, or it stopped."""
        with self._db.write() as session:
            moved = session.exec(
                update(RecurrenceRow)
                .where(
                    col(RecurrenceRow.id) == series.id,
                    col(RecurrenceRow.next) == series.next.timestamp(),
                    col(RecurrenceRow.stopped_at).is_(None),
                )
                .values(next=following.timestamp())
            )
            if moved.rowcount != 1:
                return False
            enqueue(session, job_id, spec, at)
            return True

    def last_made(self, series_id: str) -> datetime | None:
        """When, by the clock of that time, the newest job of a series was made."""
        query = select(func.max(JobRow.submitted_at)).where(JobRow.recurrence == series_id)
        with self._db.read() as session:
            found = session.exec(query).one()
        return None if found is None else from_unix(found)

    def stop(self, series_id: str, at: datetime) -> None:
        """Make no more jobs of a series."""
        with self._db.write() as session:
            session.exec(
                update(RecurrenceRow)
                .where(col(RecurrenceRow.id) == series_id)
                .values(stopped_at=at.timestamp())
            )
