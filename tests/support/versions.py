"""Databases as each earlier version left them, with rows that it would have written."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from scheduler.store import migrations
from scheduler.store.database import Database, dialect_of

if TYPE_CHECKING:
    from scheduler.address import Address

SETTLED = {
    "status": "provisional", "active_kwh": {"low": 1.0, "value": 1.0, "high": 1.0},
    "reserved_kwh": None, "components": [], "measured_percent": None, "intensity": None,
    "pue": {"low": 1.0, "value": 1.0, "high": 1.0}, "pue_source": "declared",
    "operational_g": {"low": 4.0, "value": 5.0, "high": 6.0}, "embodied_g": None,
    "total_g": None, "unit": "job", "unit_count": 1.0, "sci_g_per_unit": None,
    "basis": "operational", "baseline_g": None, "saved_g": None, "saving_estimated": False,
    "largest_uncertainty": "the meter", "conformance": [], "attempts": [],
    "nulls": {"total_g": "no M"}, "notes": ["a note"],
}  # fmt: skip
SPEC = {
    "argv": ["true", "ä'; DROP TABLE job"], "cwd": "/", "name": "old", "user": "me", "group": "g",
    "duration_s": 60.0, "submitted_at": "2026-03-02T08:00:00Z",
    "release": "2026-03-02T08:00:00Z", "home": "local",
}  # fmt: skip


def series(now_s: float, kind: str) -> bytes:
    """Two hours of a zone, packed as versions before the second format did."""
    content = {
        "zone": "DE", "signal": "average", "kind": kind, "factors": None, "flow": "consumption",
        "issued_at": now_s, "starts": [now_s, now_s + 3600], "ends": [now_s + 3600, now_s + 7200],
        "g_per_kwh": [200.5, 100.25], "low": [190.0, 90.0], "high": [210.0, 110.0],
        "sources": ["neso", "climatology"], "notes": ["climatology fills in"],
    }  # fmt: skip
    return zlib.compress(json.dumps(content).encode())


# What each version added: tables, and rows in them.
ROWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "0001-first": [
        (
            "job",
            {
                "id": "j", "state": "succeeded", "spec": json.dumps(SPEC), "region": "local",
                "slots": 1, "attempt": 1, "submitted_at": 0.25, "started_at": 0.5, "ended_at": 0.75,
                "cancel_requested": False, "reason": "exit code 0",
            },
        ),
        (
            "job",
            {
                "id": "q", "state": "queued", "spec": json.dumps(SPEC | {"group": None}),
                "slots": 2, "attempt": 0, "submitted_at": 1.25, "cancel_requested": True,
                "reason": "",
            },
        ),
        ("event", {"job_id": "j", "at": 0.25, "kind": "submitted", "detail": "by me"}),
        (
            "attempt",
            {
                "job_id": "j", "number": 1, "region": "local", "run_dir": "/r", "token": "t",
                "gpus": "GPU-1", "claimed_at": 0.5, "started_at": 0.5, "ended_at": 0.75,
                "exit_code": 0, "outcome": "succeeded",
            },
        ),
        (
            "forecast",
            {
                "zone": "DE", "chain": "c", "issued_at": 0.0, "checked_at": 60.0,
                "starts": 0.0, "ends": 7200.0, "payload": "forecast",
            },
        ),
        (
            "settlement",
            {
                "job_id": "j", "version": 1, "made_at": 0.75, "status": "provisional",
                "payload": json.dumps(SETTLED),
            },
        ),
        ("beat", {"name": "daemon", "at": 0.5}),
    ],
    "0002-recurrence": [
        (
            "recurrence",
            {
                "id": "r1", "template": json.dumps(SPEC), "every": "0 2 * * *", "tz": "UTC",
                "within_s": 3600.5, "next": 9.0, "submitted_at": 0.25,
            },
        ),
    ],
    "0003-pauses-and-queue-plan": [
        (
            "queue_plan",
            {
                "id": 1, "made_at": 0.5, "jobs": 3, "together": True, "cost_g": 9.5,
                "lower_bound_g": 9.0, "late": 0,
            },
        ),
    ],
    "0004-actuals": [
        (
            "actual",
            {
                "zone": "DE", "source": "s", "day": 20514, "signal": "average",
                "fetched_at": 1.0, "checked_at": 2.0, "starts": 0.0, "ends": 7200.0,
                "covered_s": 7200.0, "payload": "actual",
            },
        ),
        (
            "accuracy",
            {"zone": "DE", "source": "s", "made_at": 3.0, "mape_percent": 4.125, "hours": 99.5},
        ),
    ],
    "0005-many-machines": [],
    "0006-long-queues": [
        (
            "reservation",
            {
                "job_id": "q", "begins": 5, "ends": 7, "region": "local", "host": "h",
                "slots": 2, "gpus": 0, "late": 0, "made_at": 1.25,
            },
        ),
        ("promised", {"region": "local", "host": "h", "cell": 5, "slots": 2, "gpus": 0}),
        ("promised", {"region": "local", "host": "h", "cell": 7, "slots": -2, "gpus": 0}),
    ],
    "0007-seconds": [],
    "0008-free": [],
    "0009-configs": [
        ("config", {"digest": "d", "path": "/c.yaml", "content": "home: local"}),
    ],
    "0010-forecasts-when-known": [
        (
            "forecast",
            {
                "zone": "FR", "chain": "c", "issued_at": 0.0, "known_at": 30.0, "checked_at": 60.0,
                "starts": 0.0, "ends": 7200.0, "payload": "forecast",
            },
        ),
    ],
    "0011-looked-until": [],
    "0012-kept-and-pruned": [],
}  # fmt: skip
# Since this version jobs are written with their user and group as columns.
OF_USERS = "0005-many-machines"
# Since this version what plans hold is in seconds.
IN_SECONDS = "0007-seconds"
# Columns that hold times, which the rows above count from the moment of the test.
TIMES = frozenset(
    {"submitted_at", "started_at", "ended_at", "at", "claimed_at", "issued_at", "known_at",
     "checked_at", "starts", "ends", "made_at", "next", "fetched_at"}
)  # fmt: skip


def _values(row: dict[str, Any], now_s: float) -> dict[str, Any]:
    # A reservation begins and ends with cells.
    times = TIMES - {"ends"} if "begins" in row else TIMES
    found = {k: v + now_s if k in times else v for k, v in row.items()}
    if "payload" in row and row["payload"] in {"forecast", "actual"}:
        found["payload"] = series(now_s, row["payload"])
    return found


def _in_seconds(table: str, values: dict[str, Any]) -> dict[str, Any]:
    """The same row where what plans hold is in seconds, not in cells of five minutes."""
    if table == "reservation":
        return values | {"begins": 300 * values["begins"], "ends": 300 * values["ends"]}
    if table == "promised":
        rest = {k: v for k, v in values.items() if k != "cell"}
        return rest | {"at_s": 300 * values["cell"]}
    return values


def make_old(address: Address, last: str, now_s: float) -> list[tuple[str, dict[str, Any]]]:
    """A database as the version that ended with ``last`` left it; returns its rows."""
    database = Database(dialect_of(address, {}))
    every, migrations.MIGRATIONS = migrations.MIGRATIONS, _up_to(last)
    written = []
    try:
        database.bring_up(now_s, upgrade=True)
        with database.write() as session:
            for name, _ in migrations.MIGRATIONS:
                for table, row in ROWS[name]:
                    values = _values(row, now_s)
                    if table == "job" and last >= OF_USERS:
                        spec = json.loads(row["spec"])
                        values |= {"user": spec["user"], "group": spec["group"]}
                    now_reads = _in_seconds(table, values)
                    values = now_reads if last >= IN_SECONDS else values
                    columns = ", ".join(f'"{column}"' for column in values)
                    marks = ", ".join(f":{column}" for column in values)
                    statement = f'INSERT INTO "{table}" ({columns}) VALUES ({marks})'
                    session.connection().execute(text(statement), values)
                    written.append((table, now_reads))
    finally:
        migrations.MIGRATIONS = every
        database.close()
    return written


def _up_to(last: str) -> tuple[Any, ...]:
    names = [name for name, _ in migrations.MIGRATIONS]
    return migrations.MIGRATIONS[: names.index(last) + 1]
