"""What jobs really cost, the last look at the queue, and who was seen last."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from sqlmodel import col, or_, select

from providers.series import from_unix
from scheduler.models import JobState, QueuePlan, Settlement
from scheduler.store.forecasts import Forecasts as Forecasts  # until its reader asks there
from scheduler.store.rows import BeatRow, JobRow, QueuePlanRow, SettlementRow

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.store.database import Database


@cache
def _settlements() -> TypeAdapter[Settlement]:
    return TypeAdapter(Settlement)


class Settlements:
    """What jobs really cost: append-only, the highest version counts."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, job_id: str, settlement: Settlement, at: datetime) -> bool:
        """Append a version, unless the last one says the same; True if appended."""
        last = self.latest(job_id)
        if last == settlement:
            return False
        with self._db.write() as session:
            versions = session.exec(
                select(SettlementRow.version).where(SettlementRow.job_id == job_id)
            ).all()
            session.add(
                SettlementRow(
                    job_id=job_id,
                    version=max(versions, default=0) + 1,
                    made_at=at.timestamp(),
                    status=settlement.status,
                    payload=_settlements().dump_json(settlement).decode(),
                )
            )
        return True

    def latest(self, job_id: str) -> Settlement | None:
        """The settlement that counts, or None."""
        with self._db.read() as session:
            payload = session.exec(
                select(SettlementRow.payload)
                .where(SettlementRow.job_id == job_id)
                .order_by(col(SettlementRow.version).desc())
                .limit(1)
            ).first()
        return None if payload is None else _settlements().validate_json(payload)

    def owed(self, young: datetime) -> list[str]:
        """Ended jobs without a final settlement, nor any made since ``young``."""
        made = select(SettlementRow.id).where(
            SettlementRow.job_id == JobRow.id,
            or_(SettlementRow.status == "final", col(SettlementRow.made_at) > young.timestamp()),
        )
        with self._db.read() as session:
            query = select(JobRow.id).where(
                col(JobRow.state).in_([str(s) for s in JobState if s.ended]),
                JobRow.attempt > 0,
                ~made.exists(),
            )
            return list(session.exec(query))


class QueuePlans:
    """The last look at the whole queue."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def remember(self, made: QueuePlan) -> None:
        """Keep ``made`` in place of the one before."""
        content = asdict(made) | {"made_at": made.made_at.timestamp()}
        with self._db.write() as session:
            session.merge(QueuePlanRow(id=1, **content))

    def latest(self) -> QueuePlan | None:
        """The last one, or None."""
        with self._db.read() as session:
            row = session.get(QueuePlanRow, 1)
        if row is None:
            return None
        content = row.model_dump(exclude={"id"}) | {"made_at": from_unix(row.made_at)}
        return QueuePlan(**content)


class Beats:
    """When a daemon, a tick or a source was last seen."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def beat(self, name: str, at: datetime) -> None:
        """Note that ``name`` is alive at ``at``."""
        with self._db.write() as session:
            session.merge(BeatRow(name=name, at=at.timestamp()))

    def last(self, name: str) -> datetime | None:
        """When ``name`` was last seen."""
        with self._db.read() as session:
            row = session.get(BeatRow, name)
            return None if row is None else from_unix(row.at)
