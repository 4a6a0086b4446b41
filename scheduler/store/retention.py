"""Which ended jobs still hold more than is kept of them, and what is deleted of their rows and of
the forecasts that they were planned by.
"""

from __future__ import annotations

from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import bindparam
from sqlalchemy.orm import aliased
from sqlmodel import and_, col, delete, func, literal_column, or_, select, update

from scheduler.errors import DamagedRow
from scheduler.models import JobState
from scheduler.store import packed, values
from scheduler.store.entries import tell
from scheduler.store.forecasts import HAS_VALUES
from scheduler.store.rows import (
    AttemptRow,
    EventRow,
    ForecastRow,
    JobRow,
    RecurrenceRow,
    SettlementRow,
)
from scheduler.store.waiting import PAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlmodel import Session
    from sqlmodel.sql.expression import Select

    from scheduler.origin import Origin
    from scheduler.store.database import Database

_ENDED = tuple(str(state) for state in JobState if state.ended)
# Written as the partial index is, or it is not used.
_NOT_SWEPT: ColumnElement[bool] = literal_column("NOT swept")


def _is_over() -> ColumnElement[bool]:
    """Whether a job's newest settlement is final, or it has none and never started."""
    later = aliased(SettlementRow)
    newer = select(later.id).where(
        later.job_id == SettlementRow.job_id, col(later.version) > SettlementRow.version
    )
    final = select(SettlementRow.id).where(
        SettlementRow.job_id == JobRow.id, SettlementRow.status == "final", ~newer.exists()
    )
    begun = select(AttemptRow.id).where(
        AttemptRow.job_id == JobRow.id, col(AttemptRow.started_at).is_not(None)
    )
    return or_(final.exists(), ~begun.exists())


# Built once: each pass looks for what is to be swept.
_OVER = (
    select(JobRow.id, JobRow.spec)
    .where(col(JobRow.state).in_(_ENDED), _is_over())
    .order_by(col(JobRow.ended_at), JobRow.id)
)
_TO_SWEEP = _OVER.where(_NOT_SWEPT, col(JobRow.host).in_(bindparam("hosts", expanding=True)))
_TO_PRUNE = _OVER.where(col(JobRow.ended_at) < bindparam("before"), col(JobRow.pruned_at).is_(None))


