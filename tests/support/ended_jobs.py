"""A home with as many ended jobs as asked for: one that has really run, again and again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import col, insert, select

from scheduler.store.rows import AttemptRow, EventRow, JobRow, SettlementRow

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine import Context

PAGE = 1000


def multiply(ctx: Context, job_id: str, count: int, now: datetime, over: timedelta) -> None:
    """Add so many jobs like one that has ended and is settled, their ends evenly ``over`` the time
    before ``now``; run folders are copied as well.
    """
    with ctx.store._database.read() as session:
        job = session.get_one(JobRow, job_id).model_dump()
        tables: dict[Any, list[dict[str, Any]]] = {
            table: [
                row.model_dump(exclude={"id"})
                for row in session.exec(select(table).where(col(table.job_id) == job_id))
            ]
            for table in (AttemptRow, EventRow, SettlementRow)
        }
    kept = [p for p in ctx.runs.environment(job_id).parent.rglob("*") if p.is_file()]
    for first in range(0, count, PAGE):
        rows: dict[Any, list[dict[str, Any]]] = {JobRow: [], **{table: [] for table in tables}}
        for i in range(first, min(count, first + PAGE)):
            made, ended = f"e{i:07x}", (now - over * i / count).timestamp()
            moved = {"id": made, "ended_at": ended, "started_at": ended - 1, "submitted_at": ended}
            rows[JobRow].append(job | moved)
            for table, found in tables.items():
                rows[table] += [row | {"job_id": made} for row in found]
            for path in kept:
                there = Path(str(path).replace(job_id, made))
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(path.read_bytes())
        with ctx.store._database.write() as session:
            for table, content in rows.items():
                session.connection().execute(insert(table), content)
