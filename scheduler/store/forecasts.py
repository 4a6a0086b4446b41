"""What was believed of the grid, and since when: received forecasts, never overwritten."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, bindparam
from sqlmodel import col, delete, func, select, update

from providers.arrays import np
from providers.series import Series, empty, from_unix
from scheduler.store import values
from scheduler.store.packing import pack, unpack
from scheduler.store.rows import ForecastRow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlmodel import Session

    from providers.calibration import Calibration
    from scheduler.store.database import Database

# Rows are read so many at a time: mostly the first one or two answer the question.
PAGE = 16
# Other rows only say why a question brought no forecast.
HAS_VALUES = col(ForecastRow.ends) > col(ForecastRow.starts)
_RECEIVED = (
    select(ForecastRow.id)
    .where(
        ForecastRow.zone == bindparam("zone"),
        ForecastRow.chain == bindparam("chain"),
        HAS_VALUES,
        col(ForecastRow.checked_at) <= bindparam("by"),
    )
    .order_by(col(ForecastRow.known_at).desc(), col(ForecastRow.id).desc())
    .limit(PAGE)
)
# Built once: to build it takes longer than to run it.
_NEWEST = (
    select(ForecastRow)
    .where(col(ForecastRow.id).in_(_RECEIVED))
    .order_by(col(ForecastRow.id).desc())
)


class Remembered(NamedTuple):
    """A stored forecast, what was said of it, and when its source was last asked."""

    row_id: int
    series: Series
    notes: tuple[str, ...]
    checked_at: datetime


class Issue(NamedTuple):
    """A stored forecast with the name under which it was remembered, and when it was received."""

    row_id: int
    chain: str
    series: Series
    known_at: datetime


class Answer(NamedTuple):
    """What came of the last question to a source about a zone.

    ``until`` is how far the forecast reaches; None where none came, ``detail`` says why then.
    """

    chain: str
    zone: str
    checked_at: datetime
    until: datetime | None
    detail: str

    def __str__(self) -> str:
        asked = f"asked {self.checked_at:%Y-%m-%dT%H:%MZ}"
        if self.until is None:
            return f"no forecast of {self.zone} ({asked}): {self.detail}"
        return f"forecast of {self.zone} to {self.until:%Y-%m-%dT%H:%MZ} ({asked})"


class Forecasts:
    """Received forecasts by zone and chain of sources."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def remember(
        self, chain: str, series: Series, at: datetime, notes: tuple[str, ...] = ()
    ) -> int:
        """Store a series, or note that its source still says what the newest row says."""
        newest = self.newest(chain, series.zone, at)
        if newest is not None:
            row_id, known = newest.row_id, newest.series
            low, high = float(series.starts[0]), float(series.ends[-1])
            if known.ends[-1] >= high - 1e-3 and same(known.clip(low, high), series):
                with self._db.write() as session:
                    session.exec(
                        update(ForecastRow)
                        .where(col(ForecastRow.id) == row_id)
                        .values(checked_at=at.timestamp())
                    )
                return row_id
        row = row_of(chain, series, at, notes)
        with self._db.write() as session:
            session.add(row)
            session.flush()
            assert row.id is not None
            return row.id

    def remember_failure(self, chain: str, zone: str, why: str, at: datetime) -> None:
        """Note why the last question brought no forecast; only the last reason is kept."""
        row = row_of(chain, empty(zone, "average", "forecast", at), at, (why,))
        with self._db.write() as session:
            session.exec(
                delete(ForecastRow).where(
                    col(ForecastRow.zone) == zone, col(ForecastRow.chain) == chain, ~HAS_VALUES
                )
            )
            session.add(row)

    def answers(self, chains: str) -> list[Answer]:
        """What came of the last question about each zone, of chains whose name begins so."""
        about = (col(ForecastRow.chain), col(ForecastRow.zone))
        last = (
            select(*about, func.max(ForecastRow.checked_at).label("at"))
            .where(func.substr(ForecastRow.chain, 1, len(chains)) == chains)
            .group_by(*about)
            .subquery()
        )
        query = (
            select(ForecastRow)
            .join(
                last,
                and_(
                    col(ForecastRow.chain) == last.c.chain,
                    col(ForecastRow.zone) == last.c.zone,
                    col(ForecastRow.checked_at) == last.c.at,
                ),
            )
            .order_by(*about, col(ForecastRow.id))
        )
        with self._db.read() as session:
            newest = {(row.chain, row.zone): row for row in session.exec(query)}
            return list(values.readable(self._db, newest.values(), _answer))

    def zones(self, chain: str) -> frozenset[str]:
        """Zones of which a forecast by a chain of sources is stored."""
        query = select(ForecastRow.zone).where(ForecastRow.chain == chain, HAS_VALUES).distinct()
        with self._db.read() as session:
            return frozenset(session.exec(query))

    def newest(self, chain: str, zone: str, now: datetime | None = None) -> Remembered | None:
        """The last received forecast of a zone by a chain of sources.

        What was stored by a clock that has been set back since is passed over: rows checked
        later than ``now``, and, once their hour has come, rows that newer ones were stored after.
        """
        about = {"zone": zone, "chain": chain}
        by = math.inf if now is None else now.timestamp()
        with self._db.read() as session:
            # Read as they are needed: nearly always the first one alone.
            found = session.exec(
                _NEWEST, params=about | {"by": by}, execution_options={"yield_per": 1}
            )
            with closing(found) as rows:
                return next(values.readable(self._db, rows, _remembered), None)

    def in_force(self, chain: str, zone: str, start_s: float, end_s: float) -> Series | None:
        """What was believed of ``[start, end)``: the last row known by ``start`` first.

        Its holes are filled by rows received later, in order, then by older ones.
        """
        at = col(ForecastRow.known_at)
        about = (chain, zone, start_s, end_s)
        with (
            self._db.read() as session,
            closing(_rows(session, *about, at <= start_s, newest_first=True)) as older,
            closing(_rows(session, *about, at > start_s, newest_first=False)) as later,
        ):
            first = next(older, None)
            ordered = ([] if first is None else [first]), later, older
            told = (row for rows in ordered for row in rows)
            return _filled(values.readable(self._db, told, read), start_s, end_s)

    def last_told(self, chain: str, zone: str, start_s: float, end_s: float) -> Series | None:
        """The last forecast of each part of ``[start, end)``, as it was known by ``end``."""
        by_then = col(ForecastRow.known_at) <= end_s
        with self._db.read() as session:
            told = _rows(session, chain, zone, start_s, end_s, by_then, newest_first=True)
            with closing(told) as rows:
                return _filled(values.readable(self._db, rows, read), start_s, end_s)

    def of(self, row_ids: Sequence[int]) -> list[Series]:
        """The forecasts with these ids, in their order; those that are gone, or cannot be read, are
        left out.
        """
        with self._db.read() as session:
            query = select(ForecastRow).where(col(ForecastRow.id).in_(row_ids))
            rows = {row.id: row for row in session.exec(query)}
        there = (rows[i] for i in row_ids if i in rows)
        return [series for series, _ in values.readable(self._db, there, read)]

    def received(self, start_s: float, end_s: float, chains: str = "") -> Iterator[Issue]:
        """Every row received within ``[start, end)`` whose chain's name begins so, in order."""
        query = (
            select(ForecastRow)
            .where(
                ForecastRow.known_at >= start_s,
                ForecastRow.known_at < end_s,
                HAS_VALUES,
                # LIKE would take upper and lower case for the same.
                func.substr(ForecastRow.chain, 1, len(chains)) == chains,
            )
            .order_by(col(ForecastRow.known_at), col(ForecastRow.id))
        )
        with (
            self._db.read() as session,
            closing(session.exec(query, execution_options={"yield_per": PAGE})) as rows,
        ):
            yield from values.readable(self._db, rows, _issue)


