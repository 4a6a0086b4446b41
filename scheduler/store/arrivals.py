"""Jobs as they came, row by row: for what a plain queue would have made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlmodel import and_, case, col, or_, select

from scheduler.models import JobState
from scheduler.store.rows import JobRow

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.store.database import Database

_ENDED = tuple(str(state) for state in JobState if state.ended)
_OPEN = tuple(str(state) for state in JobState if not state.ended)


@dataclass(frozen=True, slots=True)
class Came:
    """A job that ran or is still to: when it was ready (Unix seconds), and what it holds.

    ``host`` is where it was submitted, empty where that was not noted. ``run_s`` is how long it
    really ran where it has ended (``known``), else how long it is expected to.
    """

    job_id: str
    home: str
    host: str
    ready_s: float
    submitted_s: float
    run_s: float
    slots: int
    known: bool


class Arrivals:
    """Looks at many jobs that hold few of them in memory."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def since(self, since: datetime, now: datetime) -> list[Came]:
        """Those that ran and ended since then, and all that have not ended.

        A row that cannot be read is left out: who settles its job says so.
        """
        spec = case(
            (or_(col(JobRow.ended_at).is_(None), col(JobRow.waits)), JobRow.spec), else_=None
        )
        columns = (
            JobRow.id, JobRow.places, JobRow.host, JobRow.release, JobRow.submitted_at,
            JobRow.started_at, JobRow.ended_at, JobRow.waited_s, JobRow.slots, spec,
        )  # fmt: skip
        over = and_(
            col(JobRow.state).in_(_ENDED),
            col(JobRow.ended_at) >= since.timestamp(),
            col(JobRow.started_at).is_not(None),
        )
        query = select(*columns).where(  # type: ignore[call-overload]
            or_(over, col(JobRow.state).in_(_OPEN))
        )
        found: dict[str, Came] = {}
        after: dict[str, list[str]] = {}
        ended: dict[str, float] = {}
        with self._db.read() as session:
            for row in session.exec(query):
                try:
                    came, waits_for = _came(row, now.timestamp())
                except (AttributeError, TypeError, ValueError, RecursionError):
                    continue
                found[came.job_id] = came
                after[came.job_id] = waits_for
                if came.known:
                    ended[came.job_id] = float(row[6])
        # A job that runs after others is ready when these have ended, as it is for its settlement.
        return [
            replace(came, ready_s=max([came.ready_s, *(ended.get(x, 0.0) for x in after[job_id])]))
            for job_id, came in found.items()
        ]


def _came(row: tuple[object, ...], now_s: float) -> tuple[Came, list[str]]:
    job_id, places, host, release, submitted, started, ended, waited, slots, text = row
    spec = {} if text is None else json.loads(str(text))
    submitted_s = float(str(submitted))
    run_s = float(spec.get("duration_s") or 0.0)
    if started is not None:
        ran_s = float(str(now_s if ended is None else ended)) - float(str(started))
        ran_s -= float(str(waited))
        run_s = max(0.0, ran_s) if ended is not None else max(run_s, ran_s)
    came = Came(
        job_id=str(job_id),
        home=str(places).partition("|")[0],
        host=str(host),
        ready_s=submitted_s if release is None else float(str(release)),
        submitted_s=submitted_s,
        run_s=run_s,
        slots=int(str(slots)),
        known=ended is not None,
    )
    return came, [str(each) for each in spec.get("after") or ()]
