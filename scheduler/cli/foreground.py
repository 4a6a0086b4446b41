"""``run`` and ``wait``."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import options
from scheduler.cli.options import example, job_options, opened, print_json, say
from scheduler.cli.standard_input import passed_on
from scheduler.cli.views import local_zone, plan_lines
from scheduler.errors import BusyError, StoreUnavailable
from scheduler.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scheduler.engine import Context
    from scheduler.models import Attempt, Job, Plan

# Between two looks at a job in the foreground.
LOOK_S = 0.3
# A sleep is cut into pieces, so that a suspended machine wakes to the right time.
NAP_S = 20.0


@click.command("run", epilog=example("lowtide run --duration 2h --deadline 18h -- python train.py"))
@job_options
@click.option("--now", "at_once", is_flag=True, help="Do not wait for the window.")
@options.config_option
@click.pass_context
def run_command(ctx: click.Context, /, at_once: bool, **fields: Any) -> int:
    """Submit and stay until the job ends; the exit code is the job's.

    Ctrl-C before the start cancels, after it sends TERM to the job. Without --duration it
    starts at once. What comes on standard input is passed on, where the job runs on this machine.
    """
    from scheduler import engine

    now = options.utc_now()
    request = options.request_of(fields)
    if at_once:
        request = request.model_copy(update={"start_by": "1s", "earliest": None})
    with opened(ctx) as context, _interrupts() as asked:
        spec = options.spec_of(context, request, now, need_duration=False)
        if at_once:
            spec = spec.model_copy(update={"start_by": now})
        job_id, made = engine.submit(context, request, spec, os.environ, now)
        with passed_on(context.runs.standard_input(job_id)) as begun:
            strip, why = plan_lines(context, made, now)
            say(f"{job_id}\n{strip}\n{why}")
            return _follow(context, job_id, asked, begun)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that grows by one for each Ctrl-C.

    An exception out of a signal could break off a claim or a write, or be lost in a callback.
    Where Ctrl-C is ignored (``nohup``, a script's ``&``) it stays so.
    """
    asked: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(context: Context, job_id: str, asked: list[int], begun: Callable[[], None]) -> int:
    from scheduler import engine
    from scheduler.cli.look import Follower
    from scheduler.engine.endings import exit_status

    outage, follower = Outage(), Follower()
    announced: datetime | None = None
    hinted = False

    def a_pass() -> None:
        now = options.utc_now()
        try:
            engine.tick(context, now, now + timedelta(seconds=2 * LOOK_S))
        except (BusyError, StoreUnavailable, OSError) as e:
            outage.goes_on(e, now)  # a busy one does the same
        else:
            outage.is_over(now)

    def look() -> tuple[Job, Sequence[Attempt]]:
        nonlocal announced
        if asked:
            job = engine.cancel(context, job_id, options.utc_now())
            asked.clear()
            say(f"stopping {job.id}" if not job.state.ended else f"cancelled {job.id}")
        job = context.store.jobs.get(job_id)
        follower.copy(context, job)
        if job.started_at is not None:
            begun()
        if not (job.state.ended or job.state.active) and job.plan and announced != job.plan.start:
            announced = job.plan.start
            say(_waiting(job, job.plan))
        return job, context.store.jobs.attempts(job_id)

    # Neither what the job writes nor Ctrl-C waits for the sources that a pass asks.
    with ThreadPoolExecutor(1) as passes:
        last = passes.submit(a_pass)
        while True:
            if last.done():
                last.result()
                last = passes.submit(a_pass)
            try:
                job, attempts = look()
            except StoreUnavailable as e:
                # The command goes on, and its exit code is still to be passed on.
                outage.goes_on(e, options.utc_now())
                if len(asked) > 1:
                    raise
                if asked and not hinted:
                    hinted = True
                    say(f"{job_id} is stopped once the database answers; Ctrl-C again leaves it")
            else:
                if job.state.ended:
                    break
            time.sleep(LOOK_S)
    say(f"{job.id} {job.state}: {job.reason}")
    if not attempts:
        return 130
    code = exit_status(attempts[-1])
    return 1 if code is None else code


def _waiting(job: Job, plan: Plan) -> str:
    from scheduler.report.units import zone_name

    zone, latest = local_zone(), plan.latest_safe_start
    verb = "waiting: starts" if job.started_at is None else "paused: goes on"
    bound = f", latest safe start {latest.astimezone(zone):%a %H:%M}" if latest else ""
    name = zone_name(zone, plan.start)
    return f"{verb} {plan.start.astimezone(zone):%a %H:%M}{bound} ({name}; Ctrl-C cancels)"


@click.command("wait", epilog=example("lowtide wait --duration 2h --deadline 18h && make train"))
@job_options
@options.json_option
@options.config_option
@click.pass_context
def wait_command(ctx: click.Context, /, as_json: bool, **fields: Any) -> None:
    """Sleep until the greenest window for a job of this duration, then exit 0."""
    from scheduler import engine
    from scheduler.report import schema

    now = options.utc_now()
    request = options.request_of(fields)
    with opened(ctx) as context:
        spec = options.spec_of(context, request, now)
        made = engine.plan(context, spec, now, to_run=True)
        if as_json:
            print_json({"schema_version": schema.SCHEMA_VERSION, "plan": schema.plan_json(made)})
        else:
            strip, why = plan_lines(context, made, now)
            say(f"{strip}\n{why}")
    _sleep_until(made.window.start)


def _sleep_until(moment: datetime) -> None:
    while (left := (moment - options.utc_now()).total_seconds()) > 0:
        time.sleep(min(left, NAP_S))
