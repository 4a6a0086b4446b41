"""``status``, ``show``, ``why``, ``logs``, ``cancel``."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import click

from providers.errors import LowtideError
from providers.files import open_regular
from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json, say
from scheduler.cli.views import local_zone, plan_lines, plan_series
from scheduler.errors import UsageError
from scheduler.models import Damaged, JobState
from scheduler.texts import Calm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from scheduler.engine import Context
    from scheduler.models import Job

# So many ended jobs are listed where -n says nothing.
ENDED = 50
# All that wait are listed up to here: a row takes 2 ms (1,000 rows on one core of a shared
# server), and `status` is to answer in about a second on a queue of any length.
WAITING = 500
# A look at the forecast of each waiting job takes longer than its row.
STRIPS = 50


@click.command("status", epilog=example("lowtide status --state failed --since 7d"))
@click.option("-n", "--ended", type=click.IntRange(0), metavar="N", help="Ended jobs; else 50.")
@click.option("--all", "everything", is_flag=True, help="List every job.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([str(s) for s in JobState]),
    help="Only jobs in this state; repeatable.",
)  # fmt: skip
@click.option("--group", metavar="NAME", help="Only jobs of this group.")
@click.option("--name", metavar="PATTERN", help="Only jobs called so: 'train-*'.")
@click.option("--user", metavar="NAME", help="Only jobs of this user.")
@click.option("--since", metavar="SPAN", help="Of those that have ended, only since: 7d.")
@options.json_option
@options.config_option
@click.pass_context
def status_command(
    ctx: click.Context,
    ended: int | None,
    everything: bool,
    states: tuple[str, ...],
    group: str | None,
    name: str | None,
    user: str | None,
    since: str | None,
    as_json: bool,
) -> None:
    """List jobs, the newest last: all that wait or run, and those that ended last."""
    from scheduler import engine
    from scheduler.report import schema, terminal
    from scheduler.store import Wanted

    if everything and ended is not None:
        raise UsageError("--all lists every job, -n only some: give one of them")

    now = options.utc_now()
    with opened(ctx, asks=False) as context:
        wanted = Wanted(
            states=tuple(map(JobState, states)) or tuple(JobState),
            group=group,
            name=name,
            user=user,
            since=options.since(since, now) if since is not None else None,
        )
        listing = context.store.listings.of(
            wanted,
            ended=None if everything else ENDED if ended is None else ended,
            waiting=None if everything else WAITING,
        )
        jobs = [engine.seen(context, job, now) for job in listing.jobs]
        listing = replace(listing, jobs=jobs)
        series = context.store.recurrences.active()
        damaged = [*listing.damaged, *context.store.recurrences.damaged()]
        queue = context.store.queue_plans.latest()
        if as_json:
            content = {
                "schema_version": schema.SCHEMA_VERSION,
                **schema.listing_json(listing),
                "damaged": [schema.damaged_json(each) for each in damaged],
                "queue": schema.queue_json(queue),
            }
            if series:
                content["recurring"] = [schema.recurrence_json(each) for each in series]
            print_json(content)
            return
        if jobs or (wanted == Wanted() and not listing.left_out):
            options.show(terminal.status_table(jobs, now, local_zone()))
        else:
            options.show("no job to list")
        planned = [(j.id, j.plan) for j in jobs if j.plan and not (j.state.ended or j.state.active)]
        for job_id, plan in sorted(planned, key=lambda each: each[1].start)[:STRIPS]:
            options.show(f"{job_id}  {plan_lines(context, plan, now)[0]}")
        if queue is not None and queue.jobs > 1:
            options.show(terminal.queue_line(queue, now, local_zone()))
        for each in damaged:
            options.show(f"{each.id}  damaged ({each.stored}): {each.reason}")
        if said := terminal.left_out(listing):
            say(said)
        if series:
            options.show(terminal.series_table(series, now))


@contextmanager
def _seen(ctx: click.Context, job_id: str) -> Iterator[tuple[Context, Job, datetime]]:
    """A job as it stands now."""
    from scheduler import engine

    now = options.utc_now()
    with opened(ctx, asks=False) as context:
        stored = context.store.jobs.get(job_id)
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
    from scheduler.report.units import pruned

    with _seen(ctx, job_id) as (context, job, now):
        if job.pruned_at is not None:
            say(f"{job.id} was {pruned(job.pruned_at)}")
        elif job.started_at is None:
            say(_not_begun(job, now))
        follower = Follower(calm=True)
        follower.copy(context, job)
        if job.started_at and not (follower.found or context.here.has_folders(job.spec.origin)):
            raise _elsewhere(job)
        while follow and not job.state.ended:
            time.sleep(0.5)
            now = options.utc_now()
            if not engine.watcher_seen(context, now):
                engine.follow(context, job.id, now)
            job = engine.seen(context, context.store.jobs.get(job.id), now)
            follower.copy(context, job)


def _not_begun(job: Job, now: datetime) -> str:
    from scheduler.report.units import clock

    if job.state.ended:
        return f"{job.id} never started: {job.state}, {job.reason}"
    if job.plan is None:
        return f"{job.id} has not started: it is {job.state}"
    starts = clock(job.plan.start, now, local_zone())
    return f"{job.id} has not started: planned for {starts} in {job.plan.window.region}"


@click.command("cancel", epilog=example("lowtide cancel 3f2a91bc"))
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@options.config_option
@click.pass_context
def cancel_command(ctx: click.Context, job_ids: tuple[str, ...]) -> int:
    """Cancel waiting jobs; stop running ones (TERM, grace, KILL on the whole tree).

    A series (ids from `lowtide status`) makes no more jobs; one of it that runs goes on. Each id
    is tried; the exit code is the worst.
    """
    worst = 0
    stopping: list[Job | Damaged] = []

    @contextmanager
    def each_alone() -> Iterator[None]:
        nonlocal worst
        try:
            yield
        except LowtideError as e:
            say(f"lowtide: {e}")
            worst = max(worst, e.exit_code)

    with opened(ctx) as context:
        for job_id in job_ids:
            with each_alone():
                stopping += _cancel(context, job_id)
        # TERM, grace, KILL, and a second for the runner to write its receipt: of all at once.
        patience = time.monotonic() + context.config.settings.grace + 3
        for job in stopping:
            with each_alone():
                _wait_for_end(context, job, patience)
    return worst


def _cancel(context: Context, job_id: str) -> list[Job | Damaged]:
    """Cancel one job or series, with its answer; a job that is still to end is returned."""
    from scheduler import engine
    from scheduler.engine import recurring

    if recurring.is_series(job_id):
        series, last = engine.cancel_series(context, job_id, options.utc_now())
        name = "it" if isinstance(series, Damaged) else series.template.name
        options.show(f"{series.id} stopped: {name} repeats no more")
        if last is not None:
            options.show(f"{last.id} {last.state}: {last.reason}")
        return []
    job = engine.cancel(context, job_id, options.utc_now())
    if not job.state.ended:
        return [job]
    options.show(f"{job.id} {job.state}: {job.reason}")
    return []


def _wait_for_end(context: Context, job: Job | Damaged, patience: float) -> None:
    """Follow a job that is being stopped until it ends, or ``patience`` (monotonic s) is over."""
    from scheduler import engine

    while not job.state.ended and time.monotonic() < patience:
        time.sleep(0.2)
        if not engine.follow(context, job.id, options.utc_now()):
            said = engine.kept_waiting(context)
            say(f"{job.id}: {said}; that pass or the next one stops the job")
            break
        job = context.store.jobs.found(job.id)
    options.show(f"{job.id} {job.state}: {job.reason}")


def _elsewhere(job: Job) -> UsageError:
    origin = job.spec.origin
    whose = "" if origin is None else f" is {origin.account}'s on {origin.host}:"
    return UsageError(f"job {job.id}{whose} its output cannot be read from here")


class Follower:
    """Copies what is new in a job's logs, attempt after attempt.

    ``calm``: to a terminal go its words and colours, and nothing else that steers one.
    """

    def __init__(self, *, calm: bool = False) -> None:
        self._calm = calm
        self._read: dict[str, int] = {}
        self._calmed: dict[str, Calm] = {}

    @property
    def found(self) -> bool:
        """Whether there was any log to be read."""
        return bool(self._read)

    def copy(self, context: Context, job: Job) -> None:
        """Write what has come since the last call; :class:`UsageError` where it is another's."""
        for attempt in context.store.jobs.attempts(job.id):
            for stream, out in (("stdout", sys.stdout.buffer), ("stderr", sys.stderr.buffer)):
                path = context.runs.log(attempt.run_dir, stream)
                try:
                    log = open_regular(path)
                except PermissionError as e:
                    raise _elsewhere(job) from e
                except OSError:
                    continue
                with log:
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
