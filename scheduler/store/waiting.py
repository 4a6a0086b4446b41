"""The queue as a pass over it sees it: only what is due, changed or asked for is read."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import literal_column
from sqlmodel import and_, col, func, or_, select, update

from providers.series import from_unix
from scheduler.models import Job, JobState
from scheduler.store import reservations, values
from scheduler.store.reservations import NAMED
from scheduler.store.rows import AttemptRow, JobRow

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlmodel import Session

    from scheduler.store.database import Database
    from scheduler.store.reservations import Reservation

WAITING = (JobState.QUEUED, JobState.PLANNED, JobState.PAUSED)
_PLANNED = col(JobRow.state) == str(JobState.PLANNED)
# Written as the partial indexes are, or they are not used.
_CANCELLED: ColumnElement[bool] = literal_column("cancel_requested")
_DEPENDS: ColumnElement[bool] = literal_column("waits")
_LATEST = func.coalesce(JobRow.latest_start, JobRow.release, 0.0)
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
        by = (JobRow.state, JobRow.places, JobRow.sight)
        # One row with a time that is none moves the bounds of no other.
        bounds = (func.min(values.sane(JobRow.release)), func.max(values.sane(JobRow.until)))
        query = (
            select(*by, *bounds, func.count())  # type: ignore[call-overload]
            .where(col(JobRow.state).in_([str(s) for s in WAITING]))
            .group_by(*by)
            .order_by(*by)
        )
        with self._db.read() as session:
            return [
                Group(JobState(state), places, sight, release or 0.0, until or 0.0, jobs)
                for state, places, sight, release, until, jobs in session.exec(query)
                if isinstance(places, str) and isinstance(sight, str)
            ]

    def queued(self, limit: int) -> list[Job]:
        """Jobs without a plan, the most pressing first."""
        return self._jobs(col(JobRow.state) == str(JobState.QUEUED), limit=limit)

    def paused(self) -> list[Job]:
        """Every paused job."""
        return self._jobs(col(JobRow.state) == str(JobState.PAUSED))

    def dependent(self) -> list[Job]:
        """Jobs without slots that run after others."""
        states = [str(JobState.QUEUED), str(JobState.PLANNED)]
        return self._jobs(_DEPENDS, col(JobRow.state).in_(states))

    def cancelled(self) -> list[Job]:
        """Waiting jobs that somebody asked to cancel."""
        return self._jobs(_CANCELLED, col(JobRow.state).in_([str(s) for s in WAITING]))

    def missed(self, before: datetime, limit: int) -> list[Job]:
        """Planned jobs that should have started before then, the longest overdue first."""
        return self._planned(col(JobRow.planned_start) < before.timestamp(), limit=limit)

    def planned_in(self, regions: Collection[str], limit: int) -> list[Job]:
        """Planned jobs of some regions, the next to start first."""
        return self._planned(col(JobRow.region).in_(regions), limit=limit) if regions else []

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
        others = [*self.paused(), *self._planned(limit=room)]
        rest = [job for job in others if job.id not in named][:room]
        return sorted([*named.values(), *rest], key=lambda job: (job.spec.submitted_at, job.id))

    def due(self, start: datetime | None, latest: datetime) -> list[Turn]:
        """Planned jobs whose start has come, or whose latest start is before ``latest``."""
        urgent = col(JobRow.latest_start) < latest.timestamp()
        if start is None:
            return self._turns(urgent)
        begun = col(JobRow.planned_start) <= start.timestamp()
        found = {turn.job_id: turn for turn in (*self._turns(urgent), *self._turns(begun))}
        return sorted(found.values(), key=lambda turn: turn.urgency)

    def rivals(self, region: str, than: Urgency, before_s: float) -> Generator[Turn]:
        """More urgent planned jobs of a region whose latest start is before then."""
        rank = -than[0]
        more = or_(
            col(JobRow.priority) > rank,
            and_(col(JobRow.priority) == rank, than[1] >= _LATEST),
        )
        near = and_(col(JobRow.region) == region, col(JobRow.latest_start) < before_s)
        with self._db.read() as session, closing(_turns(self._db, session, near, more)) as turns:
            yield from (turn for turn in turns if turn.urgency < than)

    def next_moment(self, now: datetime) -> datetime | None:
        """The next start or latest start of a planned job after ``now``."""
        found = []
        with self._db.read() as session:
            for column in (JobRow.planned_start, JobRow.latest_start):
                earliest = func.min(values.sane(column))
                query = select(earliest).where(_PLANNED, col(column) > now.timestamp())
                found.append(session.exec(query).one())
        return min((from_unix(at) for at in found if at is not None), default=None)

    def to_hand_over(self, regions: Sequence[str], now: datetime, limit: int) -> list[Job]:
        """Planned jobs of some regions that start later and wait at no engine yet."""
        there = select(AttemptRow.id).where(
            AttemptRow.job_id == JobRow.id,
            col(AttemptRow.number) > JobRow.attempt,
            col(AttemptRow.ended_at).is_(None),
        )
        return self._planned(
            col(JobRow.planned_start) > now.timestamp(),
            col(JobRow.region).in_(regions),
            ~there.exists(),
            limit=limit,
        )

    def of_series(self) -> dict[str, Job]:
        """Jobs of series that have not ended, by the id of their series."""
        living = [str(state) for state in JobState if not state.ended]
        found = self._jobs(col(JobRow.recurrence).is_not(None), col(JobRow.state).in_(living))
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

    def _planned(self, *where: ColumnElement[bool], limit: int | None = None) -> list[Job]:
        query = select(JobRow).where(_PLANNED, *where)
        query = query.order_by(col(JobRow.planned_start)).limit(limit)
        with self._db.read() as session:
            return list(values.readable(self._db, session.exec(query), values.job))

    def _jobs(self, *where: ColumnElement[bool], limit: int | None = None) -> list[Job]:
        query = select(JobRow).where(*where).limit(limit)
        query = query.order_by(
            *([] if limit is None else [col(JobRow.latest_start).nulls_last()]),
            col(JobRow.submitted_at),
            col(JobRow.id),
        )
        with self._db.read() as session:
            return list(values.readable(self._db, session.exec(query), values.job))

    def _named(self, ids: Sequence[str]) -> Iterator[Job]:
        with self._db.read() as session:
            for i in range(0, len(ids), NAMED):
                query = select(JobRow).where(
                    col(JobRow.id).in_(ids[i : i + NAMED]),
                    col(JobRow.state).in_([str(s) for s in WAITING]),
                )
                yield from values.readable(self._db, session.exec(query), values.job)

    def _turns(self, *where: ColumnElement[bool]) -> list[Turn]:
        with self._db.read() as session:
            return sorted(_turns(self._db, session, *where), key=lambda turn: turn.urgency)


def _turns(db: Database, session: Session, *where: ColumnElement[bool]) -> Generator[Turn]:
    """Read as they are needed, in any order."""
    columns = (
        JobRow.id,
        col(JobRow.priority),
        _LATEST,
        JobRow.submitted_at,
        JobRow.latest_start,
        JobRow.region,
        JobRow.host,
        JobRow.slots,
        JobRow.waits,
    )
    query = select(*columns).where(_PLANNED, ~col(JobRow.cancel_requested), *where)  # type: ignore[call-overload]
    with closing(session.exec(query, execution_options={"yield_per": PAGE})) as rows:
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
