"""Rows to values and back, and rows that are none.

Whatever stands in a row, reading it gives a value or a :class:`DamagedRow`: a file of SQLite keeps
any type in any column. Who reads many rows leaves the damaged ones out; the database remembers
which they were (:attr:`Database.damaged`).
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlmodel import case, col

from providers.series import from_unix
from scheduler import cron, zones
from scheduler.errors import DamagedRow
from scheduler.models import (
    END_YEAR,
    Attempt,
    Damaged,
    Event,
    Figures,
    Job,
    JobSpec,
    JobState,
    Plan,
    Recurrence,
    Settlement,
)
from scheduler.quantities import LONGEST_S
from scheduler.store import packed
from scheduler.store.rows import AttemptRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement

    from scheduler.origin import Origin
    from scheduler.store.database import Database
    from scheduler.store.rows import EventRow, JobRow, RecurrenceRow, SettlementRow

Row = TypeVar("Row")
Value = TypeVar("Value")


@cache
def plans() -> TypeAdapter[Plan]:
    """Plans to and from JSON."""
    return TypeAdapter(Plan)


@cache
def _settlements() -> TypeAdapter[Settlement]:
    return TypeAdapter(Settlement)


@cache
def _figures() -> TypeAdapter[Figures]:
    return TypeAdapter(Figures)


# A daemon reads the same jobs at each pass, most of them those that run: as frozen values they are
# parsed once. A spec takes about 5 kB with its text, as does a plan.
SPECS, PLANS = 2048, 1024
# The largest whole number that every database keeps in a column of ours.
LARGEST = 2**31 - 1
# The end of the last time that a job can have, Unix seconds.
END_S = datetime(END_YEAR, 1, 1, tzinfo=UTC).timestamp()
# So much is said of why a row cannot be read.
LONGEST_WHY = 200


@lru_cache(SPECS)
def _spec(content: str) -> JobSpec:
    return JobSpec.model_validate_json(content)


def origin(spec: str) -> Origin | None:
    """Where a stored job comes from; :class:`ValueError` where its text is damaged."""
    return _spec(spec).origin


@lru_cache(PLANS)
def _plan(content: str) -> Plan:
    return plans().validate_json(packed.unpack(content))


def decided(content: str) -> str:
    """The text of a plan as an ended job keeps it: packed, and without the alternatives that it
    was chosen from. One that cannot be read stays as it is.
    """
    try:
        plan = json.loads(packed.unpack(content))
        plan["alternatives"] = []
    except (ValueError, TypeError, RecursionError):
        return content
    return packed.pack(json.dumps(plan, ensure_ascii=False, separators=(",", ":")))


def settlement_text(made: Settlement) -> str:
    """A settlement as it is stored."""
    return packed.pack(_settlements().dump_json(made).decode())


def figures_text(made: Figures) -> str:
    """What sums need of a settlement, as a list in the order of :class:`Figures`."""
    return json.dumps(made, separators=(",", ":"))


def figures(content: str) -> Figures:
    """The same, read; :class:`ValueError` where the text is damaged."""
    return _figures().validate_json(content)


def figures_of(payload: str) -> Figures:
    """The figures of a settlement as it is stored; whatever error its damage leads to."""
    content = json.loads(packed.unpack(payload))
    content["signal"] = (content["intensity"] or {}).get("signal")
    compared = content.get("planned_against_realized") or {}
    content["inside_band"] = compared.get("inside_band")
    for name, value in (content.get("first_come") or {}).items():
        content[f"first_come_{name}"] = value
    found = ((name, content[name]) for name in Figures._fields if name in content)
    return _figures().validate_python(
        {n: (f["low"], f["value"], f["high"]) if isinstance(f, dict) else f for n, f in found}
    )


def places(home: str, regions: Sequence[str]) -> str:
    """Where a job may run, as one column."""
    return f"{home}|{','.join(regions)}"


def sight(forecast_ids: Iterable[int]) -> str:
    """Forecasts by their row ids, as one column."""
    return " ".join(str(row_id) for row_id in sorted(set(forecast_ids)))


def attempt_row(made: Attempt, gpus: Sequence[str]) -> AttemptRow:
    """A start of a job as it is stored; ``gpus`` are the boards that it was given."""
    return AttemptRow(
        job_id=made.job_id,
        number=made.number,
        region=made.region,
        run_dir=made.run_dir,
        token=made.token,
        gpus=",".join(gpus),
        claimed_at=made.claimed_at.timestamp(),
        host=made.host,
    )


def readable(
    database: Database, rows: Iterable[Row], read: Callable[[Row], Value]
) -> Iterator[Value]:
    """What the rows say, without those that cannot be read, which the database remembers."""
    for row in rows:
        try:
            found = read(row)
        except DamagedRow as e:
            database.damaged[e.table, e.key] = e
        else:
            yield found


def reading(table: str, key: object, read: Callable[[], Value]) -> Value:
    """What ``read`` makes of a row; :class:`DamagedRow`, which names it, where that fails."""
    try:
        return read()
    except Exception as e:  # whatever a row holds is a fault of that row
        raise DamagedRow(table, key, why(e)) from e


def why(error: Exception) -> str:
    """What is wrong with a row in a few words, without its content: it may hold a secret."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".strip(": ")[:LONGEST_WHY]
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_WHY]


