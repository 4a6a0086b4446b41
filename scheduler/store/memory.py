"""What jobs really cost, the last look at the queue, who was seen last, and by which config."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Float, bindparam
from sqlalchemy.orm import aliased
from sqlmodel import case, col, func, or_, select, update

from scheduler.models import Figures, JobState, QueuePlan
from scheduler.store import values
from scheduler.store.rows import (
    AccuracyRow,
    AttemptRow,
    BeatRow,
    ConfigRow,
    JobRow,
    QueuePlanRow,
    SettlementRow,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlmodel import Session
    from sqlmodel.sql.expression import SelectOfScalar

    from scheduler.models import Settlement
    from scheduler.store.database import Database


# Between two looks at a settlement passes this share of the time since the job ended.
GROWTH = 8


@cache
def _owed() -> SelectOfScalar[str]:
    now, pause_s = bindparam("now", type_=Float), bindparam("pause_s", type_=Float)
    seen = func.coalesce(SettlementRow.checked_at, SettlementRow.made_at)
    patience = (seen - JobRow.ended_at) / GROWTH
    pause = case((patience > pause_s, patience), else_=pause_s)
    later = aliased(SettlementRow)
    newer = select(later.id).where(
        later.job_id == SettlementRow.job_id, col(later.version) > SettlementRow.version
    )
    rests = select(SettlementRow.id).where(
        SettlementRow.job_id == JobRow.id,
        ~newer.exists(),
        seen <= now,
        or_(SettlementRow.status == "final", seen + pause > now),
    )
    begun = select(AttemptRow.id).where(
        AttemptRow.job_id == JobRow.id, col(AttemptRow.started_at).is_not(None)
    )
    return select(JobRow.id).where(
        col(JobRow.state).in_([str(state) for state in JobState if state.ended]),
        col(JobRow.pruned_at).is_(None),
        begun.exists(),
        ~rests.exists(),
    )


# Statements are built once: to build one takes longer than to run it.
_VERSIONS = select(SettlementRow).where(SettlementRow.job_id == bindparam("of"))
_NEWEST = _VERSIONS.order_by(col(SettlementRow.version).desc())
_IN_ORDER = _VERSIONS.order_by(col(SettlementRow.version))


@dataclass(frozen=True, slots=True)
class Version:
    """One settlement of a job, as it was made; numbers start at 1."""

    number: int
    made_at: datetime
    settlement: Settlement


class Settlements:
    """What jobs really cost: append-only, the highest version counts."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, job_id: str, settlement: Settlement, at: datetime) -> Version | None:
        """Append a version; None where the last one has the same figures (notes may differ).

        Either way it is known to have been looked at.
        """
        with self._db.write() as session:
            # Read under the write lock: a daemon and a command may settle the same job.
            last = _versions(self._db, session, job_id, newest=True)
            if last and replace(last[0].settlement, notes=()) == replace(settlement, notes=()):
                session.exec(
                    update(SettlementRow)
                    .where(
                        col(SettlementRow.job_id) == job_id,
                        col(SettlementRow.version) == last[0].number,
                    )
                    .values(checked_at=at.timestamp())
                )
                return None
            # One that cannot be read keeps its number.
            numbers = select(SettlementRow.version).where(SettlementRow.job_id == job_id)
            used = [n for n in session.exec(numbers) if isinstance(n, int) and n < values.LARGEST]
            number = max(used, default=0) + 1
            session.add(
                SettlementRow(
                    job_id=job_id,
                    version=number,
                    made_at=at.timestamp(),
                    checked_at=at.timestamp(),
                    status=settlement.status,
                    payload=values.settlement_text(settlement),
                    figures=values.figures_text(Figures.of(settlement)),
                )
            )
        return Version(number, at, settlement)

    def versions(self, job_id: str) -> list[Version]:
        """Every settlement that was made, the first one first."""
        with self._db.read() as session:
            return _versions(self._db, session, job_id)

    def latest(self, job_id: str) -> Settlement | None:
        """The settlement that counts, or None."""
        with self._db.read() as session:
            found = _versions(self._db, session, job_id, newest=True)
        return found[0].settlement if found else None

    def owed(self, now: datetime, pause_s: float) -> list[str]:
        """Ended jobs that ran, without a final settlement, that it is time to look at again.

        After ``pause_s``, and then ever more rarely: what a source has not told or revised after
        a day will hardly change within the next hour. A look that lies in the future was made on
        a clock that has been set back since, and does not count, however final.
        """
        params = {"now": now.timestamp(), "pause_s": pause_s}
        with self._db.read() as session:
            return list(session.exec(_owed(), params=params))


