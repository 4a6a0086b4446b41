"""Leases: what only one does at a time, for as long as it goes on saying so."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlmodel import col, or_, update

from providers.series import from_unix
from scheduler.store.rows import LeaseRow

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.store.database import Database

# No lease is longer (s): one that ends later was taken on a clock that has been set back since.
LONGEST_S = 3600.0


class Lease(NamedTuple):
    """Who holds it, and until when nobody else may."""

    owner: str
    until: datetime


class Leases:
    """One row a name; taken and renewed by one conditional UPDATE.

    They go by the clock that all who share the database share: the server's on PostgreSQL, as
    hosts' clocks differ; on SQLite, whose file stays on one machine, the time passed in.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, name: str, owner: str, now: datetime, duration_s: float) -> bool:
        """Take or renew a lease; False where another owner holds it.

        One that has more than half of its time left is not written again.
        """
        now_s = now.timestamp()
        with self._db.read() as session:
            row = session.get(LeaseRow, name)
            at = self._db.now_s(session, now_s)
        mine = row is not None and row.owner == owner
        until = row.until if row is not None and isinstance(row.until, float) else 0.0
        if mine and 0.5 < (until - at) / duration_s <= 1:
            return True
        with self._db.write() as session:
            at = self._db.now_s(session, now_s)
            taken = session.exec(
                update(LeaseRow)
                .where(
                    col(LeaseRow.name) == name,
                    or_(
                        col(LeaseRow.owner) == owner,
                        col(LeaseRow.until) <= at,
                        col(LeaseRow.until) > at + LONGEST_S,
                    ),
                )
                .values(owner=owner, until=at + duration_s)
            )
            if taken.rowcount == 1:
                return True
            if session.get(LeaseRow, name) is not None:
                return False
            session.add(LeaseRow(name=name, owner=owner, until=at + duration_s))
            return True

    def release(self, name: str, owner: str) -> None:
        """Give it back, if it is ours."""
        with self._db.write() as session:
            session.exec(
                update(LeaseRow)
                .where(col(LeaseRow.name) == name, col(LeaseRow.owner) == owner)
                .values(until=0.0)
            )

    def holder(self, name: str, now: datetime) -> Lease | None:
        """Who holds it now; None: nobody."""
        with self._db.read() as session:
            row = session.get(LeaseRow, name)
            at = self._db.now_s(session, now.timestamp())
        if row is None or not isinstance(row.until, float) or not at < row.until < at + LONGEST_S:
            return None  # whoever wants it takes it
        return Lease(row.owner, from_unix(row.until))