def row_of(chain: str, series: Series, at: datetime, notes: tuple[str, ...]) -> ForecastRow:
    """A new row, received ``at``."""
    at_s = at.timestamp()
    return ForecastRow(
        zone=series.zone,
        chain=chain,
        issued_at=series.issued_at.timestamp(),
        known_at=at_s,
        checked_at=at_s,
        starts=float(series.starts[0]) if len(series) else at_s,
        ends=float(series.ends[-1]) if len(series) else at_s,
        payload=pack(series, notes),
    )


def _rows(
    session: Session,
    chain: str,
    zone: str,
    start_s: float,
    end_s: float,
    when: ColumnElement[bool],
    *,
    newest_first: bool,
) -> Generator[ForecastRow]:
    """Rows that tell a part of ``[start, end)``, read as they are needed."""
    order = (col(ForecastRow.known_at), col(ForecastRow.id))
    query = (
        select(ForecastRow)
        .where(
            ForecastRow.zone == zone,
            ForecastRow.chain == chain,
            ForecastRow.starts < end_s,
            ForecastRow.ends > start_s,
            when,
        )
        .order_by(*(c.desc() if newest_first else c for c in order))
    )
    # A cursor of the server has to be closed before its transaction ends.
    with closing(session.exec(query, execution_options={"yield_per": PAGE})) as rows:
        yield from rows


