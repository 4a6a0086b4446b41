"""What `lowtide status` lists: what waits and runs, what ended last, and how many it leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlmodel import col, func, select

from scheduler.models import Damaged, JobState
from scheduler.store import values
from scheduler.store.rows import JobRow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from scheduler.models import Job
    from scheduler.store.database import Database

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs; None: whatever it is.

    ``name`` is a pattern with ``*`` and ``?``, upper and lower case alike; ``since`` bounds the
    end of jobs that have ended.
    """

    states: Collection[JobState] = tuple(JobState)
    group: str | None = None
    name: str | None = None
    user: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Jobs in order of submission; ``counts`` is how many are wanted, ``left_out`` how many of
    them are not listed, by state. ``damaged`` are those among them whose rows cannot be read, and
    with no state wanted more than others also those in a state that there is not.
    """

    jobs: list[Job]
    counts: Mapping[JobState, int]
    left_out: Mapping[JobState, int]
    damaged: tuple[Damaged, ...] = ()


class Listings:
    """Looks at the queue that bring few rows, however long it is."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, wanted: Wanted, *, ended: int | None, waiting: int | None) -> Listing:
        """All that hold slots, the ``waiting`` that start first, the ``ended`` that ended last.

        None: all of them.
        """
        found: list[Job] = []
        damaged: list[Damaged] = []
        with self._db.read() as session:
            counting = select(JobRow.state, func.count()).where(*_conditions(wanted))
            counted = session.exec(counting.group_by(JobRow.state)).all()
            counts = Counter({JobState(state): n for state, n in counted})
            for state in tuple(counts):
                query = select(JobRow).where(*_conditions(wanted), JobRow.state == str(state))
                if state.ended:
                    query = query.order_by(col(JobRow.ended_at).desc()).limit(ended)
                elif not state.active:
                    first = col(JobRow.planned_start).asc().nulls_first()
                    query = query.order_by(first).limit(waiting)
                for row in session.exec(query):
                    job = values.found(row)
                    if isinstance(job, Damaged):
                        damaged.append(job)
                        counts[state] -= 1
                    else:
                        found.append(job)
            if set(wanted.states) == set(JobState):
                unknown = select(JobRow).where(col(JobRow.state).not_in([str(s) for s in JobState]))
                others = map(values.found, session.exec(unknown))
                damaged += [each for each in others if isinstance(each, Damaged)]
        over = sorted((j for j in found if j.state.ended), key=lambda j: j.ended_at or _NEVER)
        kept = over if ended is None else over[max(0, len(over) - ended) :]
        jobs = [job for job in found if not job.state.ended] + kept
        jobs.sort(key=lambda job: (job.spec.submitted_at, job.id))
        left_out = counts - Counter(job.state for job in jobs)
        return Listing(jobs, +counts, left_out, tuple(damaged))


def _conditions(wanted: Wanted) -> list[Any]:
    found: list[Any] = [col(JobRow.state).in_([str(state) for state in wanted.states])]
    if wanted.group is not None:
        found.append(col(JobRow.group) == wanted.group)
    if wanted.user is not None:
        found.append(col(JobRow.user) == wanted.user)
    if wanted.name is not None:
        found.append(col(JobRow.name).ilike(_like(wanted.name), escape="\\"))
    if wanted.since is not None:
        at = col(JobRow.ended_at)
        found.append(at.is_(None) | (at >= wanted.since.timestamp()))
    return found


def _like(pattern: str) -> str:
    """A pattern of a shell in SQL's words."""
    for mark in ("\\", "%", "_"):
        pattern = pattern.replace(mark, f"\\{mark}")
    return pattern.replace("*", "%").replace("?", "_")