class Retention:
    """Ended jobs whose figures do not change any more: settled finally, or never started."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def to_sweep(self, host: str) -> Generator[tuple[str, Origin | None]]:
        """Such jobs of a host that still hold all that they ever did, by id, and their origins."""
        return self._over(_TO_SWEEP, hosts=[host, ""])

    def to_prune(self, before: datetime) -> Generator[tuple[str, Origin | None]]:
        """The same of those that ended ``before`` then, and were not pruned."""
        return self._over(_TO_PRUNE, before=before.timestamp())

    def unsettled(self, before: datetime) -> int:
        """How many jobs that ended before then may not be pruned, as they are not yet settled."""
        query = select(func.count()).where(
            col(JobRow.state).in_(_ENDED), col(JobRow.ended_at) < before.timestamp(), ~_is_over()
        )
        with self._db.read() as session:
            return session.exec(query).one()

    def spent_forecasts(self, before: datetime) -> list[int]:
        """Rows of forecasts that say nothing of any time from ``before`` on, nor from when the
        first of the jobs was submitted that are kept by then. The newest one of each zone and chain
        of sources stays.
        """
        since_s = before.timestamp()
        goes = and_(col(JobRow.state).in_(_ENDED), col(JobRow.ended_at) < since_s, _is_over())
        kept = select(func.min(values.sane(JobRow.submitted_at))).where(
            col(JobRow.pruned_at).is_(None), or_(col(JobRow.ended_at).is_(None), ~goes)
        )
        newer = aliased(ForecastRow)
        replaced = select(newer.id).where(
            newer.zone == ForecastRow.zone,
            newer.chain == ForecastRow.chain,
            col(newer.ends) > newer.starts,
            col(newer.known_at) > ForecastRow.known_at,
        )
        with self._db.read() as session:
            first_s = session.exec(kept).one()
            since_s = since_s if first_s is None else min(first_s, since_s)
            query = select(ForecastRow.id).where(
                HAS_VALUES,
                col(ForecastRow.ends) < since_s,
                col(ForecastRow.checked_at) < since_s,
                replaced.exists(),
            )
            return [row_id for row_id in session.exec(query) if row_id is not None]

    def forget(self, forecast_ids: Collection[int]) -> None:
        """Delete these rows of forecasts."""
        with self._db.write() as session:
            session.exec(delete(ForecastRow).where(col(ForecastRow.id).in_(forecast_ids)))

    def swept(self, job_ids: Collection[str]) -> None:
        """Write the rows of jobs compactly, and note that nothing more is to be done to them."""
        with self._db.write() as session:
            for job_id in job_ids:
                _rewrite(session, job_id)

    def prune(self, job_ids: Collection[str], at: datetime, said: str) -> None:
        """Of these keep the job, its attempts and its newest settlement; ``said`` is the story."""
        newer = aliased(SettlementRow)
        superseded = select(newer.id).where(
            newer.job_id == SettlementRow.job_id, col(newer.version) > SettlementRow.version
        )
        with self._db.write() as session:
            for job_id in job_ids:
                session.exec(delete(EventRow).where(col(EventRow.job_id) == job_id))
                session.exec(
                    delete(SettlementRow).where(
                        col(SettlementRow.job_id) == job_id, superseded.exists()
                    )
                )
                mark = update(JobRow).where(col(JobRow.id) == job_id)
                session.exec(mark.values(pruned_at=at.timestamp()))
                tell(session, job_id, at, "pruned", said)

    def states(self, ids: Sequence[str]) -> dict[str, str]:
        """What has a run folder: the state of jobs, ``pruned`` where they are, and of series."""
        found: dict[str, str] = {}
        with self._db.read() as session:
            for first in range(0, len(ids), PAGE):
                some = ids[first : first + PAGE]
                jobs = select(JobRow.id, JobRow.state, JobRow.pruned_at)
                for job_id, state, at in session.exec(jobs.where(col(JobRow.id).in_(some))):
                    found[job_id] = state if at is None else "pruned"
                series = select(RecurrenceRow.id, RecurrenceRow.stopped_at)
                for series_id, at in session.exec(series.where(col(RecurrenceRow.id).in_(some))):
                    found[series_id] = "repeats" if at is None else "stopped"
        return found

    def _over(
        self, statement: Select[str, str], **params: object
    ) -> Generator[tuple[str, Origin | None]]:
        with self._db.read() as session:
            found = session.exec(statement, params=params, execution_options={"yield_per": PAGE})
            with closing(found) as rows:
                for job_id, spec in rows:
                    with suppress(DamagedRow):  # one that cannot be read is left alone
                        yield job_id, values.reading("job", job_id, partial(values.origin, spec))


def _rewrite(session: Session, job_id: str) -> None:
    changes: dict[str, object] = {"swept": True}
    plan = session.exec(select(JobRow.plan).where(JobRow.id == job_id)).one()
    if isinstance(plan, str) and not plan.startswith(packed.MARKS):
        changes["plan"] = values.decided(plan)
    session.exec(update(JobRow).where(col(JobRow.id) == job_id).values(**changes))
    written_before = and_(SettlementRow.job_id == job_id, col(SettlementRow.figures).is_(None))
    for row in session.exec(select(SettlementRow).where(written_before)):
        try:
            found = values.reading("settlement", row.id, partial(values.figures_of, row.payload))
        except DamagedRow:
            continue
        row.figures = values.figures_text(found)
        row.payload = packed.pack(packed.unpack(row.payload))