def _filled(
    rows: Iterable[tuple[Series, tuple[str, ...]]], start_s: float, end_s: float
) -> Series | None:
    """The first row's part of ``[start, end)``, its holes filled by the next ones in turn.

    None where no row tells any of it; a row with another signal, from before a change of
    settings, is not mixed in.
    """
    found: Series | None = None
    for series, _ in rows:
        part = series.clip(start_s, end_s)
        if not len(part) or (found is not None and found.signal != part.signal):
            continue
        found = part if found is None else found.fill_from(part)
        if not found.gaps(start_s, end_s):
            break
    return found


def _answer(row: ForecastRow) -> Answer:
    def answer() -> Answer:
        until, detail = None, ""
        if values.number(row.ends) > values.number(row.starts):
            until = from_unix(row.ends)
        else:
            detail = "; ".join(read(row)[1])
        return Answer(row.chain, row.zone, values.moment(row.checked_at), until, detail)

    return values.reading("forecast", row.id, answer)


def _remembered(row: ForecastRow) -> Remembered:
    series, notes = read(row)
    checked_at = values.reading("forecast", row.id, lambda: values.moment(row.checked_at))
    assert row.id is not None
    return Remembered(row.id, series, notes, checked_at)


def _issue(row: ForecastRow) -> Issue:
    series, _ = read(row)
    known_at = values.reading("forecast", row.id, lambda: values.moment(row.known_at))
    assert row.id is not None
    return Issue(row.id, row.chain, series, known_at)


def read(row: ForecastRow) -> tuple[Series, tuple[str, ...]]:
    """What was told, and what was said of it; :class:`scheduler.errors.DamagedRow`."""
    return unpack(row.payload, "forecast", row.id)


def same(a: Series, b: Series) -> bool:
    """Whether two series say the same, whenever they said it."""
    return (
        len(a) == len(b)
        and np.array_equal(a.g_per_kwh, b.g_per_kwh)
        and np.array_equal(a.starts, b.starts)
        and np.array_equal(a.ends, b.ends)
        and np.array_equal(a.sources, b.sources)
        and np.array_equal(a.low, b.low)
        and np.array_equal(a.high, b.high)
        and (a.signal, a.kind, a.factors, a.flow) == (b.signal, b.kind, b.factors, b.flow)
        and _calibrated_alike(a.calibration, b.calibration)
    )


def _calibrated_alike(a: Calibration | None, b: Calibration | None) -> bool:
    """Whether bands are set by the same factors, whenever the forecasts were issued."""
    if a is None or b is None:
        return a is b
    return np.array_equal(a.factors, b.factors)
