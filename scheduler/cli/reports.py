"""``report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json
from scheduler.cli.views import local_zone
from scheduler.errors import UsageError
from scheduler.models import JobState

if TYPE_CHECKING:
    from scheduler.engine import Context
    from scheduler.models import Job, Settlement


@click.command("report", epilog=example("lowtide report --since 30d --group-by project"))
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option("--since", metavar="SPAN", help="One summary of what has ended since: 30d.")
@click.option("--group-by", type=click.Choice(["project", "user", "group"]), help="With --since.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@options.json_option
@options.config_option
@click.pass_context
def report_command(
    ctx: click.Context,
    job_ids: tuple[str, ...],
    since: str | None,
    group_by: str | None,
    markdown: bool,
    as_json: bool,
) -> None:
    """Report realized energy, carbon and SCI of jobs: all that have run, or those named."""
    from scheduler import engine
    from scheduler.report import markdown as md
    from scheduler.report import schema, summary, terminal

    now = options.utc_now()
    if since is not None and job_ids:
        raise UsageError("give job ids, or --since for a summary, not both")
    if group_by is not None and since is None:
        raise UsageError("--group-by needs --since, e.g. --since 30d --group-by project")
    with opened(ctx) as context:
        engine.follow(context, now)
        if since is not None:
            jobs = context.store.jobs.find(
                {s for s in JobState if s.ended}, since=options.since(since, now)
            )
            pairs = [(job, _settled(context, job)) for job in jobs]
            groups = summary.summarize(pairs, group_by)
            if as_json:
                print_json({"schema_version": schema.SCHEMA_VERSION, "since": since} | groups)
            else:
                click.echo(summary.table(groups))
            return
        jobs = [context.store.jobs.get(job_id) for job_id in job_ids] or [
            job for job in context.store.jobs.find() if job.attempt
        ]
        pairs = [(job, _settled(context, job)) for job in jobs]
        if as_json:
            reports = [
                schema.report_json(
                    job,
                    settlement,
                    zone=_zone(context, job),
                    versions=context.store.settlements.versions(job.id),
                )
                for job, settlement in pairs
            ]
            print_json(
                {
                    "schema_version": schema.SCHEMA_VERSION,
                    "jobs": reports,
                    "totals": schema.totals(pairs),
                }
            )
            return
        if not pairs:
            options.say("no job has run yet; `lowtide status` lists what is queued")
        for job, settlement in pairs:
            render = md.report if markdown else terminal.report
            versions = context.store.settlements.versions(job.id)
            zone = _zone(context, job)
            click.echo(render(job, settlement, zone=zone, tz=local_zone(), versions=versions))


def _settled(context: Context, job: Job) -> Settlement | None:
    """The stored settlement; of a job that still runs, what it has cost so far."""
    from scheduler import engine

    stored = context.store.settlements.latest(job.id)
    if stored is not None and job.state.ended:
        return stored
    return engine.settlement_of(context, job, options.utc_now()) or stored


def _zone(context: Context, job: Job) -> str | None:
    """The zone of the job's region; None also where the region has left the config."""
    known = {region.name: region.zone for region in context.regions.every}
    return known.get(job.region or "")
