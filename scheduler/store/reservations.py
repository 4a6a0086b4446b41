"""What plans of waiting jobs hold of each place, kept as it changes: reading it costs what there
is of time ahead, however many jobs wait.

A reservation is a part of a plan, in whole Unix seconds. Beside them stands their sum, as by how
much it changes at each moment.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlmodel import col, delete, func, select

from providers.series import from_unix
from scheduler.errors import DamagedRow
from scheduler.models import MOST
from scheduler.quantities import LONGEST_S
from scheduler.store import values
from scheduler.store.rows import PromisedRow, ReservationRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlmodel import Session
    from sqlmodel.sql.expression import SelectOfScalar

    from scheduler.store.database import Database

# So many ids are named in one statement.
NAMED = 500
ADD = text(
    "INSERT INTO promised (region, host, at_s, slots, gpus) "
    "VALUES (:region, :host, :at_s, :slots, :gpus) ON CONFLICT (region, host, at_s) DO UPDATE "
    "SET slots = promised.slots + excluded.slots, gpus = promised.gpus + excluded.gpus"
)
_CLEAN = text(
    "DELETE FROM promised WHERE region = :region AND host = :host AND at_s = :at_s "
    "AND slots = 0 AND gpus = 0"
)

# What a plan can hold, also where a file of SQLite has other types in a column: a text is above
# every number there, and bytes with nothing added to them are a text, which they do not equal.
_IS_TEXT = "(region || '') = region AND (host || '') = host"
_NO_PLAN = (
    f"WHERE CASE WHEN {_IS_TEXT} AND (job_id || '') = job_id AND begins BETWEEN 0 AND :end_s "
    "AND ends BETWEEN begins + 1 AND :end_s AND slots BETWEEN 0 AND :most "
    "AND gpus BETWEEN 0 AND :most AND late BETWEEN 0 AND 1 AND made_at BETWEEN 0 AND :end_s "
    "THEN 0 ELSE 1 END = 1"
)
_NO_STEP = (
    f"CASE WHEN {_IS_TEXT} AND at_s BETWEEN 0 AND :end_s AND slots BETWEEN -:largest AND :largest "
    "AND gpus BETWEEN -:largest AND :largest THEN 0 ELSE 1 END = 1"
)
# What is held from some moment on is given back at another: all steps add up to nothing.
_WRONG = (
    text(f"SELECT count(*) FROM reservation {_NO_PLAN}"),  # noqa: S608 -- no word of anybody's
    text(f"SELECT count(*) FROM promised WHERE {_NO_STEP}"),  # noqa: S608
    text("SELECT coalesce(sum(slots), 0) <> 0 OR coalesce(sum(gpus), 0) <> 0 FROM promised"),
)
_DROP = text(f"DELETE FROM reservation {_NO_PLAN}")  # noqa: S608
_SUMS = (
    "SELECT region, host, at_s, sum(slots), sum(gpus) FROM ("
    "SELECT region, host, begins AS at_s, slots, gpus FROM reservation UNION ALL "
    "SELECT region, host, ends, -slots, -gpus FROM reservation) AS part "
    "GROUP BY region, host, at_s HAVING sum(slots) <> 0 OR sum(gpus) <> 0"
)
_PROMISED = select(PromisedRow).order_by(
    col(PromisedRow.region), col(PromisedRow.host), col(PromisedRow.at_s)
)
_WHOLE = select(
    func.count(func.distinct(ReservationRow.job_id)),
    func.coalesce(func.sum(ReservationRow.late), 0),
    func.max(values.sane(ReservationRow.made_at)),
)
_RECOUNT = text(f"INSERT INTO promised (region, host, at_s, slots, gpus) {_SUMS}")


@dataclass(frozen=True, slots=True)
class Reservation:
    """``slots`` and ``gpus`` of a region's host over the seconds ``[begins, ends)``."""

    region: str
    host: str
    begins: int
    ends: int
    slots: int
    gpus: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """From ``at_s`` (Unix seconds) on so much more, or less, is held of a region's host."""

    region: str
    host: str
    at_s: int
    slots: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Whole:
    """Jobs with a reservation, how many of them are late, and the newest plan among theirs."""

    jobs: int
    late: int
    made_at: datetime | None


