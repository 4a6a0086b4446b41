"""Ordered, named changes of the schema; all that are missing run in one transaction.

Append, never edit: the statements are frozen text, so that a database of any earlier version
is brought up by exactly the names that it lacks. They are written for SQLite and put into
another database's words by its dialect; where words are not enough, each has its own statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from scheduler.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from scheduler.store.dialect import Dialect, Name

Statement = str | dict["Name", str]

MIGRATIONS: tuple[tuple[str, tuple[Statement, ...]], ...] = (
    (
        "0001-first",
        (
            """CREATE TABLE job (
                id VARCHAR NOT NULL PRIMARY KEY, state VARCHAR NOT NULL, spec TEXT NOT NULL,
                "plan" TEXT, region VARCHAR, slots INTEGER NOT NULL, attempt INTEGER NOT NULL,
                submitted_at FLOAT NOT NULL, latest_start FLOAT, planned_start FLOAT,
                started_at FLOAT, ended_at FLOAT, cancel_requested BOOLEAN NOT NULL,
                reason VARCHAR NOT NULL)""",
            "CREATE INDEX job_by_state ON job (state, latest_start)",
            "CREATE INDEX ix_job_submitted_at ON job (submitted_at)",
            """CREATE TABLE event (
                id INTEGER NOT NULL PRIMARY KEY, job_id VARCHAR NOT NULL, at FLOAT NOT NULL,
                kind VARCHAR NOT NULL, detail VARCHAR NOT NULL)""",
            "CREATE INDEX ix_event_job_id ON event (job_id)",
            """CREATE TABLE attempt (
                id INTEGER NOT NULL PRIMARY KEY, job_id VARCHAR NOT NULL, number INTEGER NOT NULL,
                region VARCHAR NOT NULL, run_dir VARCHAR NOT NULL, token VARCHAR NOT NULL,
                gpus VARCHAR NOT NULL, claimed_at FLOAT NOT NULL, started_at FLOAT,
                ended_at FLOAT, exit_code INTEGER, signal INTEGER, outcome VARCHAR,
                UNIQUE (job_id, number))""",
            "CREATE INDEX ix_attempt_job_id ON attempt (job_id)",
            """CREATE TABLE forecast (
                id INTEGER NOT NULL PRIMARY KEY, zone VARCHAR NOT NULL, chain VARCHAR NOT NULL,
                issued_at FLOAT NOT NULL, checked_at FLOAT NOT NULL, starts FLOAT NOT NULL,
                ends FLOAT NOT NULL, payload BLOB NOT NULL)""",
            "CREATE INDEX forecast_by_zone ON forecast (zone, chain, issued_at)",
            """CREATE TABLE settlement (
                id INTEGER NOT NULL PRIMARY KEY, job_id VARCHAR NOT NULL,
                version INTEGER NOT NULL, made_at FLOAT NOT NULL, status VARCHAR NOT NULL,
                payload TEXT NOT NULL, UNIQUE (job_id, version))""",
            "CREATE INDEX ix_settlement_job_id ON settlement (job_id)",
            "CREATE TABLE beat (name VARCHAR NOT NULL PRIMARY KEY, at FLOAT NOT NULL)",
        ),
    ),
    (
        "0002-recurrence",
        (
            """CREATE TABLE recurrence (
                id VARCHAR NOT NULL PRIMARY KEY, template TEXT NOT NULL, every VARCHAR NOT NULL,
                tz VARCHAR NOT NULL, within_s FLOAT NOT NULL, next FLOAT NOT NULL,
                submitted_at FLOAT NOT NULL, stopped_at FLOAT)""",
        ),
    ),
    (
        "0003-pauses-and-queue-plan",
        (
            "ALTER TABLE job ADD COLUMN waited_s FLOAT NOT NULL DEFAULT 0",
            """CREATE TABLE queue_plan (
                id INTEGER NOT NULL PRIMARY KEY, made_at FLOAT NOT NULL, jobs INTEGER NOT NULL,
                together BOOLEAN NOT NULL, cost_g FLOAT, lower_bound_g FLOAT,
                late INTEGER NOT NULL)""",
        ),
    ),
    (
        "0004-actuals",
        (
            """CREATE TABLE actual (
                id INTEGER NOT NULL PRIMARY KEY, zone VARCHAR NOT NULL, source VARCHAR NOT NULL,
                day INTEGER NOT NULL, signal VARCHAR NOT NULL, fetched_at FLOAT NOT NULL,
                checked_at FLOAT NOT NULL, starts FLOAT NOT NULL, ends FLOAT NOT NULL,
                covered_s FLOAT NOT NULL, payload BLOB NOT NULL)""",
            "CREATE INDEX actual_by_day ON actual (zone, source, day)",
            "CREATE INDEX forecast_by_time ON forecast (issued_at)",
            "ALTER TABLE settlement ADD COLUMN checked_at FLOAT",
            """CREATE TABLE accuracy (
                zone VARCHAR NOT NULL, source VARCHAR NOT NULL, made_at FLOAT NOT NULL,
                mape_percent FLOAT NOT NULL, hours FLOAT NOT NULL, PRIMARY KEY (zone, source))""",
        ),
    ),
    (
        "0005-many-machines",
        (
            """ALTER TABLE job ADD COLUMN "user" VARCHAR NOT NULL DEFAULT ''""",
            """ALTER TABLE job ADD COLUMN "group" VARCHAR""",
            {
                "sqlite": """UPDATE job SET "user" = json_extract(spec, '$.user'),
                    "group" = json_extract(spec, '$.group')""",
                "postgresql": """UPDATE job SET "user" = CAST(spec AS json) ->> 'user',
                    "group" = CAST(spec AS json) ->> 'group'""",
            },
            """CREATE INDEX job_by_group ON job ("user", "group", state, ended_at)""",
            "ALTER TABLE attempt ADD COLUMN host VARCHAR NOT NULL DEFAULT ''",
            """CREATE TABLE lease (
                name VARCHAR NOT NULL PRIMARY KEY, owner VARCHAR NOT NULL,
                until FLOAT NOT NULL)""",
        ),
    ),
    (
        "0006-long-queues",
        (
            "ALTER TABLE job ADD COLUMN host VARCHAR NOT NULL DEFAULT ''",
            "ALTER TABLE job ADD COLUMN places VARCHAR NOT NULL DEFAULT ''",
            "ALTER TABLE job ADD COLUMN sight VARCHAR NOT NULL DEFAULT ''",
            "ALTER TABLE job ADD COLUMN release FLOAT",
            "ALTER TABLE job ADD COLUMN until FLOAT",
            "ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE job ADD COLUMN waits BOOLEAN NOT NULL DEFAULT FALSE",
            "ALTER TABLE job ADD COLUMN recurrence VARCHAR",
            {
                "sqlite": """UPDATE job SET
                    host = coalesce(json_extract(spec, '$.origin.host'), ''),
                    places = json_extract(spec, '$.home') || '|' || coalesce((SELECT
                        group_concat(value, ',') FROM json_each(spec, '$.regions')), ''),
                    release = CAST(strftime('%s', json_extract(spec, '$.release')) AS FLOAT),
                    priority = coalesce(json_extract(spec, '$.priority'), 0),
                    waits = coalesce(json_array_length(spec, '$.after'), 0) > 0,
                    recurrence = json_extract(spec, '$.recurrence')""",
                "postgresql": """UPDATE job SET
                    host = coalesce(CAST(spec AS json) -> 'origin' ->> 'host', ''),
                    places = (CAST(spec AS json) ->> 'home') || '|' || coalesce((SELECT
                        string_agg(value, ',') FROM json_array_elements_text(
                        coalesce(CAST(spec AS json) -> 'regions', '[]'))), ''),
                    release = extract(epoch FROM CAST(
                        CAST(spec AS json) ->> 'release' AS timestamptz)),
                    priority = coalesce(CAST(CAST(spec AS json) ->> 'priority' AS integer), 0),
                    waits = coalesce(json_array_length(CAST(spec AS json) -> 'after'), 0) > 0,
                    recurrence = CAST(spec AS json) ->> 'recurrence'""",
            },
            {
                "sqlite": """UPDATE job SET until = max(coalesce(latest_start, release), release)
                    + coalesce(json_extract(spec, '$.duration_s'), 3600)""",
                "postgresql": """UPDATE job SET
                    until = greatest(coalesce(latest_start, release), release)
                    + coalesce(CAST(CAST(spec AS json) ->> 'duration_s' AS float8), 3600)""",
            },
            "CREATE INDEX job_by_start ON job (state, planned_start)",
            """CREATE INDEX job_by_places
                ON job (state, places, sight, planned_start, release, until)""",
            "CREATE INDEX job_to_cancel ON job (state) WHERE cancel_requested",
            "CREATE INDEX job_after_others ON job (state) WHERE waits",
            "CREATE INDEX job_of_series ON job (recurrence) WHERE recurrence IS NOT NULL",
            "CREATE INDEX attempt_open ON attempt (job_id) WHERE ended_at IS NULL",
            """CREATE TABLE reservation (
                job_id VARCHAR NOT NULL, begins INTEGER NOT NULL, ends INTEGER NOT NULL,
                region VARCHAR NOT NULL, host VARCHAR NOT NULL, slots INTEGER NOT NULL,
                gpus INTEGER NOT NULL, late INTEGER NOT NULL, made_at FLOAT NOT NULL,
                PRIMARY KEY (job_id, begins))""",
            """CREATE TABLE promised (
                region VARCHAR NOT NULL, host VARCHAR NOT NULL, cell INTEGER NOT NULL,
                slots INTEGER NOT NULL, gpus INTEGER NOT NULL,
                PRIMARY KEY (region, host, cell))""",
        ),
    ),
    (
        # Cells of five minutes become seconds.
        "0007-seconds",
        (
            {
                "sqlite": "SELECT 1",  # an INTEGER there is of any size
                "postgresql": """ALTER TABLE reservation
                    ALTER COLUMN begins TYPE BIGINT, ALTER COLUMN ends TYPE BIGINT""",
            },
            {
                "sqlite": "SELECT 1",
                "postgresql": "ALTER TABLE promised ALTER COLUMN cell TYPE BIGINT",
            },
            "ALTER TABLE promised RENAME COLUMN cell TO at_s",
            "UPDATE reservation SET begins = 300 * begins, ends = 300 * ends",
            "UPDATE promised SET at_s = 300 * at_s",
        ),
    ),
    ("0008-free", ("ALTER TABLE queue_plan ADD COLUMN free VARCHAR NOT NULL DEFAULT ''",)),
    (
        "0009-configs",
        (
            "ALTER TABLE job ADD COLUMN name VARCHAR NOT NULL DEFAULT ''",
            {
                "sqlite": "UPDATE job SET name = json_extract(spec, '$.name')",
                "postgresql": "UPDATE job SET name = CAST(spec AS json) ->> 'name'",
            },
            "CREATE INDEX job_by_end ON job (state, ended_at)",
            """CREATE TABLE config (
                digest VARCHAR NOT NULL PRIMARY KEY, path VARCHAR NOT NULL,
                content TEXT NOT NULL)""",
            "ALTER TABLE beat ADD COLUMN config VARCHAR",
        ),
    ),
    (
        "0010-forecasts-when-known",
        (
            "ALTER TABLE forecast ADD COLUMN known_at FLOAT NOT NULL DEFAULT 0",
            # When a row was first received was not kept; it was known at the last question.
            "UPDATE forecast SET known_at = checked_at",
            "DROP INDEX forecast_by_zone",
            "CREATE INDEX forecast_by_zone ON forecast (zone, chain, known_at)",
        ),
    ),
    (
        # Plans look a year ahead at most (models/job.py), which is what this column is for.
        "0011-looked-until",
        (
            "UPDATE job SET until = release + 31622400 + (until - latest_start) "
            "WHERE latest_start > release + 31622400",
        ),
    ),
    (
        "0012-kept-and-pruned",
        (
            "ALTER TABLE job ADD COLUMN pruned_at FLOAT",
            "ALTER TABLE job ADD COLUMN swept BOOLEAN NOT NULL DEFAULT FALSE",
            "CREATE INDEX job_to_sweep ON job (state, ended_at) WHERE NOT swept",
            "ALTER TABLE settlement ADD COLUMN figures TEXT",
        ),
    ),
)
NAMES = tuple(name for name, _ in MIGRATIONS)


def applied(connection: Connection, dialect: Dialect) -> list[str] | None:
    """Names of the migrations that were run, in order; None where this is no database of ours."""
    if dialect.is_empty(connection):
        return None
    table = {
        "sqlite": "SELECT name FROM sqlite_master WHERE name = 'migration'",
        "postgresql": "SELECT to_regclass('migration')",
    }[dialect.name]
    if connection.scalar(text(table)) is None:
        return None
    return sorted(connection.scalars(text("SELECT name FROM migration")))


def refuse_other_versions(connection: Connection, dialect: Dialect) -> None:
    """:class:`StoreError` where the schema is not exactly that of this version."""
    seen = applied(connection, dialect)
    if seen is None:
        raise StoreError(
            f"database {dialect.shown} holds tables that are not lowtide's: give lowtide a "
            "database or a schema of its own"
        )
    _refuse_newer(seen)
    missing = [name for name in NAMES if name not in seen]
    if missing:
        raise StoreError(
            f"database {dialect.shown} lacks {', '.join(missing)}: an earlier version may still "
            "be at work on it; stop it on every machine, then run `lowtide db upgrade` once"
        )


def _refuse_newer(seen: Iterable[str]) -> None:
    unknown = sorted(set(seen) - set(NAMES))
    if unknown:
        raise StoreError(
            f"the database has {', '.join(unknown)}, which this lowtide does not know: "
            "a newer version wrote it; upgrade lowtide"
        )


def apply(connection: Connection, dialect: Dialect, now_s: float) -> list[str]:
    """Run what is missing within the caller's transaction; returns the names run.

    A database written by a newer version is refused with :class:`StoreError`.
    """
    table = "CREATE TABLE IF NOT EXISTS migration (name VARCHAR PRIMARY KEY, applied_at FLOAT)"
    connection.exec_driver_sql(dialect.statement(table))
    seen = set(connection.scalars(text("SELECT name FROM migration")))
    _refuse_newer(seen)
    missing = [(name, statements) for name, statements in MIGRATIONS if name not in seen]
    for name, statements in missing:
        for statement in statements:
            said = statement if isinstance(statement, str) else statement[dialect.name]
            connection.exec_driver_sql(dialect.statement(said))
        connection.execute(
            text("INSERT INTO migration VALUES (:name, :at)"), {"name": name, "at": now_s}
        )
    return [name for name, _ in missing]
