"""The queue as a pass over it sees it: only what is due, changed or asked for is read."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, literal_column
from sqlmodel import and_, col, func, or_, select, update

from providers.series import from_unix
from scheduler.models import Job, JobState
from scheduler.store import reservations, values
from scheduler.store.reservations import NAMED
from scheduler.store.rows import AttemptRow, JobRow

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter, ColumnElement
    from sqlmodel import Session
    from sqlmodel.sql.expression import Select, SelectOfScalar

    from scheduler.store.database import Database
    from scheduler.store.reservations import Reservation

WAITING = (JobState.QUEUED, JobState.PLANNED, JobState.PAUSED)
_LATEST = func.coalesce(JobRow.latest_start, JobRow.release, 0.0)
# Statements are built once: to build one takes twice as long as to run it on a short queue.
_PLANNED = col(JobRow.state) == str(JobState.PLANNED)
_WAITS = col(JobRow.state).in_([str(state) for state in WAITING])
_ORDER = (col(JobRow.submitted_at), col(JobRow.id))
_LIMIT: BindParameter[int] = bindparam("limit")
_BY = (JobRow.state, JobRow.places, JobRow.sight)
_GROUPS = (
    select(  # type: ignore[call-overload]
        *_BY,
        # One row with a time that is none moves the bounds of no other.
        func.min(values.sane(JobRow.release)),
        func.max(values.sane(JobRow.until)),
        func.count(),
    )
    .where(_WAITS)
    .group_by(*_BY)
    .order_by(*_BY)
)
_QUEUED = (
    select(JobRow)
    .where(col(JobRow.state) == str(JobState.QUEUED))
    .order_by(col(JobRow.latest_start).nulls_last(), *_ORDER)
    .limit(_LIMIT)
)
_PAUSED = select(JobRow).where(col(JobRow.state) == str(JobState.PAUSED)).order_by(*_ORDER)
# Written as the partial indexes are, or they are not used.
_CANCELLED: ColumnElement[bool] = literal_column("cancel_requested")
_DEPENDS: ColumnElement[bool] = literal_column("waits")
_DEPENDENT = (
    select(JobRow)
    .where(_DEPENDS, col(JobRow.state).in_([str(JobState.QUEUED), str(JobState.PLANNED)]))
    .order_by(*_ORDER)
)
_TO_CANCEL = select(JobRow).where(_CANCELLED, _WAITS).order_by(*_ORDER)
_OF_SERIES = (
    select(JobRow)
    .where(
        col(JobRow.recurrence).is_not(None),
        col(JobRow.state).in_([str(state) for state in JobState if not state.ended]),
    )
    .order_by(*_ORDER)
)
_NEXT = select(JobRow).where(_PLANNED).order_by(col(JobRow.planned_start)).limit(_LIMIT)
_MISSED = _NEXT.where(col(JobRow.planned_start) < bindparam("before"))
_IN_REGIONS = _NEXT.where(col(JobRow.region).in_(bindparam("regions", expanding=True)))
_HANDED = select(AttemptRow.id).where(
    AttemptRow.job_id == JobRow.id,
    col(AttemptRow.number) > JobRow.attempt,
    col(AttemptRow.ended_at).is_(None),
)
_TO_HAND_OVER = _NEXT.where(
    col(JobRow.planned_start) > bindparam("now"),
    col(JobRow.region).in_(bindparam("regions", expanding=True)),
    ~_HANDED.exists(),
)
_NAMED = select(JobRow).where(col(JobRow.id).in_(bindparam("ids", expanding=True)), _WAITS)
_TURNS = select(  # type: ignore[call-overload]
    JobRow.id,
    col(JobRow.priority),
    _LATEST,
    JobRow.submitted_at,
    JobRow.latest_start,
    JobRow.region,
    JobRow.host,
    JobRow.slots,
    JobRow.waits,
).where(_PLANNED, ~col(JobRow.cancel_requested))
_URGENT = _TURNS.where(col(JobRow.latest_start) < bindparam("latest"))
_BEGUN = _TURNS.where(col(JobRow.planned_start) <= bindparam("start"))
_RIVALS = _TURNS.where(
    col(JobRow.region) == bindparam("region"),
    col(JobRow.latest_start) < bindparam("before"),
    or_(
        col(JobRow.priority) > bindparam("rank"),
        and_(col(JobRow.priority) == bindparam("rank"), bindparam("than") >= _LATEST),
    ),
)
_MOMENTS = tuple(
    select(func.min(values.sane(column))).where(_PLANNED, col(column) > bindparam("now"))
    for column in (JobRow.planned_start, JobRow.latest_start)
)
# So many rows are taken from a cursor at once.
PAGE = 500
Urgency = tuple[int, float, float, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Waiting jobs of one state that may run in the same places (``home``, ``regions``).

    ``places`` is what the store calls these; ``sight`` names the forecasts by which their plans
    were last looked at; none may run before ``release_s`` or after ``until_s`` (Unix seconds).
    """

    state: JobState
    places: str
    sight: str
    release_s: float
    until_s: float
    jobs: int

    @property
    def home(self) -> str:
        """Where its jobs come from."""
        return self.places.partition("|")[0]

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that they ask for; empty: any."""
        return tuple(r for r in self.places.partition("|")[2].split(",") if r)


@dataclass(frozen=True, slots=True)
class Turn:
    """A planned job among those that want slots; ``urgency``: the lower the sooner.

    ``host`` is where it was submitted, empty where that was not noted.
    """

    job_id: str
    urgency: Urgency
    latest_s: float | None
    region: str
    host: str
    slots: int
    waits: bool


class Waiting:
    """Jobs that hold no slots yet, or have paused."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def groups(self) -> list[Group]:
        """All waiting jobs, by where they may run."""
        with self._db.read() as session:
            return [
                Group(JobState(state), places, sight, release or 0.0, until or 0.0, jobs)
                for state, places, sight, release, until, jobs in session.exec(_GROUPS)
                if isinstance(places, str) and isinstance(sight, str)
            ]

    def queued(self, limit: int) -> list[Job]:
        """Jobs without a plan, the most pressing first."""
        return self._jobs(_QUEUED, limit=limit)

    def paused(self) -> list[Job]:
        """Every paused job."""
        return self._jobs(_PAUSED)

    def dependent(self) -> list[Job]:
        """Jobs without slots that run after others."""
        return self._jobs(_DEPENDENT)

    def cancelled(self) -> list[Job]:
        """Waiting jobs that somebody asked to cancel."""
        return self._jobs(_TO_CANCEL)

    def missed(self, before: datetime, limit: int) -> list[Job]:
        """Planned jobs that should have started before then, the longest overdue first."""
        return self._jobs(_MISSED, before=before.timestamp(), limit=limit)

    def planned_in(self, regions: Collection[str], limit: int) -> list[Job]:
        """Planned jobs of some regions, the next to start first."""
        return self._jobs(_IN_REGIONS, regions=list(regions), limit=limit) if regions else []

    def seen_by(self, groups: Iterable[Group], limit: int) -> dict[str, list[Job]]:
        """Planned jobs of some groups by their places, the next to start before all others."""
        found: list[tuple[float, str]] = []
        with self._db.read() as session:
            for group in groups:
                query = (
                    select(JobRow.planned_start, JobRow.id)
                    .where(_PLANNED, JobRow.places == group.places, JobRow.sight == group.sight)
                    .order_by(col(JobRow.planned_start))
                    .limit(limit)
                )
                found += [
                    (start if isinstance(start, float) else 0.0, job_id)
                    for start, job_id in session.exec(query)
                ]
        by_places: dict[str, list[Job]] = {}
        for job in self._named([job_id for _, job_id in sorted(found)[:limit]]):
            places = values.places(job.spec.home, job.spec.regions)
            by_places.setdefault(places, []).append(job)
        return by_places

    def nearest(self, limit: int, also: Iterable[str] = ()) -> list[Job]:
        """Those named, and the planned and paused jobs that start next, up to ``limit``."""
        named = {job.id: job for job in self._named(sorted(also))}
        room = max(0, limit - len(named))
        others = [*self.paused(), *self._jobs(_NEXT, limit=room)]
        rest = [job for job in others if job.id not in named][:room]
        return sorted([*named.values(), *rest], key=lambda job: (job.spec.submitted_at, job.id))

    def due(self, start: datetime | None, latest: datetime) -> list[Turn]:
        """Planned jobs whose start has come, or whose latest start is before ``latest``."""
        found = self._turns(_URGENT, latest=latest.timestamp())
        if start is not None:
            found += self._turns(_BEGUN, start=start.timestamp())
        return sorted({turn.job_id: turn for turn in found}.values(), key=lambda turn: turn.urgency)

    def rivals(self, region: str, than: Urgency, before_s: float) -> Generator[Turn]:
        """More urgent planned jobs of a region whose latest start is before then."""
        params = {"rank": -than[0], "than": than[1], "region": region, "before": before_s}
        with (
            self._db.read() as session,
            closing(_turns(self._db, session, _RIVALS, params)) as turns,
        ):
            yield from (turn for turn in turns if turn.urgency < than)

    def next_moment(self, now: datetime) -> datetime | None:
        """The next start or latest start of a planned job after ``now``."""
        with self._db.read() as session:
            found = [session.exec(each, params={"now": now.timestamp()}).one() for each in _MOMENTS]
        return min((from_unix(at) for at in found if at is not None), default=None)

    def to_hand_over(self, regions: Sequence[str], now: datetime, limit: int) -> list[Job]:
        """Planned jobs of some regions that start later and wait at no engine yet."""
        return self._jobs(_TO_HAND_OVER, now=now.timestamp(), regions=list(regions), limit=limit)

    def of_series(self) -> dict[str, Job]:
        """Jobs of series that have not ended, by the id of their series."""
        found = self._jobs(_OF_SERIES)
        return {job.spec.recurrence: job for job in found if job.spec.recurrence is not None}

    def looked_at(
        self, seen: Mapping[str, tuple[str, Sequence[Reservation]]], at: datetime
    ) -> None:
        """Note by which forecasts plans that stay were looked at, and what they hold."""
        if not seen:
            return
        with self._db.write() as session:
            for job_id, (sight, held) in seen.items():
                moved = session.exec(
                    update(JobRow).where(col(JobRow.id) == job_id, _PLANNED).values(sight=sight)
                )
                if moved.rowcount:
                    reservations.keep(session, job_id, held, at.timestamp())

    def _jobs(self, statement: SelectOfScalar[JobRow], **params: object) -> list[Job]:
        with self._db.read() as session:
            rows = session.exec(statement, params=params)
            return list(values.readable(self._db, rows, values.job))

    def _named(self, ids: Sequence[str]) -> Iterator[Job]:
        with self._db.read() as session:
            for i in range(0, len(ids), NAMED):
                rows = session.exec(_NAMED, params={"ids": list(ids[i : i + NAMED])})
                yield from values.readable(self._db, rows, values.job)

    def _turns(self, statement: Select[Any], **params: object) -> list[Turn]:
        with self._db.read() as session:
            return list(_turns(self._db, session, statement, params))


def _turns(
    db: Database, session: Session, statement: Select[Any], params: Mapping[str, object]
) -> Generator[Turn]:
    """Read as they are needed, in any order."""
    found: Any = session.exec(statement, params=params, execution_options={"yield_per": PAGE})
    with closing(found) as rows:
        yield from values.readable(db, rows, lambda row: _turn(*row))


def _turn(
    job_id: str,
    rank: int,
    latest: float,
    at: float,
    bound: float | None,
    region: str | None,
    host: str,
    slots: int,
    waits: bool,
) -> Turn:
    def read() -> Turn:
        numbers = [values.number(each) for each in (rank, latest, at, slots, bound or 0.0)]
        texts = [values.text(each) for each in (job_id, region or "", host)]
        urgency = (-rank, numbers[1], numbers[2], job_id)
        return Turn(job_id, urgency, bound, texts[1], host, slots, bool(waits))

    return values.reading("job", job_id, read)
