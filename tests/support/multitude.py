"""Many attempts that have ended while nobody looked: one real one, as often as is wanted."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner import journal
from support.database import damage

if TYPE_CHECKING:
    from scheduler.models import Attempt
    from scheduler.store import Store

# Read, never written: one file will do for all.
SHARED = ("started", "launch.json", "journal.jsonl")
TABLES = {"job": "id", "attempt": "job_id", "event": "job_id"}


def multiply(store: Store, attempt: Attempt, marks: Path, count: int) -> None:
    """Make ``count`` more jobs like the one of ``attempt``, each with a receipt of its own."""
    receipt = journal.read_receipt(Path(attempt.run_dir))
    assert receipt is not None
    old, here = attempt.job_id, Path(attempt.run_dir)
    for n in range(count):
        job_id = f"{n:08x}"
        there = here.parents[1] / job_id / here.name
        there.mkdir(parents=True, mode=0o700)
        for name in SHARED:
            os.link(here / name, there / name)
        shutil.copy(here.parent / "env.json", there.parent)
        shutil.copy(marks / old, marks / job_id)
        journal.write_json(there / "receipt.json", asdict(replace(receipt, job_id=job_id)))
    for table, key in TABLES.items():
        _copy_rows(store, table, key, old, count)


def _copy_rows(store: Store, table: str, key: str, old: str, count: int) -> None:
    """Rows of one job, as rows of others: SQLite alone."""
    with store._database.read() as session:
        found = session.connection().exec_driver_sql(f"PRAGMA table_info({table})")
        names = [row[1] for row in found if not (row[1] == "id" and key != "id")]
    taken = {key: "made.id", "run_dir": "replace(run_dir, :old, made.id)"}
    taken["token"] = "lower(hex(randomblob(16)))"
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(taken.get(name, f'"{name}"') for name in names)
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count), "
        "made(id) AS (SELECT printf('%08x', i) FROM n) "
    )
    values = values.replace('"id"', f'{table}."id"')
    damage(
        store,
        f"{numbers} INSERT INTO {table} ({columns}) SELECT {values} FROM {table}, made "
        f"WHERE {table}.{key} = :old",
        old=old,
        count=count,
    )
