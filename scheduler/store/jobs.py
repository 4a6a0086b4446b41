"""Jobs, their attempts and their story. State moves through one function only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam
from sqlmodel import case, col, func, or_, select, update

from scheduler.errors import UsageError
from scheduler.models import HOLDING, MOST, Attempt, Damaged, Event, Job, JobSpec, JobState, Plan
from scheduler.store import reservations, values
from scheduler.store.entries import OWN, enqueue, tell
from scheduler.store.moves import LEGAL_MOVES
from scheduler.store.rows import AttemptRow, EventRow, JobRow
from scheduler.texts import SHOWN, not_one, printable_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlmodel import Session

    from scheduler.store.database import Database
    from scheduler.store.reservations import Reservation

# So many plans are stored in one transaction: others want to write as well.
PLANS = 50
# So long (s) a trouble is of interest: what is met each day is looked at each day.
TROUBLE_S = 86400.0
# Sorts behind whatever an id may go on with.
LAST = "\U0010ffff"

# An attempt that holds slots and boards: it has not ended, whatever it does just now.
_HOLDING = (
    col(JobRow.state).in_([str(state) for state in HOLDING]),
    col(AttemptRow.ended_at).is_(None),
    col(AttemptRow.number) <= col(JobRow.attempt),
)
# What a row holds whose slots are no number is not known: one.
_SLOTS = case((col(JobRow.slots).between(0, MOST), col(JobRow.slots)), else_=1)
# Whose next attempt may wait at its engine.
_WAITING = (str(JobState.PLANNED), str(JobState.PAUSED))
# Statements are built once: to build one takes longer than to run it.
_ALL = select(JobRow).order_by(col(JobRow.submitted_at).desc(), col(JobRow.id).desc())
_IN_STATES = _ALL.where(col(JobRow.state).in_(bindparam("states", expanding=True)))
_ATTEMPTS = (
    select(AttemptRow).where(AttemptRow.job_id == bindparam("of")).order_by(col(AttemptRow.number))
)
_ITS_JOB = select(JobRow.id).where(
    JobRow.id == AttemptRow.job_id,
    col(JobRow.state).in_(_WAITING),
    col(JobRow.attempt) < AttemptRow.number,
)
# From the attempts that are open, not from all planned jobs.
_HANDED_OVER = (
    select(AttemptRow)
    .where(col(AttemptRow.ended_at).is_(None), _ITS_JOB.exists())
    .order_by(col(AttemptRow.id))
)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan to be stored, with what the job holds by it.

    ``told`` names the forecasts that it was made by, where those are not just the plan's own.
    """

    job: Job
    plan: Plan
    held: Sequence[Reservation] = ()
    told: str | None = None


def _held(session: Session, region: str | None = None) -> frozenset[str]:
    query = (
        select(AttemptRow.gpus)
        .join(JobRow, col(JobRow.id) == AttemptRow.job_id)
        .where(*_HOLDING, *([] if region is None else [col(AttemptRow.region) == region]))
    )
    held = (text for text in session.exec(query) if isinstance(text, str))
    return frozenset(g for text in held for g in text.split(",") if g)


def _named(session: Session, prefix: str) -> JobRow:
    exact = session.get(JobRow, prefix)
    if exact is not None:
        return exact
    # A range of the key, which LIKE would not use.
    begins = (col(JobRow.id) >= prefix, col(JobRow.id) < prefix + LAST)
    query = select(JobRow).where(*begins).order_by(col(JobRow.id)).limit(SHOWN + 1)
    found = session.exec(query).all()
    if len(found) != 1 or not prefix:
        raise UsageError(not_one("job", prefix, [row.id for row in found]))
    return found[0]


