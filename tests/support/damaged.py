"""A home with jobs in every state, whose rows and run-folder files can be damaged at random."""

from __future__ import annotations

import contextlib
import io
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from providers.base import RunState
from providers.errors import LowtideError
from providers.runner import journal
from scheduler import config, engine
from scheduler.cli.main import cli
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.models import JobSpec, JobState
from scheduler.testing import FakeExecutor, FixedClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import Launch

SETTINGS = """
providers: [mine]
sources: {mine: {type: trace, path: mine.csv}}
timezone: UTC
regions:
  local: {zone: DE, slots: 8}
"""
# What no column and no file expects; databases with types of their own refuse some of them.
VALUES: tuple[Any, ...] = (
    None, "", "text", '{"a": ', "[" * 3000, "\ud800".encode("utf-8", "surrogatepass"), b"\x00\xff",
    -1, 0, 2**31 - 1, 1e18, -1e18, 1e306, float("inf"), float("nan"), "99999999", "|", "9999-12-31",
)  # fmt: skip
TABLES = (
    "job", "attempt", "event", "settlement", "reservation", "promised", "recurrence", "forecast",
    "actual", "config", "queue_plan", "beat", "lease", "accuracy",
)  # fmt: skip
# Rows of these are about one job each, in this column.
OWNER = {"job": "id", "recurrence": "id"} | dict.fromkeys(
    ("attempt", "event", "settlement", "reservation"), "job_id"
)


class Folders(FakeExecutor):
    """Runs nothing, and keeps to what lies in run folders as an engine of ours does."""

    def start(self, launch: Launch, begin_s: float | None = None) -> None:
        super().start(launch, begin_s)
        folder = Path(launch.run_dir)
        if folder.is_dir() and not (folder / "started").exists():
            (folder / "launch.json").write_text(json.dumps(asdict(launch)))
            at = self.launches[launch.run_dir][1].timestamp()
            (folder / "started").write_text(json.dumps({"at": at}))

    def poll(self, run_dir: Path, token: str) -> RunState:
        state = super().poll(run_dir, token)
        path = run_dir / "receipt.json"
        if state.receipt is not None and not path.exists():
            path.write_text(json.dumps(asdict(state.receipt)))
        receipt = journal.read_receipt(run_dir)
        if receipt is not None:
            return RunState("ended", receipt.started_at, receipt)
        if state.receipt is not None:
            return RunState("gone")
        at = journal.moment_s(journal.read_json(run_dir / "started"))
        return replace(state, started_at=at)


