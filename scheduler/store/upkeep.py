"""Looking after the database itself: upgrade, check, backup."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text
from sqlmodel import select

from scheduler.errors import DamagedRow, StoreError, UsageError
from scheduler.models import HOLDING, JobState
from scheduler.store import actuals, forecasts, memory, migrations, reservations, values
from scheduler.store.database import Database, dialect_of
from scheduler.store.entries import OWN, tell
from scheduler.store.rows import (
    ActualRow,
    AttemptRow,
    ConfigRow,
    EventRow,
    ForecastRow,
    JobRow,
    RecurrenceRow,
    SettlementRow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlmodel import Session

    from scheduler.address import Address
    from scheduler.store.dialect import Finding

# Rows of these tables belong to a job; a line of the story may also belong to a series, or to
# lowtide itself.
OF_JOBS = ("attempt", "settlement", "event", "reservation")
# Rows that are read one by one: how.
READERS: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "job": (JobRow, values.job),
    "recurrence": (RecurrenceRow, values.series),
    "attempt": (AttemptRow, values.attempt),
    "event": (EventRow, values.event),
    "settlement": (SettlementRow, values.settlement),
    "forecast": (ForecastRow, forecasts.read),
    "actual": (ActualRow, actuals.read),
    "config": (ConfigRow, memory.read_config),
}
# So many of them at a time, and so many that cannot be read are named.
PAGE, SHOWN = 50, 20
# Moments at which the sum of what plans hold is not what it should be.
UNEVEN = """FROM (
    SELECT region, host, at_s FROM (
        SELECT region, host, at_s, slots, gpus FROM promised
        UNION ALL SELECT region, host, begins, -slots, -gpus FROM reservation
        UNION ALL SELECT region, host, ends, slots, gpus FROM reservation) AS part
    GROUP BY region, host, at_s HAVING sum(slots) <> 0 OR sum(gpus) <> 0) AS uneven"""


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found; ``ok`` where nothing is wrong."""

    database: str
    kind: str
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every check was passed."""
        return all(ok for _, ok, _ in self.findings)


def upgrade(address: Address, environ: Mapping[str, str], now: datetime) -> list[str]:
    """Run the migrations that the database lacks; returns their names."""
    with _opened(address, environ) as database:
        return database.bring_up(now.timestamp(), upgrade=True)


def check(address: Address, environ: Mapping[str, str]) -> Health:
    """Look at all of it and change nothing; what it lacks is a finding, not an error."""
    _must_exist(address)
    with _opened(address, environ) as database, database.read() as session:
        connection, dialect = session.connection(), database.dialect
        seen = migrations.applied(connection, dialect)
        missing = tuple(name for name in migrations.NAMES if name not in (seen or ()))
        unknown = tuple(name for name in seen or () if name not in migrations.NAMES)
        findings = [*dialect.integrity(connection), _versions(seen, missing, unknown)]
        if seen and not missing:
            findings += _rows(connection)
            findings += _unreadable(session)
        return Health(dialect.shown, dialect.name, missing, unknown, tuple(findings))


def backup(address: Address, environ: Mapping[str, str], target: Path, *, force: bool) -> None:
    """Write a consistent copy to ``target``, whole or not at all, while others go on.

    :class:`UsageError` where ``target`` is there, without ``force``, or cannot be written.
    """
    _must_exist(address)
    if target.exists() and not force:
        raise UsageError(f"{target} is there already: name another file, or add --force")
    if target.is_dir() or (address.path is not None and target.resolve() == address.path.resolve()):
        raise UsageError(f"{target} is a folder or the database itself: name a new file")
    part = target.with_name(f".{target.name}.part")
    with _opened(address, environ) as database:
        try:
            part.unlink(missing_ok=True)
            database.dialect.backup(part)
            part.replace(target)
        except OSError as e:
            raise UsageError(f"{target} cannot be written: {e}") from e
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _opened(address: Address, environ: Mapping[str, str]) -> Iterator[Database]:
    database = Database(dialect_of(address, environ))
    try:
        yield database
    finally:
        database.close()


def _must_exist(address: Address) -> None:
    """Opening a file of SQLite would make it."""
    if address.path is not None and not address.path.is_file():
        raise StoreError(f"there is no database {address.path}: it is made by the first command")


def _versions(
    seen: list[str] | None, missing: tuple[str, ...], unknown: tuple[str, ...]
) -> Finding:
    if seen is None:
        return "migrations", False, "this is no database of lowtide yet: run `lowtide db upgrade`"
    if unknown:
        return "migrations", False, f"{', '.join(unknown)} of a newer version: upgrade lowtide"
    if missing:
        return "migrations", False, f"{', '.join(missing)} missing: run `lowtide db upgrade`"
    return "migrations", True, f"all {len(seen)} applied, the last is {seen[-1]}"


def _rows(connection: Connection) -> Iterator[Finding]:
    """What no constraint holds: rows of no job, unknown states, starts without an attempt, sums."""
    for table in OF_JOBS:
        known = "SELECT id FROM job"
        if table == "event":
            known += f" UNION SELECT id FROM recurrence UNION SELECT '{OWN}'"  # noqa: S608
        query = f"FROM {table} WHERE job_id NOT IN ({known})"
        yield _none(connection, f"{table} rows", query, "belong to no job")
    states = ", ".join(f"'{state}'" for state in JobState)
    query = f"FROM job WHERE state NOT IN ({states})"
    yield _none(connection, "job states", query, "are in a state that nobody knows")
    holding = ", ".join(f"'{state}'" for state in sorted(HOLDING))
    query = (
        f"FROM job WHERE state IN ({holding}) AND NOT EXISTS (SELECT 1 FROM attempt "  # noqa: S608
        "WHERE attempt.job_id = job.id AND attempt.number = job.attempt)"
    )
    yield _none(connection, "attempts", query, "have started without an attempt")
    yield _none(connection, "promised slots", UNEVEN, "moments are not the sum of the plans")


def _unreadable(session: Session) -> Iterator[Finding]:
    """Every row is read, a few at a time; those that cannot be are named, the first ones."""
    for table, (row_type, read) in READERS.items():
        named: list[str] = []
        count = 0
        rows = session.exec(select(row_type), execution_options={"yield_per": PAGE})
        for row in rows:
            try:
                read(row)
            except DamagedRow as e:
                count += 1
                if len(named) < SHOWN:
                    named.append(f"{e.key} ({e.why})")
        more = ", ..." if count > len(named) else ""
        said = f"{count} cannot be read: {'; '.join(named)}{more}; see `lowtide db delete -h`"
        yield f"{table} rows read", not count, said if count else "ok"


def delete(
    address: Address, environ: Mapping[str, str], table: str, key: str, now: datetime
) -> list[str]:
    """Delete a row that cannot be read; a job's or series' with all that belongs to it. What was
    deleted, in words.

    :class:`UsageError` where there is no such row, where it can be read, and where the job's
    processes may still run.
    """
    if table not in READERS:
        named = ", ".join(READERS)
        raise UsageError(f"rows of {table!r} cannot be deleted: only those of {named} can")
    _must_exist(address)
    with _opened(address, environ) as database, database.write() as session:
        row_type, read = READERS[table]
        (name,) = inspect(row_type).primary_key
        same = name == (int(key) if key.isdecimal() and name.type.python_type is int else key)
        found = session.exec(select(row_type).where(same)).all()
        if not found:
            raise UsageError(f"there is no {table} {key}: `lowtide db check` names what is damaged")
        try:
            read(found[0])
        except DamagedRow as e:
            said = e.why
        else:
            raise UsageError(f"{table} {key} can be read, and is not deleted")
        if getattr(found[0], "state", None) in {str(state) for state in HOLDING}:
            raise UsageError(f"job {key} may still run: `lowtide cancel {key}` first")
        session.delete(found[0])
        session.flush()
        done = [f"{table} {key} ({said})"]
        if table not in {"job", "recurrence"}:
            return done
        for other in OF_JOBS if table == "job" else ("event",):
            gone = session.connection().execute(
                text(f"DELETE FROM {other} WHERE job_id = :key"),  # noqa: S608 -- names of ours
                {"key": key},
            )
            done += [f"{gone.rowcount} {other} row(s) of it"] if gone.rowcount else []
        reservations.release(session, key)
        tell(session, OWN, now, "deleted", f"{table} {key}, which could not be read")
        return done


def _none(connection: Connection, name: str, query: str, wrong: str) -> Finding:
    count = connection.scalar(text(f"SELECT count(*) {query}")) or 0
    return name, count == 0, f"{count} {wrong}" if count else "ok"