class Reservations:
    """What is held by whom."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def promised(self) -> list[Step]:
        """What is held by all together, in order of place and time.

        Where that is damaged, and until a pass has mended it, it is added up from what can be read.
        """
        with self._db.read() as session:
            rows = session.exec(_PROMISED).all()
            try:
                return [_step(r.region, r.host, r.at_s, r.slots, r.gpus) for r in rows]
            except (TypeError, ValueError):
                sums = session.connection().execute(text(_SUMS)).all()
        return list(values.readable(self._db, sums, lambda row: _sum(*row)))

    def of(self, job_ids: Iterable[str]) -> list[Reservation]:
        """Those of some jobs."""
        ids = sorted(job_ids)
        with self._db.read() as session:
            return [
                part
                for i in range(0, len(ids), NAMED)
                for part in values.readable(
                    self._db, session.exec(_of(ids[i : i + NAMED])), _readable
                )
            ]

    def whole(self) -> Whole:
        """How many there are."""
        with self._db.read() as session:
            jobs, late, made_at = session.exec(_WHOLE).one()
        return Whole(jobs, int(late), None if made_at is None else from_unix(made_at))

    def mend(self, now: datetime) -> bool:
        """Take away what no plan holds, and add up the rest again where the sum is wrong.

        A figure that is none would plan the whole queue wrongly, or not at all; the job's plan
        itself is not touched. Whether anything was wrong.
        """
        with self._db.read() as session:
            wrong = any(session.connection().scalar(query, _bounds(now)) for query in _WRONG)
        if wrong:
            with self._db.write() as session:
                session.connection().execute(_DROP, _bounds(now))
                _recount(session)
        return wrong


def release(session: Session, job_id: str) -> None:
    """Take away what a job holds, whatever its rows say, within the caller's transaction."""
    session.exec(delete(ReservationRow).where(col(ReservationRow.job_id) == job_id))
    _recount(session)


def _recount(session: Session) -> None:
    session.connection().execute(text("DELETE FROM promised"))
    session.connection().execute(_RECOUNT)


def _bounds(now: datetime) -> dict[str, float]:
    """What a plan goes by: none ends later than the longest wait and the longest run."""
    end_s = int(now.timestamp() + 3 * LONGEST_S)
    return {"end_s": end_s, "most": MOST, "largest": values.LARGEST}


def keep(session: Session, job_id: str, held: Sequence[Reservation], made_at_s: float) -> None:
    """Replace what a job holds, within the caller's transaction."""
    rows = session.exec(_of([job_id]).order_by(col(ReservationRow.begins))).all()
    try:
        before = [_readable(row) for row in rows]
    except DamagedRow:
        release(session, job_id)
        before = []
    if list(held) == before:
        return
    if before:
        session.exec(delete(ReservationRow).where(col(ReservationRow.job_id) == job_id))
    for part in held:
        session.add(
            ReservationRow(
                job_id=job_id,
                begins=part.begins,
                ends=part.ends,
                region=part.region,
                host=part.host,
                slots=part.slots,
                gpus=part.gpus,
                late=int(part.late),
                made_at=made_at_s,
            )
        )
    session.flush()
    slots, gpus = Counter[tuple[str, str, int]](), Counter[tuple[str, str, int]]()
    for parts, sign in ((before, -1), (held, 1)):
        for part in parts:
            for at_s, way in ((part.begins, sign), (part.ends, -sign)):
                slots[part.region, part.host, at_s] += way * part.slots
                gpus[part.region, part.host, at_s] += way * part.gpus
    steps = [
        {"region": region, "host": host, "at_s": at_s, "slots": n, "gpus": gpus[region, host, at_s]}
        for (region, host, at_s), n in slots.items()
        if n or gpus[region, host, at_s]
    ]
    if steps:
        session.connection().execute(ADD, steps)
        session.connection().execute(_CLEAN, steps)


def _of(job_ids: Sequence[str]) -> SelectOfScalar[ReservationRow]:
    return select(ReservationRow).where(col(ReservationRow.job_id).in_(job_ids))


def _step(region: object, host: object, at_s: object, slots: object, gpus: object) -> Step:
    """A step whose figures are some; else :class:`TypeError` or :class:`ValueError`."""
    counts = (values.whole(n, -values.LARGEST) for n in (slots, gpus))
    at = values.number(at_s)
    if not 0 <= at < values.END_S:
        raise ValueError(f"{at_s} is not a time")
    return Step(values.text(region), values.text(host), int(at), *counts)


def _sum(region: str, host: str, at_s: int, slots: float, gpus: float) -> Step:
    return values.reading(
        "reservation", f"of {region}", lambda: _step(region, host, at_s, int(slots), int(gpus))
    )


def _readable(r: ReservationRow) -> Reservation:
    def read() -> Reservation:
        begin = _step(r.region, r.host, r.begins, r.slots, r.gpus)
        end = _step(r.region, r.host, r.ends, r.slots, r.gpus)
        late = bool(values.whole(r.late))
        return Reservation(
            begin.region, begin.host, begin.at_s, end.at_s, begin.slots, begin.gpus, late
        )

    return values.reading("reservation", f"of {r.job_id}", read)
