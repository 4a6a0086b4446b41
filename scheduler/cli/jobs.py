"""``submit`` and ``plan``."""

from __future__ import annotations

import os
from typing import Any

import click

from scheduler.cli import options
from scheduler.cli.options import example, job_options, opened, print_json, say
from scheduler.cli.views import plan_lines

NO_WATCHER = (
    "nobody is looking after the queue: start the daemon with `lowtide up &`, install it with "
    "`lowtide up --install`, or call `lowtide tick` from cron"
)


@click.command(
    "submit",
    epilog=example("lowtide submit --duration 2h --deadline 18h --gpus 1 -- python train.py"),
)
@job_options
@click.option("--dry-run", is_flag=True, help="Show the plan; queue nothing.")
@options.json_option
@options.config_option
@click.pass_context
def submit_command(ctx: click.Context, /, dry_run: bool, as_json: bool, **fields: Any) -> None:
    """Queue a job; it starts in the greenest window that still meets its deadline."""
    from scheduler import engine
    from scheduler.engine import submission
    from scheduler.report import schema

    now = options.utc_now()
    request = options.request_of(fields)
    with opened(ctx) as context:
        spec = options.spec_of(context, request, now)
        if dry_run:
            submission.check_command(spec, os.environ)
            made, job_id = engine.plan(context, spec, now, to_run=True), None
        else:
            job_id, made = engine.submit(context, request, spec, os.environ, now)
        if as_json:
            head: dict[str, Any] = {"schema_version": schema.SCHEMA_VERSION}
            if job_id is not None:
                head["job_id"] = job_id
            print_json({**head, "plan": schema.plan_json(made)})
        else:
            click.echo(job_id or "dry run: nothing was queued")
            strip, why = plan_lines(context, made, now)
            click.echo(strip)
            say(why)
        if job_id is not None and not engine.watcher_seen(context, now):
            say(NO_WATCHER)


@click.command(
    "plan",
    epilog=example("lowtide plan --duration 4h --region aws:eu-north-1 --region gcp:us-west1"),
)
@job_options
@options.json_option
@options.config_option
@click.pass_context
def plan_command(ctx: click.Context, /, as_json: bool, **fields: Any) -> None:
    """Show the plan that a job would get; submit nothing."""
    from scheduler import engine
    from scheduler.report import schema, terminal

    now = options.utc_now()
    request = options.request_of(fields)
    with opened(ctx) as context:
        spec = options.spec_of(context, request, now)
        made = engine.plan(context, spec, now, to_run=False)
        if as_json:
            print_json({"schema_version": schema.SCHEMA_VERSION, "plan": schema.plan_json(made)})
            return
        strip, why = plan_lines(context, made, now)
        click.echo(strip)
        click.echo(why)
        if made.alternatives:
            click.echo(terminal.alternatives(made, limit=5))
