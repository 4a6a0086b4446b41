"""What really was, by zone and source: every value as it was first told, and as it was revised."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy
from sqlmodel import col, func, select

from providers.arrays import np
from providers.series import Series, joined
from scheduler.store import values
from scheduler.store.forecasts import same
from scheduler.store.packing import pack, unpack
from scheduler.store.rows import ActualRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlmodel import Session

    from scheduler.store.database import Database

DAY_S = 86400
# Blocks are read so many at a time: about two months of them.
PAGE = 64


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
        return self.remember_all(source, (series,), at)[0]

    def remember_all(self, source: str, every: Sequence[Series], at: datetime) -> list[Counts]:
        """Keep what ``source`` tells of several zones, one series each: all of it or nothing."""
        with self._db.write() as session:
            return [
                _remember(self._db, session, source, series, at.timestamp()) for series in every
            ]

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
            rows = session.exec(
                select(ActualRow).where(col(ActualRow.id).in_(ids)).order_by(col(ActualRow.day))
            ).all()
        days = list(values.readable(self._db, rows, read))
        # A day on another basis, from before a change of settings, is not mixed in.
        alike = [day for day in days if _basis(day) == _basis(days[-1])]
        if not alike:
            return None
        found = joined(alike).clip(start_s, end_s)
        if any(day.kind != "actual" for day in alike):
            found = replace(found, kind="estimate")
        return found if len(found) else None

    def checked(
        self, zone: str, source: str, start_s: float, end_s: float, now_s: float = math.inf
    ) -> float | None:
        """Since when (Unix seconds) the source has said no other of ``[start, end)``.

        The earliest of its days; None where one of them is not stored, or was stored later than
        now: by a clock that has been set back since.
        """
        with self._db.read() as session:
            ids = _vintages(zone, source, start_s, end_s)
            count, earliest = session.exec(
                select(func.count(), func.min(ActualRow.checked_at)).where(
                    col(ActualRow.id).in_(ids), col(ActualRow.checked_at) <= now_s
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
        if zone is not None:
            ids = ids.where(col(ActualRow.zone) == zone)
        query = query.where(col(ActualRow.id).in_(ids))
        by = col(ActualRow.zone), col(ActualRow.source)
        with self._db.read() as session:
            found = session.connection().execute(query.group_by(*by).order_by(*by))
            return list(values.readable(self._db, found, _stored))

    def vintages(
        self, zone: str, source: str, start_s: float, end_s: float, *, newest: bool = False
    ) -> Iterator[tuple[float, Series]]:
        """Blocks of ``[start, end)`` by day, then by when they were fetched (Unix seconds).

        Every one ever stored, or of each day the ``newest``; as it is stored, on any basis.
        """
        query = select(ActualRow).where(*_about(zone, source, start_s, end_s))
        if newest:
            query = query.where(col(ActualRow.id).in_(_vintages(zone, source, start_s, end_s)))
        query = query.order_by(col(ActualRow.day), col(ActualRow.id))
        with (
            self._db.read() as session,
            closing(session.exec(query, execution_options={"yield_per": PAGE})) as rows,
        ):
            for fetched_at, series in values.readable(self._db, rows, _vintage):
                found = series.clip(start_s, end_s)
                if len(found):
                    yield fetched_at, found


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


def _remember(db: Database, session: Session, source: str, series: Series, now_s: float) -> Counts:
    counts, days = Counts(), _days(series)
    if not days:
        return counts
    ids = _vintages(series.zone, source, days[0] * DAY_S, (days[-1] + 1) * DAY_S)
    rows = session.exec(select(ActualRow).where(col(ActualRow.id).in_(ids)))
    newest = {row.day: row for row in rows}
    for day in days:
        part = series.clip(day * DAY_S, (day + 1) * DAY_S)
        row = newest.get(day)
        # A block that cannot be read is as if it had never been told: this one replaces it.
        old = next(values.readable(db, [] if row is None else [row], read), None)
        if old is not None and _basis(old) != _basis(part):
            old = None
        counts += _counts(old, part)
        whole = part if old is None else part.fill_from(old)
        checked_s = now_s
        if row is not None and old is not None and len(whole) > len(part):
            # Of what it did not tell now the last word is older, and may be an estimate.
            checked_s = row.checked_at
            if old.kind != "actual":
                whole = replace(whole, kind="estimate")
        if row is not None and old is not None and same(whole, old):
            row.checked_at = checked_s
        else:
            session.add(_row(source, day, whole, now_s, checked_s))
    return counts


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


def read(row: ActualRow) -> Series:
    """What was told of a day; :class:`scheduler.errors.DamagedRow`."""
    return unpack(row.payload, "actual", row.id)[0]


def _vintage(row: ActualRow) -> tuple[float, Series]:
    fetched_s = values.reading("actual", row.id, lambda: values.number(row.fetched_at))
    return fetched_s, read(row)


def _stored(found: Any) -> Stored:
    zone, source, signal, *numbers = found
    return values.reading(
        "actual",
        f"of {zone} from {source}",
        lambda: Stored(zone, source, signal, *map(values.number, numbers)),
    )


def _newest_ids() -> Any:
    return sqlalchemy.select(func.max(ActualRow.id)).group_by(
        col(ActualRow.zone), col(ActualRow.source), col(ActualRow.day)
    )


def _about(zone: str, source: str, start_s: float, end_s: float) -> tuple[Any, ...]:
    """Which blocks are of the days of ``[start, end)``."""
    return (
        col(ActualRow.zone) == zone,
        col(ActualRow.source) == source,
        col(ActualRow.day) >= start_s // DAY_S,
        col(ActualRow.day) < -(-end_s // DAY_S),
    )


def _vintages(
    zone: str, source: str, start_s: float, end_s: float, as_of: datetime | None = None
) -> Any:
    """Ids of the newest blocks of the days of ``[start, end)``, as of a moment."""
    query = _newest_ids().where(*_about(zone, source, start_s, end_s))
    if as_of is not None:
        query = query.where(col(ActualRow.fetched_at) <= as_of.timestamp())
    return query
