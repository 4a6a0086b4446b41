"""What the grid really emitted, as its sources told it: in days, every vintage kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sqlalchemy import and_, func, insert, select, update
from sqlmodel import SQLModel

from providers.series import Factors, Flow, Series, Signal, from_unix, join, to_unix
from scheduler.store.days import DAY_S, Day, Merged, Word, cut, dump, earliest, first, load
from scheduler.store.packing import pack, unpack
from scheduler.store.rows import ActualRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlmodel import Session

    from scheduler.store.database import Database

# Rows are read and written as they are: an object for each costs more than its bytes.
_TABLE = SQLModel.metadata.tables[str(ActualRow.__tablename__)]
_ROW = _TABLE.c
_COLUMNS = (
    _ROW.id,
    _ROW.day,
    _ROW.signal,
    _ROW.factors,
    _ROW.flow,
    _ROW.fetched_at,
    _ROW.told,
    _ROW.payload,
)

Basis = tuple[Signal, Factors | None, Flow | None]
# An answer: the source's name in config, what it told of one zone, and when.
Answer = tuple[str, Series, "datetime"]


class Stored(NamedTuple):
    """What is stored of a zone by one source on one basis; ``hours`` without holes."""

    zone: str
    source: str
    signal: Signal
    factors: Factors | None
    flow: Flow | None
    first_s: float
    last_s: float
    hours: float
    checked_s: float


class Actuals:
    """Actual values by zone, source and UTC day. A day is told anew, never overwritten.

    Where a source changes what it tells of (signal, factors, flow), days on another basis than
    the newest are left out of an answer: they are not to be compared.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def remember(self, source: str, series: Series, at: datetime) -> Merged:
        """Store what a source told at ``at``; nothing but the check where it is known already."""
        return self.remember_all([(source, series, at)])

    def remember_all(self, answers: Iterable[Answer]) -> Merged:
        """The same for many answers: all of them or, after an error, none."""
        merged = Merged()
        with self._db.write() as session:
            for source, series, at in answers:
                merged = merged.plus(_merge(session, source, series, to_unix(at)))
        return merged

    def known(
        self,
        zone: str,
        source: str,
        start_s: float,
        end_s: float,
        as_of: datetime | None = None,
    ) -> Series | None:
        """What is known of ``[start, end)``, or was known at ``as_of``; None where nothing is.

        ``issued_at`` is when the newest part was fetched; an estimate where any part is one.
        """
        days = [_day(row) for row in self._rows(zone, source, start_s, end_s, as_of)]
        if not days:
            return None
        known = join([day.series for day in days]).clip(start_s, end_s)
        if not len(known):
            return None
        words = (word for day in days for word in day.words)
        within = (word for word in words if word.from_s < end_s and start_s < word.to_s)
        estimated = any(word.kind != "actual" for word in within)
        fetched = from_unix(max(day.fetched_s for day in days))
        return known.told(fetched, "estimate" if estimated else "actual")

    def checked(self, zone: str, source: str, start_s: float, end_s: float) -> float | None:
        """When (s) the source last vouched for all of ``[start, end)``; None for any hole.

        That is the earliest over its intervals, each of which counts by itself: what was asked
        of an evening does not make the morning any surer.
        """
        rows = self._rows(zone, source, start_s, end_s)
        return earliest([word for row in rows for word in load(row.told)], start_s, end_s)

    def newest(self, zone: str, source: str, start_s: float, end_s: float) -> list[Series]:
        """What is known in pieces of one kind, ``issued_at`` when the source told each."""
        days = map(_day, self._rows(zone, source, start_s, end_s))
        pieces = (piece.clip(start_s, end_s) for day in days for piece in day.pieces())
        return [piece for piece in pieces if len(piece)]

    def vintages(self, zone: str, source: str, start_s: float, end_s: float) -> list[Series]:
        """Everything ever told of ``[start, end)``, by day and then in the order it was told."""
        query = (
            select(*_COLUMNS)
            .where(*_within(zone, source, start_s, end_s))
            .order_by(_ROW.day, _ROW.fetched_at, _ROW.id)
        )
        with self._db.read() as session:
            # Of two rows of one vintage the later one holds both.
            rows = {(r.day, r.fetched_at): r for r in session.connection().execute(query)}
        told = (
            piece.clip(start_s, end_s)
            for day in map(_day, rows.values())
            for piece in day.pieces()
            # What was only carried on stands in the vintage that told it.
            if piece.issued_at.timestamp() >= day.fetched_s
        )
        return [piece for piece in told if len(piece)]

    def sources(self, zone: str | None = None) -> list[Stored]:
        """What is stored of a zone, or of all."""
        conditions = () if zone is None else (_ROW.zone == zone,)
        key = (_ROW.zone, _ROW.source, _ROW.signal, _ROW.factors, _ROW.flow)
        query = (
            select(
                *key,
                func.min(_ROW.starts),
                func.max(_ROW.ends),
                func.sum(_ROW.covered_s) / 3600.0,
                func.max(_ROW.checked_at),
            )
            .where(_ROW.id.in_(_newest_ids(*conditions)))
            .group_by(*key)
            .order_by(*key)
        )
        with self._db.read() as session:
            return [Stored(*found) for found in session.connection().execute(query)]

    def zones(self) -> list[str]:
        """The zones of which anything is stored."""
        with self._db.read() as session:
            query = select(_ROW.zone).distinct().order_by(_ROW.zone)
            return list(session.connection().scalars(query))

    def _rows(
        self,
        zone: str,
        source: str,
        start_s: float,
        end_s: float,
        as_of: datetime | None = None,
    ) -> list[Any]:
        """The newest vintage of each day by ``as_of``, all on the newest one's basis."""
        as_of_s = None if as_of is None else to_unix(as_of)
        with self._db.read() as session:
            rows = _newest(session, zone, source, start_s, end_s, as_of_s)
        if not rows:
            return []
        basis = _basis(max(rows.values(), key=lambda row: (row.fetched_at, row.id)))
        return [row for row in rows.values() if _basis(row) == basis]


