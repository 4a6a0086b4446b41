"""``status``, ``show``, ``why``, ``logs``, ``cancel``."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json, say
from scheduler.cli.views import local_zone, plan_lines, plan_series
from scheduler.texts import Calm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from scheduler.engine import Context
    from scheduler.models import Job

# A listing for people ends here; `--all` and `--json --all` give everything.
LISTED = 50


@click.command("status", epilog=example("lowtide status --json"))
@click.option("--all", "everything", is_flag=True, help="Also jobs that have ended long ago.")
@options.json_option
@options.config_option
@click.pass_context
def status_command(ctx: click.Context, everything: bool, as_json: bool) -> None:
    """List jobs, the newest last."""
    from scheduler import engine
    from scheduler.report import schema, terminal

    now = options.utc_now()
    with opened(ctx, asks=False) as context:
        limit = None if everything else LISTED
        found = context.store.jobs.find(limit=limit, compared=as_json)
        jobs = [engine.seen(context, job, now) for job in found]
        series = context.store.recurrences.active()
        queue = context.store.queue_plans.latest()
        if as_json:
            content = {
                "schema_version": schema.SCHEMA_VERSION,
                "jobs": [schema.job_json(job) for job in jobs],
                "queue": schema.queue_json(queue),
            }
            if series:
                content["recurring"] = [schema.recurrence_json(each) for each in series]
            print_json(content)
            return
        options.show(terminal.status_table(jobs, now, local_zone()))
        for job in jobs:
            if job.plan is not None and not job.state.ended and not job.state.active:
                options.show(f"{job.id}  {plan_lines(context, job.plan, now)[0]}")
        if queue is not None and queue.jobs > 1:
            options.show(terminal.queue_line(queue, now, local_zone()))
        if len(jobs) == LISTED and not everything:
            say(f"the newest {LISTED} jobs; --all lists every one")
        if series:
            options.show(terminal.series_table(series, now))


@contextmanager
def _seen(ctx: click.Context, job_id: str) -> Iterator[tuple[Context, Job, datetime]]:
    """A job as it stands now."""
    from scheduler import engine

    now = options.utc_now()
    with opened(ctx, asks=False) as context:
        stored = context.store.jobs.get(job_id, compared=True)
        yield context, engine.seen(context, stored, now), now


@click.command("show", epilog=example("lowtide show 3f2a91bc"))
@click.argument("job_id", metavar="ID")
@options.json_option
@options.config_option
@click.pass_context
def show_command(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Show a job: what was asked, the plan, and the forecast with the window marked."""
    from scheduler import engine
    from scheduler.report import plot, schema, terminal

    with _seen(ctx, job_id) as (context, job, now):
        attempts = engine.look(context, context.store.jobs.get(job.id), now)[1]
        if as_json:
            print_json(
                {
                    "schema_version": schema.SCHEMA_VERSION,
                    "job": schema.job_json(job, attempts=attempts),
                }
            )
            return
        options.show(terminal.job_view(job, now, local_zone()))
        if job.plan is None:
            return
        strip, _ = plan_lines(context, job.plan, now)
        options.show(strip)
        series = plan_series(context, job.plan, now)
        if series is not None and not job.state.ended:
            options.show(plot.forecast_plot(series, local_zone(), window=job.plan.window))


@click.command("why", epilog=example("lowtide why 3f2a91bc"))
@click.argument("job_id", metavar="ID")
@options.json_option
@options.config_option
@click.pass_context
def why_command(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Tell the story of a job: planned, planned anew, why not now."""
    from scheduler.report import schema, terminal

    with _seen(ctx, job_id) as (context, job, now):
        events = context.store.jobs.events(job.id)
        if as_json:
            print_json(
                {
                    "schema_version": schema.SCHEMA_VERSION,
                    "job": schema.job_json(job, events=events),
                }
            )
            return
        if job.plan is not None and not job.state.ended:
            options.show(plan_lines(context, job.plan, now)[0])
        options.show(terminal.story(job, events, now, local_zone()))


@click.command("logs", epilog=example("lowtide logs -f 3f2a91bc"))
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@options.config_option
@click.pass_context
def logs_command(ctx: click.Context, job_id: str, follow: bool) -> None:
    """Print what a job wrote: its stdout on stdout, its stderr on stderr."""
    from scheduler import engine

    with _seen(ctx, job_id) as (context, job, _):
        follower = Follower(calm=True)
        follower.copy(context, job)
        while follow and not job.state.ended:
            time.sleep(0.5)
            now = options.utc_now()
            if not engine.watcher_seen(context, now):
                engine.follow(context, job.id, now)
            job = engine.seen(context, context.store.jobs.get(job.id), now)
            follower.copy(context, job)


@click.command("cancel", epilog=example("lowtide cancel 3f2a91bc"))
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@options.config_option
@click.pass_context
def cancel_command(ctx: click.Context, job_ids: tuple[str, ...]) -> None:
    """Cancel waiting jobs; stop running ones (TERM, grace, KILL on the whole tree).

    A series (ids from `lowtide status`) makes no more jobs; one of it that runs goes on.
    """
    from scheduler import engine
    from scheduler.engine import recurring

    with opened(ctx) as context:
        for job_id in job_ids:
            if recurring.is_series(job_id):
                series, last = engine.cancel_series(context, job_id, options.utc_now())
                options.show(f"{series.id} stopped: {series.template.name} repeats no more")
                if last is not None:
                    options.show(f"{last.id} {last.state}: {last.reason}")
                continue
            job = engine.cancel(context, job_id, options.utc_now())
            # TERM, grace, KILL, and a second for the runner to write its receipt.
            patience = time.monotonic() + context.config.settings.grace + 3
            while not job.state.ended and time.monotonic() < patience:
                time.sleep(0.2)
                if not engine.follow(context, job.id, options.utc_now()):
                    say(f"{job.id}: a pass is at work just now; it or the next one stops the job")
                    break
                job = context.store.jobs.get(job.id)
            options.show(f"{job.id} {job.state}: {job.reason}")


class Follower:
    """Copies what is new in a job's logs, attempt after attempt.

    ``calm``: to a terminal go its words and colours, and nothing else that steers one.
    """

    def __init__(self, *, calm: bool = False) -> None:
        self._calm = calm
        self._read: dict[str, int] = {}
        self._calmed: dict[str, Calm] = {}

    def copy(self, context: Context, job: Job) -> None:
        """Write what has come since the last call."""
        for attempt in context.store.jobs.attempts(job.id):
            for stream, out in (("stdout", sys.stdout.buffer), ("stderr", sys.stderr.buffer)):
                path = context.runs.log(attempt.run_dir, stream)
                if not path.is_file():
                    continue
                with path.open("rb") as log:
                    log.seek(self._read.get(str(path), 0))
                    self._copy(str(path), log, out)
                    out.flush()
                    self._read[str(path)] = log.tell()

    def _copy(self, name: str, log: BinaryIO, out: BinaryIO) -> None:
        if not self._calm or not out.isatty():
            shutil.copyfileobj(log, out)
            return
        calm = self._calmed.setdefault(name, Calm())
        while piece := log.read(1 << 16):
            out.write(calm.feed(piece))