class Jobs:
    """The queue itself."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, job_id: str, spec: JobSpec, at: datetime) -> None:
        """Put a job into the queue."""
        with self._db.write() as session:
            enqueue(session, job_id, spec, at)

    def get(self, prefix: str) -> Job:
        """The job whose id starts with ``prefix``; :class:`UsageError` where not exactly one."""
        with self._db.read() as session:
            return values.job(_named(session, prefix))

    def found(self, prefix: str) -> Job | Damaged:
        """The same, also where its row cannot be read."""
        with self._db.read() as session:
            return values.found(_named(session, prefix))

    def damaged_in(self, states: Collection[JobState]) -> list[Damaged]:
        """Those in some states whose rows cannot be read."""
        query = select(JobRow).where(col(JobRow.state).in_([str(s) for s in states]))
        with self._db.read() as session:
            found = map(values.found, session.exec(query))
            return [each for each in found if isinstance(each, Damaged)]

    def end_damaged(self, damaged: Damaged, after: JobState, at: datetime, said: str) -> bool:
        """End a job whose row cannot be read; False where it stands elsewhere by now."""
        with self._db.write() as session:
            moved = session.exec(
                update(JobRow)
                .where(col(JobRow.id) == damaged.id, col(JobRow.state) == damaged.stored)
                .values(state=str(after), reason=printable_lines(said), ended_at=at.timestamp())
            )
            if moved.rowcount == 1:
                reservations.release(session, damaged.id)
                tell(session, damaged.id, at, str(after), said)
            return moved.rowcount == 1

    def find(
        self,
        states: Collection[JobState] | None = None,
        *,
        since: datetime | None = None,
        group: str | None = None,
    ) -> list[Job]:
        """Jobs in order of submission; ``since`` bounds the end."""
        query, params = _ALL, {}
        if states is not None:
            query, params = _IN_STATES, {"states": [str(s) for s in states]}
        if since is not None:
            query = query.where(col(JobRow.ended_at) >= since.timestamp())
        if group is not None:
            query = query.where(col(JobRow.group) == group)
        with self._db.read() as session:
            rows = reversed(session.exec(query, params=params).all())
            return list(values.readable(self._db, rows, values.job))

    def succeeded(self, user: str, group: str, limit: int) -> list[Job]:
        """The newest successful jobs of a user's group, newest last."""
        query = (
            select(JobRow)
            .where(
                col(JobRow.state) == str(JobState.SUCCEEDED),
                col(JobRow.user) == user,
                col(JobRow.group) == group,
            )
            .order_by(col(JobRow.ended_at).desc(), col(JobRow.id).desc())
            .limit(limit)
        )
        with self._db.read() as session:
            rows = reversed(session.exec(query).all())
            return list(values.readable(self._db, rows, values.job))

    def count(self) -> dict[JobState, int]:
        """How many jobs stand in each state."""
        with self._db.read() as session:
            query = select(JobRow.state, func.count()).group_by(JobRow.state)
            counted = dict(session.exec(query).all())
        return {state: counted[state] for state in JobState if state in counted}

    def transition(
        self,
        job_id: str,
        before: JobState,
        after: JobState,
        at: datetime,
        detail: str,
        *,
        noted: Attempt | None = None,
        retry: str | None = None,
        **changes: Any,
    ) -> bool:
        """Move a job, atomically, with a line in its story; False if it stood elsewhere.

        The only way that a state ever changes. A move outside :data:`LEGAL_MOVES` is a
        :class:`ValueError`: a fault of ours, not of a user. With it, all or nothing, an attempt is
        ``noted`` as it stands now, and a job that has ended goes back to the queue where ``retry``
        says why: who is killed in between leaves no attempt open, and no retry out. A job that is
        at another attempt by now, or whose attempt has ended, stays as it is: another dispatcher
        was there first. So does one that is to be cancelled while its next attempt waits at an
        engine, which would begin it.
        """
        with self._db.write() as session:
            if after is JobState.CANCELLED and _is_handed(session, job_id):
                return False
            if noted is not None and not _is_open(session, noted):
                return False
            if not self._move(session, job_id, before, after, at, detail, **changes):
                return False
            if noted is not None:
                _note(session, noted)
            if retry is not None:
                self._move(
                    session, job_id, after, JobState.QUEUED, at, retry, ended_at=None, plan=None
                )
            return True

    def plan(self, job: Job, plan: Plan, at: datetime) -> bool:
        """Store a plan that holds nothing: queued or planned -> planned; paused stays paused."""
        return self.plan_all([Planned(job, plan)], at) == {job.id}

    def plan_all(self, made: Iterable[Planned], at: datetime) -> set[str]:
        """The same for many at once, with what they hold; returns the ids of those that moved."""
        done = set()
        rest = iter(made)
        while some := list(islice(rest, PLANS)):
            with self._db.write() as session:
                done |= {each.job.id for each in some if self._plan(session, each, at)}
        return done

    def _plan(self, session: Session, made: Planned, at: datetime) -> bool:
        job, plan = made.job, made.plan
        if not self._move(
            session,
            job.id,
            job.state,
            JobState.PAUSED if job.state is JobState.PAUSED else JobState.PLANNED,
            at,
            f"{plan.window.region} from {plan.start:%Y-%m-%dT%H:%M:%SZ}: {plan.reason}",
            plan=values.plans().dump_json(plan).decode(),
            region=plan.window.region,
            planned_start=plan.start.timestamp(),
            sight=values.sight(plan.forecast_ids) if made.told is None else made.told,
        ):
            return False
        reservations.keep(session, job.id, made.held, at.timestamp())
        return True

    def handed(self, job: Job) -> Attempt | None:
        """The next attempt at a job, where it waits at its engine; or None."""
        return next((a for a in self.attempts(job.id) if a.number > job.attempt), None)

    def handed_over(self) -> list[Attempt]:
        """Those of all planned and paused jobs."""
        with self._db.read() as session:
            return list(values.readable(self._db, session.exec(_HANDED_OVER), values.attempt))

    def hand_over(self, job: Job, attempt: Attempt, said: str) -> bool:
        """Note the attempt that is handed to its engine; the job stays planned, or paused."""
        with self._db.write() as session:
            row = session.get(JobRow, job.id)
            if row is None or (row.state, row.attempt) != (job.state, job.attempt):
                return False
            if _attempt_row(session, attempt) is not None:
                return False
            session.add(values.attempt_row(attempt, ()))
            tell(session, job.id, attempt.claimed_at, "handed over", said)
            return True

    def withdraw(self, job: Job, attempt: Attempt, at: datetime, said: str) -> None:
        """Close an attempt that has never begun; its number is not used again."""
        with self._db.write() as session:
            row, its_job = _attempt_row(session, attempt), session.get(JobRow, job.id)
            if row is None or row.ended_at is not None:
                return
            if its_job is None or its_job.state not in _WAITING:
                return  # it was claimed meanwhile: whoever follows it sees what became of it
            row.ended_at, row.outcome = at.timestamp(), "withdrawn"
            its_job.attempt = attempt.number
            tell(session, job.id, at, "withdrawn", said)

    def claim(self, job: Job, attempt: Attempt, gpus: Sequence[str], capacity: int | None) -> bool:
        """Planned or paused -> starting, with its attempt, unless slots would be exceeded.

        Nor where another attempt has taken one of the boards since they were found free. A region
        without a host of its own has its slots on each host that jobs come from. ``capacity``
        None: its engine has begun it already.
        """
        with self._db.write() as session:
            held = session.exec(
                select(func.coalesce(func.sum(_SLOTS), 0))
                .join(AttemptRow, col(AttemptRow.job_id) == JobRow.id)
                .where(
                    AttemptRow.region == attempt.region,
                    col(AttemptRow.host).in_((attempt.host, "")),
                    *_HOLDING,
                )
            ).one()
            if capacity is not None and held + job.spec.slots > capacity:
                return False
            if not _held(session).isdisjoint(gpus):
                return False
            row, handed = session.get(JobRow, job.id), _attempt_row(session, attempt)
            if row is None or row.attempt != job.attempt:
                return False
            if handed is not None and handed.ended_at is not None:
                return False  # taken back meanwhile
            if not self._move(
                session,
                job.id,
                JobState.PAUSED if job.state is JobState.PAUSED else JobState.PLANNED,
                JobState.STARTING,
                attempt.claimed_at,
                f"attempt {attempt.number} in {attempt.region}",
                attempt=attempt.number,
                region=attempt.region,
            ):
                return False
            if handed is None:
                session.add(values.attempt_row(attempt, gpus))
            else:
                handed.claimed_at = attempt.claimed_at.timestamp()
            return True

    def attempts(self, job_id: str) -> list[Attempt]:
        """Every start of a job, in order."""
        with self._db.read() as session:
            return [values.attempt(r) for r in session.exec(_ATTEMPTS, params={"of": job_id})]

    def held_gpus(self, region: str | None = None) -> frozenset[str]:
        """Boards that attempts of active jobs hold, in one region or in all."""
        with self._db.read() as session:
            return _held(session, region)

    def moved(self, attempt: Attempt, region: str) -> None:
        """Record that an attempt waits in another region now."""
        with self._db.write() as session:
            session.exec(
                update(AttemptRow)
                .where(
                    col(AttemptRow.job_id) == attempt.job_id,
                    col(AttemptRow.number) == attempt.number,
                )
                .values(region=region)
            )

    def request_cancel(self, job_id: str, at: datetime, detail: str) -> None:
        """Mark a job that holds slots as to be stopped."""
        with self._db.write() as session:
            session.exec(
                update(JobRow).where(col(JobRow.id) == job_id).values(cancel_requested=True)
            )
            tell(session, job_id, at, "cancel", detail)

    def tell(self, job_id: str, at: datetime, kind: str, detail: str) -> None:
        """Add a line to a job's story, unless its last line of that kind says the same."""
        self._tell(job_id, at, kind, detail, -math.inf)

    def trouble(self, job_id: str, at: datetime, detail: str, kind: str = "trouble") -> None:
        """The same of what went wrong, said again twice a day while it lasts."""
        self._tell(job_id, at, kind, detail, at.timestamp() - TROUBLE_S / 2)

    def _tell(self, job_id: str, at: datetime, kind: str, detail: str, since_s: float) -> None:
        with self._db.write() as session:
            last = session.exec(
                select(EventRow)
                .where(EventRow.job_id == job_id, EventRow.kind == kind)
                .order_by(col(EventRow.id).desc())
                .limit(1)
            ).first()
            if (
                last is None
                or last.detail != printable_lines(detail)
                or not isinstance(last.at, float)  # damaged
                or last.at <= since_s
            ):
                tell(session, job_id, at, kind, detail)

    def troubled(self, now: datetime, limit: int) -> list[Event]:
        """The last trouble of each job and series, and of each step of a pass or source, that was
        met within a day; the newest first.
        """
        last = (
            select(func.max(EventRow.id))
            .where(
                or_(EventRow.kind == "trouble", EventRow.job_id == OWN),
                col(EventRow.at) > now.timestamp() - TROUBLE_S,
            )
            .group_by(col(EventRow.job_id), col(EventRow.kind))
        )
        query = select(EventRow).where(col(EventRow.id).in_(last))
        with self._db.read() as session:
            rows = session.exec(query.order_by(col(EventRow.id).desc()).limit(limit))
            return list(values.readable(self._db, rows, values.event))

    def events(self, job_id: str) -> list[Event]:
        """A job's story, oldest first."""
        with self._db.read() as session:
            query = select(EventRow).where(EventRow.job_id == job_id).order_by(col(EventRow.id))
            return list(values.readable(self._db, session.exec(query), values.event))

    def _move(
        self,
        session: Session,
        job_id: str,
        before: JobState,
        after: JobState,
        at: datetime,
        detail: str,
        **changes: Any,
    ) -> bool:
        if (before, after) not in LEGAL_MOVES:
            raise ValueError(f"job {job_id}: no move from {before} to {after}")
        values = {k: v.timestamp() if isinstance(v, datetime) else v for k, v in changes.items()}
        moved = session.exec(
            update(JobRow)
            .where(col(JobRow.id) == job_id, col(JobRow.state) == str(before))
            .values(state=str(after), reason=printable_lines(detail), **values)
        )
        if moved.rowcount != 1:
            return False
        tell(session, job_id, at, str(after), detail)
        if after not in {JobState.PLANNED, JobState.PAUSED}:
            reservations.keep(session, job_id, (), at.timestamp())
        if after.ended:
            _keep_decision(session, job_id)
        return True


