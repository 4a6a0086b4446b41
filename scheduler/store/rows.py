"""Tables. Rows never leave :mod:`scheduler.store`; everything else sees frozen values.

Times are Unix seconds (``REAL``), so that order and comparison need no parsing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel


class Payload(LargeBinary):
    """Packed bytes, as they are: SQLite keeps any type in any column, and one that is none is for
    who unpacks it.
    """

    def result_processor(self, dialect: Any, coltype: object) -> None:
        """Nothing is changed."""


class _Row(SQLModel):
    """A row of a table; pydantic makes its validators where they are used, which is hardly ever."""

    model_config = {"defer_build": True}


class JobRow(_Row, table=True):
    """One submitted job; ``spec`` and ``plan`` are JSON of the frozen values.

    What a pass over the queue looks for stands in columns of its own: ``places`` names home and
    the regions asked for, ``sight`` the forecasts by which its plan was last looked at, ``release``
    and ``until`` bound when it may run, ``waits`` says that it runs after others. ``plan`` of a job
    that has ended is packed, and holds no alternatives. ``swept``: nothing that only a living job
    needs is left of it; ``pruned_at``: since then its run folder is gone.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index("job_by_state", "state", "latest_start"),
        Index("job_by_group", "user", "group", "state", "ended_at"),
        Index("job_by_start", "state", "planned_start"),
        Index("job_by_end", "state", "ended_at"),
        Index("job_by_places", "state", "places", "sight", "planned_start", "release", "until"),
        # Those of which there are few, however long the queue is.
        Index("job_to_cancel", "state", sqlite_where=text("cancel_requested")),
        Index("job_after_others", "state", sqlite_where=text("waits")),
        Index("job_to_sweep", "state", "ended_at", sqlite_where=text("NOT swept")),
        Index("job_of_series", "recurrence", sqlite_where=text("recurrence IS NOT NULL")),
    )

    id: str = Field(primary_key=True)
    state: str
    spec: str = Field(sa_column=Column(Text, nullable=False))
    plan: str | None = Field(default=None, sa_column=Column(Text))
    region: str | None = None
    slots: int
    attempt: int = 0
    submitted_at: float = Field(index=True)
    latest_start: float | None = None
    planned_start: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    cancel_requested: bool = False
    reason: str = ""
    waited_s: float = 0.0
    user: str = ""
    group: str | None = None
    host: str = ""
    places: str = ""
    sight: str = ""
    release: float | None = None
    until: float | None = None
    priority: int = 0
    waits: bool = False
    recurrence: str | None = None
    name: str = ""
    pruned_at: float | None = None
    swept: bool = False


class ReservationRow(_Row, table=True):
    """A part of a waiting job's plan: Unix seconds ``[begins, ends)``.

    ``late`` is 1 on the last part of a plan that ends after its deadline.
    """

    __tablename__ = "reservation"

    job_id: str = Field(primary_key=True)
    begins: int = Field(sa_column=Column(BigInteger, primary_key=True))
    ends: int = Field(sa_column=Column(BigInteger, nullable=False))
    region: str
    host: str
    slots: int
    gpus: int
    late: int
    made_at: float


class PromisedRow(_Row, table=True):
    """By how much what all reservations hold in a place changes at a moment (Unix seconds)."""

    __tablename__ = "promised"

    region: str = Field(primary_key=True)
    host: str = Field(primary_key=True)
    at_s: int = Field(sa_column=Column(BigInteger, primary_key=True))
    slots: int
    gpus: int


class EventRow(_Row, table=True):
    """One line of a job's story; append-only."""

    __tablename__ = "event"

    id: int | None = Field(default=None, primary_key=True)
    job_id: str = Field(index=True)
    at: float
    kind: str
    detail: str