def _versions(
    db: Database, session: Session, job_id: str, *, newest: bool = False
) -> list[Version]:
    """Those that can be read; ``newest``: the last one of them alone."""
    rows = session.exec(_NEWEST if newest else _IN_ORDER, params={"of": job_id})
    read = values.readable(db, rows, values.settlement)
    return [Version(*said) for said in (islice(read, 1) if newest else read)]


class QueuePlans:
    """The last look at the whole queue."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def remember(self, made: QueuePlan, free: str = "") -> None:
        """Keep ``made`` in place of the one before, with what was ``free`` beside it."""
        content = asdict(made) | {"made_at": made.made_at.timestamp(), "free": free}
        with self._db.write() as session:
            session.merge(QueuePlanRow(id=1, **content))

    def latest(self) -> QueuePlan | None:
        """The last one; None where there is none that can be read: the next pass makes another."""
        with self._db.read() as session:
            row = session.get(QueuePlanRow, 1)
        rows = [] if row is None else [row]
        return next(values.readable(self._db, rows, _queue_plan), None)

    def free(self) -> str:
        """What was free beside the last one; empty where that was not noted."""
        with self._db.read() as session:
            row = session.get(QueuePlanRow, 1)
            return row.free if row is not None and isinstance(row.free, str) else ""


def _queue_plan(row: QueuePlanRow) -> QueuePlan:
    def read() -> QueuePlan:
        grams = (row.cost_g, row.lower_bound_g)
        cost_g, bound_g = (None if g is None else values.number(g) for g in grams)
        counts = values.whole(row.jobs), bool(row.together)
        late = values.whole(row.late)
        return QueuePlan(values.moment(row.made_at), *counts, cost_g, bound_g, late)

    return values.reading("queue_plan", row.id, read)


class Accuracies:
    """How good sources were lately, by zone: what a chain may be ordered by."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def remember(
        self, zone: str, source: str, mape_percent: float, hours: float, at: datetime
    ) -> None:
        """Keep the figure in place of the one before; ``hours`` is how much was judged."""
        row = AccuracyRow(
            zone=zone,
            source=source,
            made_at=at.timestamp(),
            mape_percent=mape_percent,
            hours=hours,
        )
        with self._db.write() as session:
            session.merge(row)

    def of(self, zone: str, least_hours: float) -> dict[str, float]:
        """MAPE (%) by source, of those judged over at least so many hours."""
        query = select(AccuracyRow).where(
            AccuracyRow.zone == zone, AccuracyRow.hours >= least_hours
        )
        with self._db.read() as session:
            found = {row.source: row.mape_percent for row in session.exec(query)}
        return {name: mape for name, mape in found.items() if isinstance(mape, float)}


@dataclass(frozen=True, slots=True)
class Beat:
    """Somebody's last sign of life; ``config`` is the digest of the configuration it goes by."""

    name: str
    at: datetime
    config: str | None


class Beats:
    """When a daemon, a tick or a source was last seen."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def beat(self, name: str, at: datetime, config: str | None = None) -> None:
        """Note that ``name`` is alive at ``at``."""
        with self._db.write() as session:
            session.merge(BeatRow(name=name, at=at.timestamp(), config=config))

    def last(self, name: str) -> datetime | None:
        """When ``name`` was last seen."""
        with self._db.read() as session:
            row = session.get(BeatRow, name)
            rows = [] if row is None else [row]
            return next((beat.at for beat in values.readable(self._db, rows, _beat)), None)

    def seen(self, prefix: str) -> list[Beat]:
        """All whose name begins with ``prefix``, the last one seen first."""
        query = select(BeatRow).where(col(BeatRow.name).startswith(prefix, autoescape=True))
        with self._db.read() as session:
            rows = session.exec(query.order_by(col(BeatRow.at).desc()))
            return list(values.readable(self._db, rows, _beat))


def _beat(row: BeatRow) -> Beat:
    return values.reading(
        "beat", row.name, lambda: Beat(values.text(row.name), values.moment(row.at), row.config)
    )


class Configs:
    """What configuration files held when jobs were submitted under them, by their digests."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def keep(self, digest: str, path: Path, text: bytes) -> None:
        """Store a file's text; the same that is there stays."""
        if self.get(digest) != (path.absolute(), text):
            row = ConfigRow(digest=digest, path=str(path.absolute()), content=text.decode())
            with self._db.write() as session:
                session.merge(row)

    def get(self, digest: str) -> tuple[Path, bytes] | None:
        """Where the file was, and what it held; None where it was not kept, or cannot be read."""
        with self._db.read() as session:
            row = session.get(ConfigRow, digest)
            rows = [] if row is None else [row]
            return next(values.readable(self._db, rows, read_config), None)


def read_config(row: ConfigRow) -> tuple[Path, bytes]:
    """Where a file was, and what it held."""
    return values.reading(
        "config",
        getattr(row, "digest", None),
        lambda: (Path(values.text(row.path)), values.text(row.content).encode()),
    )