def _basis(one: Any) -> Basis:
    """What the values of a row or a series are, so that they may be compared."""
    return one.signal, one.factors, one.flow


def _within(zone: str, source: str, start_s: float, end_s: float) -> tuple[Any, ...]:
    """The days that ``[start, end)`` touches."""
    return (
        _ROW.zone == zone,
        _ROW.source == source,
        _ROW.day >= math.floor(start_s / DAY_S),
        _ROW.day < math.ceil(end_s / DAY_S),
    )


def _newest_ids(*conditions: Any) -> Any:
    """The row of each zone, source and day that was fetched last, of those that meet all."""
    day = (_ROW.zone, _ROW.source, _ROW.day)
    last = (
        select(*day, func.max(_ROW.fetched_at).label("fetched_at"))
        .where(*conditions)
        .group_by(*day)
        .subquery()
    )
    same = [getattr(last.c, key) == _ROW[key] for key in last.c.keys()]  # noqa: SIM118
    return select(func.max(_ROW.id)).join(last, and_(*same)).group_by(*day)


def _newest(
    session: Session, zone: str, source: str, start_s: float, end_s: float, as_of_s: float | None
) -> dict[int, Any]:
    """The newest vintage of each day by ``as_of_s``, as rows by day."""
    conditions = _within(zone, source, start_s, end_s)
    if as_of_s is not None:
        conditions += (_ROW.fetched_at <= as_of_s,)
    query = select(*_COLUMNS).where(_ROW.id.in_(_newest_ids(*conditions)))
    found = session.connection().execute(query.order_by(_ROW.day))
    return {row.day: row for row in found}


def _day(row: Any) -> Day:
    return Day(unpack(row.payload)[0], load(row.told), row.fetched_at)


def _merge(session: Session, source: str, told: Series, at_s: float) -> Merged:
    """Add one answer as of ``at_s``, which may lie before what was fetched since."""
    merged = Merged()
    if not len(told):
        return merged
    span = float(told.starts[0]), float(told.ends[-1])
    before = _newest(session, told.zone, source, *span, at_s)
    since = _newest(session, told.zone, source, *span, None)
    for number, piece in cut(told):
        row = before.get(number)
        if row is None or _basis(row) != _basis(piece):
            _insert(session, source, number, first(piece, at_s))
            counts = Merged(new=len(piece))
        else:
            known = _day(row)
            day, counts = known.with_(piece, at_s)
            if counts.same < len(piece):
                _insert(session, source, number, day)
            elif day.words != known.words:
                _vouch(session, row.id, day.words)
        merged = merged.plus(counts)
        later = since.get(number)
        if later is not None and later.fetched_at > at_s and _basis(later) == _basis(piece):
            known = _day(later)
            day = known.filled(piece, at_s)
            if day.words != known.words:
                _insert(session, source, number, day)
    return merged


def _insert(session: Session, source: str, number: int, day: Day) -> None:
    series = day.series
    content = {
        "zone": series.zone,
        "source": source,
        "signal": series.signal,
        "factors": series.factors,
        "flow": series.flow,
        "day": number,
        "fetched_at": day.fetched_s,
        "checked_at": max(word.checked_s for word in day.words),
        "starts": float(series.starts[0]),
        "ends": float(series.ends[-1]),
        "covered_s": float(np.sum(series.ends - series.starts)),
        "told": dump(day.words),
        "payload": pack(series),
    }
    session.connection().execute(insert(_TABLE).values(content))


def _vouch(session: Session, row_id: int, words: Sequence[Word]) -> None:
    """The source says the same again: only when it was asked moves."""
    moved = {"told": dump(words), "checked_at": max(word.checked_s for word in words)}
    session.connection().execute(update(_TABLE).where(_ROW.id == row_id).values(moved))