class AttemptRow(_Row, table=True):
    """One start of a job."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        Index("attempt_open", "job_id", sqlite_where=text("ended_at IS NULL")),
    )

    id: int | None = Field(default=None, primary_key=True)
    job_id: str = Field(index=True)
    number: int
    region: str
    run_dir: str
    token: str
    gpus: str = ""
    claimed_at: float
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    outcome: str | None = None
    host: str = ""


class ForecastRow(_Row, table=True):
    """What was believed of a zone since ``known_at``, when it was received; never overwritten.

    ``payload`` is the packed series, ``issued_at`` what it says of its own age; ``checked_at``
    moves when a source is asked again and says the same. A row that ends as it starts holds no
    forecast: its note says why the last question brought none.
    """

    __tablename__ = "forecast"
    __table_args__ = (Index("forecast_by_zone", "zone", "chain", "known_at"),)

    id: int | None = Field(default=None, primary_key=True)
    zone: str
    chain: str
    issued_at: float
    known_at: float
    checked_at: float
    starts: float
    ends: float
    payload: bytes = Field(sa_column=Column(Payload, nullable=False))


class ActualRow(_Row, table=True):
    """What a source told of a zone and UTC day (since 1970) at ``fetched_at``; append-only.

    ``checked_at`` moves while it says the same.
    """

    __tablename__ = "actual"
    __table_args__ = (Index("actual_by_day", "zone", "source", "day"),)

    id: int | None = Field(default=None, primary_key=True)
    zone: str
    source: str
    day: int
    signal: str
    fetched_at: float
    checked_at: float
    starts: float
    ends: float
    covered_s: float
    payload: bytes = Field(sa_column=Column(Payload, nullable=False))


class AccuracyRow(_Row, table=True):
    """How far a source's forecasts of a zone's next day lay off lately."""

    __tablename__ = "accuracy"

    zone: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    made_at: float
    mape_percent: float
    hours: float


class SettlementRow(_Row, table=True):
    """A settlement of a job; append-only, the highest version counts.

    ``figures`` is what sums over many jobs need of the packed ``payload``; None in rows of versions
    before there was that column.
    """

    __tablename__ = "settlement"
    __table_args__ = (UniqueConstraint("job_id", "version"),)

    id: int | None = Field(default=None, primary_key=True)
    job_id: str = Field(index=True)
    version: int
    made_at: float
    checked_at: float | None = None
    status: str
    payload: str = Field(sa_column=Column(Text, nullable=False))
    figures: str | None = Field(default=None, sa_column=Column(Text))


class RecurrenceRow(_Row, table=True):
    """A series of jobs; ``template`` is JSON of a spec, ``next`` the occurrence to be made."""

    __tablename__ = "recurrence"

    id: str = Field(primary_key=True)
    template: str = Field(sa_column=Column(Text, nullable=False))
    every: str
    tz: str
    within_s: float
    next: float
    submitted_at: float
    stopped_at: float | None = None


class QueuePlanRow(_Row, table=True):
    """The last look at the whole queue; one row. ``free`` is what nothing held then, as JSON."""

    __tablename__ = "queue_plan"

    id: int = Field(default=1, primary_key=True)
    made_at: float
    jobs: int
    together: bool
    cost_g: float | None = None
    lower_bound_g: float | None = None
    late: int
    free: str = ""


class BeatRow(_Row, table=True):
    """When a daemon or a tick was last seen; ``config`` is the digest of what it goes by."""

    __tablename__ = "beat"

    name: str = Field(primary_key=True)
    at: float
    config: str | None = None


class ConfigRow(_Row, table=True):
    """A configuration that jobs were submitted under, or that a pass went by; never changed."""

    __tablename__ = "config"

    digest: str = Field(primary_key=True)
    path: str
    content: str = Field(sa_column=Column(Text, nullable=False))


class LeaseRow(_Row, table=True):
    """Who may do something that only one does at a time, and until when."""

    __tablename__ = "lease"

    name: str = Field(primary_key=True)
    owner: str
    until: float
