"""``submit`` and ``plan``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import options
from scheduler.cli.options import example, job_options, opened, print_json, say, submit_options
from scheduler.cli.views import local_zone, plan_lines

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine import Context
    from scheduler.engine.request import Request
    from scheduler.models import JobSpec, Plan, Recurrence

NO_WATCHER = (
    "nobody is looking after the queue: start the daemon with `lowtide up &`, install it with "
    "`lowtide up --install`, or call `lowtide tick` from cron"
)


@click.command(
    "submit",
    epilog=example("lowtide submit --duration 2h --deadline 18h --gpus 1 -- python train.py"),
)
@job_options
@submit_options
@click.option("--dry-run", is_flag=True, help="Show the plan; queue nothing.")
@options.json_option
@options.config_option
@click.pass_context
def submit_command(ctx: click.Context, /, dry_run: bool, as_json: bool, **fields: Any) -> None:
    """Queue a job; it starts in the greenest window that still meets its deadline."""
    from scheduler import engine
    from scheduler.engine import dependencies
    from scheduler.report import schema

    now = options.utc_now()
    request = options.request_of(fields, to_submit=True)
    with opened(ctx) as context:
        spec = options.spec_of(context, request, now)
        spec = dependencies.resolve(context, spec, request.after, now)
        submit = _try if dry_run else _queue
        series, job_id, made = submit(context, request, spec, now)
        if as_json:
            head: dict[str, Any] = {"schema_version": schema.SCHEMA_VERSION}
            if job_id is not None:
                head["job_id"] = job_id
            tail = {} if series is None else {"recurring": schema.recurrence_json(series)}
            print_json({**head, "plan": schema.plan_json(made), **tail})
        else:
            options.show(job_id or "dry run: nothing was queued")
            strip, why = plan_lines(context, made, now)
            options.show(strip)
            say(why)
            if series is not None:
                say(f"repeats as {series.id} ({series.every}, {series.tz})")
        if job_id is not None and not engine.watcher_seen(context, now):
            say(NO_WATCHER)
        elif job_id is not None:
            for other in engine.otherwise_configured(context, now):
                say(f"{other}, this job was submitted under {context.config.path}")


def _queue(
    context: Context, request: Request, spec: JobSpec, now: datetime
) -> tuple[Recurrence | None, str | None, Plan]:
    from scheduler import engine

    if request.every is not None:
        return engine.submit_series(context, request, spec, os.environ, now)
    return None, *engine.submit(context, request, spec, os.environ, now)


def _try(
    context: Context, request: Request, spec: JobSpec, now: datetime
) -> tuple[Recurrence | None, str | None, Plan]:
    """What :func:`_queue` would plan; nothing is queued."""
    from scheduler import engine
    from scheduler.engine import recurring, submission

    submission.check_command(spec, os.environ)
    if request.every is not None:
        _, spec = recurring.begin(context, request, spec, os.environ, now)
    return None, None, engine.plan(context, spec, now, to_run=True)


@click.command(
    "plan",
    epilog=example("lowtide plan --duration 4h --region aws:eu-north-1 --region gcp:us-west1"),
)
@job_options
@click.option("--alone", is_flag=True, help="As if no other job ran or waited.")
@click.option("--pareto", is_flag=True, help="Grams against finish time and money.")
@options.json_option
@options.config_option
@click.pass_context
def plan_command(
    ctx: click.Context, /, as_json: bool, alone: bool, pareto: bool, **fields: Any
) -> None:
    """Show the plan that a job would get beside the queue; submit nothing."""
    from scheduler import engine
    from scheduler.report import plot, schema, terminal

    now = options.utc_now()
    request = options.request_of(fields)
    with opened(ctx) as context:
        spec = options.spec_of(context, request, now)
        made, refused = (
            (engine.plan(context, spec, now, to_run=False, compare=True), None)
            if alone
            else engine.preview(context, spec, os.environ, now)
        )
        front = engine.trade_offs(context, spec, now) if pareto else ()
        if as_json:
            content = {"schema_version": schema.SCHEMA_VERSION, "plan": schema.plan_json(made)}
            if refused is not None:
                content["refused"] = refused
            if pareto:
                content["pareto"] = schema.pareto_json(made, front)
            print_json(content)
            return
        strip, why = plan_lines(context, made, now)
        options.show(strip)
        options.show(why)
        if refused is not None:
            say(f"submit would refuse it: {refused}")
        if front:
            options.show(terminal.trade_offs(made, front, now, local_zone()))
            options.show(plot.trade_off_plot(front, local_zone()))
        elif made.alternatives:
            options.show(terminal.alternatives(made, limit=5, now=now, tz=local_zone()))
