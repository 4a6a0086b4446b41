"""What was believed of the grid and when, what jobs really cost, and who was seen last."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import TypeAdapter
from sqlmodel import col, or_, select, update

from providers.series import Series, from_unix
from scheduler.models import JobState, QueuePlan, Settlement
from scheduler.store.rows import BeatRow, ForecastRow, JobRow, QueuePlanRow, SettlementRow

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.store.database import Database


@cache
def _settlements() -> TypeAdapter[Settlement]:
    return TypeAdapter(Settlement)


class Remembered(NamedTuple):
    """A stored forecast, what was said of it, and when its source was last asked."""

    row_id: int
    series: Series
    notes: tuple[str, ...]
    checked_at: datetime


class Forecasts:
    """Issued forecasts, never overwritten."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def remember(
        self, chain: str, series: Series, at: datetime, notes: tuple[str, ...] = ()
    ) -> int:
        """Store a series, or note that its source still says what the newest row says."""
        newest = self.newest(chain, series.zone)
        if newest is not None:
            row_id, known = newest.row_id, newest.series
            low, high = float(series.starts[0]), float(series.ends[-1])
            if known.ends[-1] >= high - 1e-3 and _same(known.clip(low, high), series):
                with self._db.write() as session:
                    session.exec(
                        update(ForecastRow)
                        .where(col(ForecastRow.id) == row_id)
                        .values(checked_at=at.timestamp())
                    )
                return row_id
        row = ForecastRow(
            zone=series.zone,
            chain=chain,
            issued_at=series.issued_at.timestamp(),
            checked_at=at.timestamp(),
            starts=float(series.starts[0]),
            ends=float(series.ends[-1]),
            payload=_pack(series, notes),
        )
        with self._db.write() as session:
            session.add(row)
            session.flush()
            assert row.id is not None
            return row.id

    def newest(self, chain: str, zone: str) -> Remembered | None:
        """The last issued forecast of a zone by a chain of sources."""
        with self._db.read() as session:
            row = session.exec(
                select(ForecastRow)
                .where(ForecastRow.zone == zone, ForecastRow.chain == chain)
                .order_by(col(ForecastRow.issued_at).desc(), col(ForecastRow.id).desc())
                .limit(1)
            ).first()
        if row is None:
            return None
        assert row.id is not None
        series, notes = _unpack(row.payload)
        return Remembered(row.id, series, notes, from_unix(row.checked_at))

    def in_force(self, chain: str, zone: str, start_s: float, end_s: float) -> Series | None:
        """What was believed of ``[start, end)``: the last row issued by ``start`` first.

        Its holes are filled by rows issued later, in order, then by older ones.
        """
        with self._db.read() as session:
            found = session.exec(
                select(ForecastRow)
                .where(
                    ForecastRow.zone == zone,
                    ForecastRow.chain == chain,
                    ForecastRow.starts < end_s,
                    ForecastRow.ends > start_s,
                )
                .order_by(col(ForecastRow.issued_at), col(ForecastRow.id))
            ).all()
        before = [row for row in found if row.issued_at <= start_s]
        after = [row for row in found if row.issued_at > start_s]
        result: Series | None = None
        for row in (*before[-1:], *after, *reversed(before[:-1])):
            part = _unpack(row.payload)[0].clip(start_s, end_s)
            result = part if result is None else result.fill_from(part)
            if result is not None and not result.gaps(start_s, end_s):
                break
        return result


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


def _same(a: Series, b: Series) -> bool:
    return (
        len(a) == len(b)
        and np.array_equal(a.g_per_kwh, b.g_per_kwh)
        and np.array_equal(a.ends, b.ends)
        and np.array_equal(a.sources, b.sources)
        and np.array_equal(a.low, b.low)
        and np.array_equal(a.high, b.high)
        and (a.signal, a.kind) == (b.signal, b.kind)
    )


def _pack(series: Series, notes: tuple[str, ...]) -> bytes:
    arrays = ("starts", "ends", "g_per_kwh", "low", "high", "sources")
    facts = ("zone", "signal", "kind", "factors", "flow")
    content = {name: getattr(series, name).tolist() for name in arrays}
    content |= {name: getattr(series, name) for name in facts}
    content |= {"issued_at": series.issued_at.timestamp(), "notes": list(notes)}
    return zlib.compress(json.dumps(content).encode())


def _unpack(payload: bytes) -> tuple[Series, tuple[str, ...]]:
    content = json.loads(zlib.decompress(payload))
    series = Series(
        zone=content["zone"],
        signal=content["signal"],
        kind=content["kind"],
        issued_at=from_unix(content["issued_at"]),
        starts=np.array(content["starts"]),
        ends=np.array(content["ends"]),
        g_per_kwh=np.array(content["g_per_kwh"]),
        low=np.array(content["low"]),
        high=np.array(content["high"]),
        sources=np.array(content["sources"], dtype=np.str_),
        factors=content["factors"],
        flow=content["flow"],
    )
    return series, tuple(content["notes"])
