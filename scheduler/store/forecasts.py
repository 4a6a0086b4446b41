"""What was believed of the grid, and when: every issued forecast, never overwritten."""

from __future__ import annotations

from itertools import chain as one_after_another
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sqlmodel import col, select, update

from providers.series import Series, from_unix, join
from scheduler.store.packing import pack, unpack
from scheduler.store.rows import ForecastRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from scheduler.store.database import Database

# Rows read at a time: a lookup is mostly answered by the first ones, a statistic reads all.
FEW, MANY = 8, 256


class Remembered(NamedTuple):
    """A stored forecast, what was said of it, and when its source was last asked."""

    row_id: int
    series: Series
    notes: tuple[str, ...]
    checked_at: datetime


class Issue(NamedTuple):
    """A stored forecast and the chain of sources that told it."""

    row_id: int
    chain: str
    series: Series


class Forecasts:
    """Issued forecasts, by zone and by the chain of sources that told them."""

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
            payload=pack(series, notes),
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
        series, notes = unpack(row.payload)
        return Remembered(row.id, series, notes, from_unix(row.checked_at))

    def in_force(self, chain: str, zone: str, start_s: float, end_s: float) -> Series | None:
        """What was believed of ``[start, end)``: the last row issued by ``start`` first.

        Its holes are filled by rows issued later, in order, then by older ones.
        """
        found, issued = _of(chain, zone, start_s, end_s), col(ForecastRow.issued_at)
        cover = _Cover(start_s, end_s)
        with self._db.read() as session:
            before = iter(session.exec(found.where(issued <= start_s).order_by(*_NEWEST_FIRST)))
            after = session.exec(found.where(issued > start_s).order_by(*_OLDEST_FIRST))
            for starts, ends, payload in one_after_another(islice(before, 1), after, before):
                if cover.wants(starts, ends):
                    cover.add(unpack(payload)[0])
                if not cover.gaps:
                    break
        return cover.series()

    def last_told(self, chain: str, zone: str, start_s: float, end_s: float) -> Series | None:
        """Each interval of ``[start, end)`` as last told before or at its end.

        The nearest to an actual value that is to be had of a source that keeps none.
        """
        cover = _Cover(start_s, end_s)
        with self._db.read() as session:
            found = _of(chain, zone, start_s, end_s).order_by(*_NEWEST_FIRST)
            for starts, ends, payload in session.exec(found):
                if cover.wants(starts, ends):
                    series, _ = unpack(payload)
                    told = series.ends >= series.issued_at.timestamp()
                    if told.any():
                        cover.add(series.clip(float(series.starts[np.argmax(told)]), ends))
                if not cover.gaps:
                    break
        return cover.series()

    def issued(
        self, start_s: float, end_s: float, *, zone: str | None = None, chain: str | None = None
    ) -> Iterator[Issue]:
        """Every forecast issued within ``[start, end)``, in order of issue, read as it is used.

        The database is held in the state of the first one until the last was taken.
        """
        query = (
            select(ForecastRow.id, ForecastRow.chain, ForecastRow.payload)
            .where(col(ForecastRow.issued_at) >= start_s, col(ForecastRow.issued_at) < end_s)
            .order_by(*_OLDEST_FIRST)
            .execution_options(yield_per=MANY)
        )
        if zone is not None:
            query = query.where(ForecastRow.zone == zone)
        if chain is not None:
            query = query.where(ForecastRow.chain == chain)
        with self._db.read() as session:
            for row_id, told_by, payload in session.exec(query):
                assert row_id is not None
                yield Issue(row_id, told_by, unpack(payload)[0])


_OLDEST_FIRST = (col(ForecastRow.issued_at), col(ForecastRow.id))
_NEWEST_FIRST = tuple(column.desc() for column in _OLDEST_FIRST)


def _of(chain: str, zone: str, start_s: float, end_s: float) -> Any:
    """Span and payload of the rows that say anything of ``[start, end)``."""
    return (
        select(ForecastRow.starts, ForecastRow.ends, ForecastRow.payload)
        .where(
            ForecastRow.zone == zone,
            ForecastRow.chain == chain,
            ForecastRow.starts < end_s,
            ForecastRow.ends > start_s,
        )
        .execution_options(yield_per=FEW)
    )


class _Cover:
    """A span that is covered piece by piece; what came first stands."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self.gaps = [(start_s, end_s)] if start_s < end_s else []
        self._pieces: list[Series] = []

    def wants(self, start_s: float, end_s: float) -> bool:
        """Whether ``[start, end)`` reaches into a gap."""
        return any(start_s < high and low < end_s for low, high in self.gaps)

    def add(self, series: Series) -> None:
        """Fill the gaps from ``series``, as far as it goes."""
        left: list[tuple[float, float]] = []
        for low, high in self.gaps:
            piece = series.clip(low, high)
            if len(piece):
                self._pieces.append(piece)
            left += piece.gaps(low, high)
        self.gaps = left

    def series(self) -> Series | None:
        """What has come together, with the facts of the first piece; None where nothing has."""
        return join(self._pieces) if self._pieces else None


def _same(a: Series, b: Series) -> bool:
    return (
        len(a) == len(b)
        and np.array_equal(a.g_per_kwh, b.g_per_kwh)
        and np.array_equal(a.ends, b.ends)
        and np.array_equal(a.sources, b.sources)
        and np.array_equal(a.low, b.low)
        and np.array_equal(a.high, b.high)
        and (a.signal, a.kind, a.factors, a.flow) == (b.signal, b.kind, b.factors, b.flow)
    )
