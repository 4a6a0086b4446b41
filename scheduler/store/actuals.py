"""What really was, by zone and source: every value as it was first told, and as it was revised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import sqlalchemy
from sqlmodel import col, func, select, update

from providers.series import Series, joined
from scheduler.store.forecasts import same
from scheduler.store.packing import pack, unpack
from scheduler.store.rows import ActualRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlmodel import Session

    from scheduler.store.database import Database

DAY_S = 86400


class Stored(NamedTuple):
    """What there is of a zone from a source; times in Unix seconds."""

    zone: str
    source: str
    signal: str
    first_s: float
    last_s: float
    hours: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How many intervals were not known before, told otherwise, or told the same again."""

    new: int = 0
    changed: int = 0
    same: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.new + other.new, self.changed + other.changed, self.same + other.same)


class Actuals:
    """Blocks of a UTC day, append-only: the newest vintage of a day counts."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def remember(self, source: str, series: Series, at: datetime) -> Counts:
        """Keep what ``source`` tells; in one transaction, and again without effect.

        What it no longer tells of a day stays as it was told before.
        """
        counts, now = Counts(), at.timestamp()
        with self._db.write() as session:
            for day in _days(series):
                part = series.clip(day * DAY_S, (day + 1) * DAY_S)
                row = _newest(session, series.zone, source, day)
                old = None if row is None else unpack(row.payload)[0]
                if old is not None and _basis(old) != _basis(part):
                    old = None
                counts += _counts(old, part)
                whole = part if old is None else part.fill_from(old)
                # Of what it did not tell now, the last word is older.
                checked = now if row is None or len(whole) == len(part) else row.checked_at
                if row is not None and old is not None and same(whole, old):
                    session.exec(
                        update(ActualRow)
                        .where(col(ActualRow.id) == row.id)
                        .values(checked_at=checked)
                    )
                    continue
                session.add(_row(source, day, whole, now, checked))
        return counts

    def known(
        self,
        zone: str,
        source: str,
        start_s: float,
        end_s: float,
        as_of: datetime | None = None,
    ) -> Series | None:
        """The last word on ``[start, end)``, or what it was at ``as_of``; None: nothing."""
        with self._db.read() as session:
            ids = _vintages(zone, source, start_s, end_s, as_of)
            payloads = session.exec(
                select(ActualRow.payload)
                .where(col(ActualRow.id).in_(ids))
                .order_by(col(ActualRow.day))
            ).all()
        days = [unpack(payload)[0] for payload in payloads]
        # A day on another basis, from before a change of settings, is not mixed in.
        alike = [day for day in days if _basis(day) == _basis(days[-1])]
        if not alike:
            return None
        found = joined(alike).clip(start_s, end_s)
        if any(day.kind != "actual" for day in alike):
            found = replace(found, kind="estimate")
        return found if len(found) else None

    def checked(self, zone: str, source: str, start_s: float, end_s: float) -> float | None:
        """Since when (Unix seconds) the source has said no other of ``[start, end)``.

        The earliest of its days; None where one of them is not stored.
        """
        with self._db.read() as session:
            ids = _vintages(zone, source, start_s, end_s)
            count, earliest = session.exec(
                select(func.count(), func.min(ActualRow.checked_at)).where(
                    col(ActualRow.id).in_(ids)
                )
            ).one()
        wanted = -(-end_s // DAY_S) - start_s // DAY_S
        return None if count < wanted else earliest

    def stored(self, zone: str | None = None) -> list[Stored]:
        """What there is, by zone and source."""
        ids = _newest_ids()
        query = sqlalchemy.select(
            col(ActualRow.zone),
            col(ActualRow.source),
            func.max(ActualRow.signal),
            func.min(ActualRow.starts),
            func.max(ActualRow.ends),
            func.sum(ActualRow.covered_s) / 3600.0,
        )
        query = query.where(col(ActualRow.id).in_(ids))
        if zone is not None:
            query = query.where(col(ActualRow.zone) == zone)
        by = col(ActualRow.zone), col(ActualRow.source)
        with self._db.read() as session:
            found = session.connection().execute(query.group_by(*by).order_by(*by))
            return [Stored(r[0], r[1], r[2], r[3], r[4], r[5]) for r in found]

    def vintages(self, zone: str, source: str) -> Iterator[tuple[float, Series]]:
        """Every block ever stored, by day and then by when it was fetched (Unix seconds)."""
        query = (
            select(ActualRow)
            .where(ActualRow.zone == zone, ActualRow.source == source)
            .order_by(col(ActualRow.day), col(ActualRow.id))
        )
        with self._db.read() as session:
            for row in session.exec(query, execution_options={"yield_per": 64}):
                yield row.fetched_at, unpack(row.payload)[0]


class StoredHistory:
    """The store as :class:`providers.surroundings.History`: sources in a stated order first."""

    def __init__(self, actuals: Actuals, order: Sequence[str]) -> None:
        self._actuals, self._order = actuals, tuple(order)

    def actuals(self, zone: str, start: datetime, end: datetime) -> Sequence[Series]:
        """One series a source; those that are not in the order come last, the longest first."""
        rank = {name: i for i, name in enumerate(self._order)}
        found = sorted(
            self._actuals.stored(zone),
            key=lambda s: (rank.get(s.source, len(rank)), -s.hours, s.source),
        )
        low, high = start.timestamp(), end.timestamp()
        series = (self._actuals.known(zone, s.source, low, high) for s in found)
        return [s for s in series if s is not None]


def _basis(series: Series) -> tuple[str | None, ...]:
    return series.signal, series.factors, series.flow


def _days(series: Series) -> list[int]:
    """Numbers, since 1970, of the UTC days that a series touches."""
    first = (series.starts // DAY_S).astype(np.int64)
    last = (-(-series.ends // DAY_S) - 1).astype(np.int64)
    return sorted({d for a, b in zip(first.tolist(), last.tolist(), strict=True)
                   for d in range(a, b + 1)})  # fmt: skip


def _counts(old: Series | None, new: Series) -> Counts:
    """Intervals of ``new`` that were not in ``old``, or were there with another value."""
    if old is None:
        return Counts(new=len(new))
    spans = zip(old.starts.tolist(), old.ends.tolist(), strict=True)
    before = dict(zip(spans, old.g_per_kwh.tolist(), strict=True))
    now = zip(new.starts.tolist(), new.ends.tolist(), new.g_per_kwh.tolist(), strict=True)
    found = [(before.get((a, b)), value) for a, b, value in now]
    fresh = sum(was is None for was, _ in found)
    equal = sum(was == value for was, value in found)
    return Counts(fresh, len(found) - fresh - equal, equal)


def _row(source: str, day: int, series: Series, now_s: float, checked_s: float) -> ActualRow:
    return ActualRow(
        zone=series.zone,
        source=source,
        day=day,
        signal=series.signal,
        fetched_at=now_s,
        checked_at=checked_s,
        starts=float(series.starts[0]),
        ends=float(series.ends[-1]),
        covered_s=float((series.ends - series.starts).sum()),
        payload=pack(series),
    )


def _newest(session: Session, zone: str, source: str, day: int) -> ActualRow | None:
    return session.exec(
        select(ActualRow)
        .where(ActualRow.zone == zone, ActualRow.source == source, ActualRow.day == day)
        .order_by(col(ActualRow.id).desc())
        .limit(1)
    ).first()


def _newest_ids() -> Any:
    return sqlalchemy.select(func.max(ActualRow.id)).group_by(
        col(ActualRow.zone), col(ActualRow.source), col(ActualRow.day)
    )


def _vintages(
    zone: str, source: str, start_s: float, end_s: float, as_of: datetime | None = None
) -> Any:
    """Ids of the newest blocks of the days of ``[start, end)``, as of a moment."""
    query = _newest_ids().where(
        col(ActualRow.zone) == zone,
        col(ActualRow.source) == source,
        col(ActualRow.day) >= start_s // DAY_S,
        col(ActualRow.day) < -(-end_s // DAY_S),
    )
    if as_of is not None:
        query = query.where(col(ActualRow.fetched_at) <= as_of.timestamp())
    return query