@dataclass
class Home:
    """A queue of six jobs: one settled, two that run, two that wait, one of a series."""

    folder: Path
    environ: Mapping[str, str]
    clock: FixedClock
    ctx: Context
    ids: dict[str, str]

    @classmethod
    def made(cls, folder: Path, now: datetime, database: Mapping[str, str]) -> Home:
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(SETTINGS)
        hours = (now + timedelta(hours=h) for h in range(-24, 48))
        lines = [f"{at:%Y-%m-%dT%H:%M:%SZ},DE,{300 - at.hour}" for at in hours]
        (folder / "mine.csv").write_text("\n".join(["timestamp_utc,region,g_per_kwh", *lines, ""]))
        environ = {"LOWTIDE_HOME": str(folder / "home")} | dict(database)
        clock = FixedClock(now)
        executor = Folders(clock=clock, run_s=3600, watts=100.0)
        loaded = config.load(None, environ, folder)
        ctx = Context.open(loaded, now, executors={"local": executor}, environ=environ)
        home = cls(folder, environ, clock, ctx, {})
        home.ids["settled"] = home.submit(start_by="5s")
        home.tick()
        home.tick(hours=1, seconds=1)
        for name in ("runs", "runs too"):
            home.ids[name] = home.submit(start_by="5s")
        home.tick()
        for name in ("waits", "waits too"):
            home.ids[name] = home.submit(deadline="3h")
        request, spec = home._spec({"every": "0 * * * *", "within": "2h"})
        series, job_id, _ = engine.submit_series(ctx, request, spec, dict(os.environ), clock.now)
        home.ids |= {"series": series.id, "of the series": job_id}
        home.tick(seconds=10)
        return home

    def _spec(self, fields: dict[str, Any]) -> tuple[Request, JobSpec]:
        request = Request(argv=("true",), duration="1h", **fields)
        made = submission.to_spec(
            request, self.ctx.config, self.clock.now, "me", self.folder, need_duration=True
        )
        return request, made

    def submit(self, **fields: Any) -> str:
        request, spec = self._spec(fields)
        return engine.submit(self.ctx, request, spec, dict(os.environ), self.clock.now)[0]

    def tick(self, following: timedelta = timedelta(seconds=10), **span: float) -> None:
        """A pass, and when the next one is; what it could not do it says at its end, in a line."""
        self.clock.advance(**span)
        with suppress(LowtideError):
            engine.tick(self.ctx, self.clock.now, self.clock.now + following)

    def damage(self, table: str, column: int, row: int, value: Any) -> str | None:
        """Put a value into one field; the id of the job or series that it is about, None where it
        is about none, or the database refuses such a value.
        """
        with self.ctx.store._database._engine.connect() as connection:
            known = inspect(connection).get_columns(table)
            name = known[column % len(known)]["name"]
            rows = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()
            if not rows:
                return None
            victim = rows[row % len(rows)]
            keys = inspect(connection).get_pk_constraint(table)["constrained_columns"]
            where = " AND ".join(f"{key} = :key_{key}" for key in keys)
            values = {f"key_{key}": victim[key] for key in keys} | {"value": value}
            connection.rollback()
            try:
                statement = f'UPDATE {table} SET "{name}" = :value WHERE {where}'
                connection.execute(text(statement), values)
                connection.commit()
            except (DBAPIError, OverflowError, UnicodeError):
                connection.rollback()
                return None
            return str(victim[OWNER[table]]) if table in OWNER else None

    def healthy(self, victim: str | None) -> set[str]:
        """Ids of waiting jobs that a victim has nothing to do with."""
        own = {self.ids["series"], self.ids["of the series"]}
        hurt = own if victim in own else {victim}
        return {self.ids[n] for n in ("waits", "waits too", "of the series")} - hurt

    def in_time(self, job_ids: set[str]) -> None:
        """Pass after pass until the last one had to start: each of them did."""
        fresh = self.submit(deadline="2h30m")
        for minutes in (0, 30, 30, 30, 30, 60):
            self.tick(timedelta(minutes=30), minutes=minutes)
        for job_id in {*job_ids, fresh}:
            job = self.ctx.store.jobs.get(job_id)
            assert job.spec.latest_start is not None
            assert job.started_at is not None, (job, self.ctx.store.jobs.events(job_id))
            assert job.started_at <= job.spec.latest_start
            assert job.state in {JobState.RUNNING, JobState.SUCCEEDED}

    def answers(self, *victims: str | None) -> None:
        """Commands end as they should, whatever is damaged: with a line and a code of their own."""
        assert self.command("status", "--all")[0] == 0
        code, out = self.command("status", "--all", "--json")
        assert code == 0
        listed = json.loads(out)
        assert self.command("report", "--since", "30d", "--json")[0] == 0
        assert self.command("report", "--json")[0] == 0
        assert self.command("db", "check")[0] in {0, 5}
        hurt = {each["id"] for each in listed["damaged"]}
        for victim in {*victims, *hurt} - {None}:
            assert victim is not None
            assert self.command("cancel", victim)[0] in {0, 2}
        assert self.command("cancel", self.submit(deadline="9h"))[0] == 0

    def command(self, *argv: str) -> tuple[int, str]:
        """A command line in this process: exit code, and stdout."""
        out = io.StringIO()
        environ = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
        config_file = str(self.folder / "config.yaml")
        environ |= dict(self.environ) | {"LOWTIDE_CONFIG": config_file}
        with (
            mock.patch.dict(os.environ, environ, clear=True),
            mock.patch("scheduler.cli.options.utc_now", return_value=self.clock.now),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            try:
                code = cli.main(list(argv), prog_name="lowtide", standalone_mode=False)
            except LowtideError as e:
                code = e.exit_code
        return int(code or 0), out.getvalue()
