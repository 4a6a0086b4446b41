"""What ended jobs have cost, row by row: for sums over as many jobs as there are."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlalchemy.orm import aliased
from sqlmodel import and_, case, col, select

from scheduler.errors import DamagedRow
from scheduler.models import JobState
from scheduler.store import values
from scheduler.store.rows import JobRow, SettlementRow
from scheduler.store.waiting import PAGE

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from scheduler.models import Figures
    from scheduler.store.database import Database

By = Literal["project", "user", "group"]
_ENDED = {str(state): state for state in JobState if state.ended}


class Spent(NamedTuple):
    """A job that ended as ``state``; ``name`` is the field of it that sums go by, ``figures`` those
    of its newest settlement. None of one that ``ran``: they are not stored, or cannot be read.
    """

    job_id: str
    state: JobState
    name: str | None
    ran: bool
    figures: Figures | None


class Spending:
    """Looks at what many jobs have cost that hold few of them in memory."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def since(self, since: datetime, by: By | None = None) -> Generator[Spent]:
        """Jobs that ended since then, in order of submission."""
        later = aliased(SettlementRow)
        newer = select(later.id).where(
            later.job_id == SettlementRow.job_id, col(later.version) > SettlementRow.version
        )
        # Rows of versions without figures have them in their payload alone.
        payload = case((col(SettlementRow.figures).is_(None), SettlementRow.payload), else_=None)
        named = {"user": JobRow.user, "group": JobRow.group, "project": JobRow.spec, None: None}
        columns = (
            JobRow.id,
            JobRow.state,
            named[by],
            JobRow.attempt,
            SettlementRow.figures,
            payload,
        )
        query = (
            select(*columns)  # type: ignore[call-overload]
            .select_from(JobRow)
            .join(
                SettlementRow,
                and_(col(SettlementRow.job_id) == JobRow.id, ~newer.exists()),
                isouter=True,
            )
            .where(col(JobRow.state).in_(_ENDED), col(JobRow.ended_at) >= since.timestamp())
            .order_by(JobRow.submitted_at, JobRow.id)
        )
        with (
            self._db.read() as session,
            closing(session.exec(query, execution_options={"yield_per": PAGE})) as rows,
        ):
            for job_id, state, name, attempt, figures, whole in rows:
                named_by = _project(name) if by == "project" else name
                yield Spent(
                    job_id, _ENDED[state], named_by, attempt > 0, _figures(job_id, figures, whole)
                )


def _figures(job_id: str, figures: str | None, payload: str | None) -> Figures | None:
    with suppress(DamagedRow):
        if figures is not None:
            return values.reading("settlement", job_id, partial(values.figures, figures))
        if payload is not None:
            return values.reading("settlement", job_id, partial(values.figures_of, payload))
    return None


def _project(spec: str) -> str | None:
    try:
        found = json.loads(spec).get("project")
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str) else None