def _keep_decision(session: Session, job_id: str) -> None:
    """Of its plan an ended job keeps what was decided."""
    plan = session.exec(select(JobRow.plan).where(JobRow.id == job_id)).one()
    if plan is not None:
        kept = update(JobRow).where(col(JobRow.id) == job_id)
        session.exec(kept.values(plan=values.decided(plan)))


def _attempt_row(session: Session, attempt: Attempt) -> AttemptRow | None:
    return session.exec(
        select(AttemptRow).where(
            AttemptRow.job_id == attempt.job_id, AttemptRow.number == attempt.number
        )
    ).first()


def _is_handed(session: Session, job_id: str) -> bool:
    """Whether the next attempt of a job without slots waits at an engine."""
    query = (
        select(AttemptRow.id)
        .join(JobRow, col(JobRow.id) == AttemptRow.job_id)
        .where(
            JobRow.id == job_id,
            col(JobRow.state).in_(_WAITING),
            col(AttemptRow.ended_at).is_(None),
            col(AttemptRow.number) > JobRow.attempt,
        )
    )
    return session.exec(query).first() is not None


def _is_open(session: Session, attempt: Attempt) -> bool:
    """Whether it is its job's attempt by now, and nobody has recorded its end."""
    job_row, row = session.get(JobRow, attempt.job_id), _attempt_row(session, attempt)
    at_it = job_row is not None and job_row.attempt == attempt.number
    return at_it and row is not None and row.ended_at is None


def _note(session: Session, attempt: Attempt) -> None:
    """When it began and ended, and how; what is not known yet may be told later."""
    begun, ended = attempt.started_at, attempt.ended_at
    session.exec(
        update(AttemptRow)
        .where(col(AttemptRow.job_id) == attempt.job_id, col(AttemptRow.number) == attempt.number)
        .values(
            started_at=None if begun is None else begun.timestamp(),
            ended_at=None if ended is None else ended.timestamp(),
            exit_code=attempt.exit_code,
            signal=attempt.signal,
            outcome=attempt.outcome,
        )
    )