def text(value: Any) -> str:
    """A text; :class:`TypeError` for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where a text is due")
    return value


def number(value: Any) -> float:
    """A finite number; :class:`TypeError` or :class:`ValueError` for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"a {type(value).__name__} where a number is due")
    if not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return value


def whole(value: Any, least: int = 0) -> int:
    """A whole number from ``least`` on that every database keeps."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a {type(value).__name__} where a whole number is due")
    if not least <= value <= LARGEST:
        raise ValueError(f"{value} is not between {least} and {LARGEST}")
    return value


def moment(seconds: Any) -> datetime:
    """A time from Unix seconds."""
    return from_unix(number(seconds))


def sane(column: Any) -> ColumnElement[Any]:
    """A time (Unix seconds) in a column, as SQL; NULL where it is none that a job can have."""
    return case((col(column).between(0.0, END_S), column))


def _or_none(read: Callable[[Any], Value], value: Any) -> Value | None:
    return None if value is None else read(value)


def job(row: JobRow) -> Job:
    """A job as it is stored."""
    return reading("job", getattr(row, "id", None), lambda: _job(row))


def _job(row: JobRow) -> Job:
    return Job(
        id=text(row.id),
        spec=_spec(row.spec),
        state=JobState(row.state),
        attempt=whole(row.attempt),
        region=_or_none(text, row.region),
        plan=_or_none(_plan, row.plan),
        started_at=_or_none(moment, row.started_at),
        ended_at=_or_none(moment, row.ended_at),
        cancel_requested=bool(row.cancel_requested),
        reason=text(row.reason),
        waited_s=number(row.waited_s),
        pruned_at=_or_none(moment, row.pruned_at),
    )


def found(row: JobRow) -> Job | Damaged:
    """The same, also where the row cannot be read, as far as it can."""
    try:
        return job(row)
    except DamagedRow as e:
        return Damaged(str(row.id), str(row.state), str(e), bool(row.cancel_requested))


def attempt(row: AttemptRow) -> Attempt:
    """A start of a job as it is stored."""
    return reading("attempt", getattr(row, "id", None), lambda: _attempt(row))


def _attempt(row: AttemptRow) -> Attempt:
    if not text(row.run_dir).startswith("/"):
        raise ValueError("the run folder is not an absolute path")
    return Attempt(
        job_id=text(row.job_id),
        number=whole(row.number),
        region=text(row.region),
        run_dir=row.run_dir,
        token=text(row.token),
        gpus=tuple(g for g in row.gpus.split(",") if g),
        claimed_at=moment(row.claimed_at),
        started_at=_or_none(moment, row.started_at),
        ended_at=_or_none(moment, row.ended_at),
        exit_code=_or_none(whole, row.exit_code),
        signal=_or_none(whole, row.signal),
        outcome=_or_none(text, row.outcome),
        host=text(row.host),
    )


def event(row: EventRow) -> Event:
    """A line of a story as it is stored."""
    return reading(
        "event",
        getattr(row, "id", None),
        lambda: Event(text(row.job_id), moment(row.at), text(row.kind), text(row.detail)),
    )


def series(row: RecurrenceRow) -> Recurrence:
    """A job that repeats as it is stored."""
    return reading("recurrence", getattr(row, "id", None), lambda: _series(row))


def _series(row: RecurrenceRow) -> Recurrence:
    if not 0 < number(row.within_s) <= LONGEST_S:
        raise ValueError(f"{row.within_s} is not a span of time")
    cron.parse(text(row.every))
    return Recurrence(
        id=text(row.id),
        template=JobSpec.model_validate_json(row.template),
        every=row.every,
        tz=zones.checked(text(row.tz)),
        within_s=row.within_s,
        next=moment(row.next),
    )


def settlement(row: SettlementRow) -> tuple[int, datetime, Settlement]:
    """A version of a settlement, when it was made, and what it says."""
    return reading(
        "settlement",
        getattr(row, "id", None),
        lambda: (
            whole(row.version),
            moment(row.made_at),
            _settlements().validate_json(packed.unpack(row.payload)),
        ),
    )
