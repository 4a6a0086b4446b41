"""``report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import entries, options
from scheduler.cli.options import example, opened
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from scheduler.engine import Context
    from scheduler.models import Job
    from scheduler.store import By


@click.command("report", epilog=example("lowtide report --since 30d --group-by project"))
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--since",
    metavar="SPAN",
    help="One summary of what has ended since: 30d; in a format other than JSON, its jobs.",
)
@click.option("--group-by", type=click.Choice(["project", "user", "group"]), help="With --since.")
@click.option("--group", metavar="NAME", help="All jobs of a group (a sweep) as one, failed too.")
@click.option(
    "--format", "form", type=click.Choice(entries.FORMATS), help="Print it in this format."
)
@click.option("--markdown", is_flag=True, help="--format markdown.")
@options.json_option
@click.option("--out", "--output", metavar="FILE", help="Write the whole file or none of it.")
@click.option("--task", metavar="FILE", help="With boamps: YAML that says what the job did.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of --json.")
@options.config_option
@click.pass_context
def report_command(
    ctx: click.Context,
    job_ids: tuple[str, ...],
    since: str | None,
    group_by: By | None,
    group: str | None,
    form: str | None,
    markdown: bool,
    as_json: bool,
    out: str | None,
    task: str | None,
    schema: bool,
) -> None:
    """Report realized energy, carbon and SCI of jobs: all that have run, or those named."""
    from scheduler import engine
    from scheduler.report import summary

    if schema:
        from scheduler.report import exports

        click.echo(exports.published("report"), nl=False)
        return
    form = _one_format(form, markdown, as_json)
    _check(job_ids, since, group_by, group, form, task)
    now = options.utc_now()
    with opened(ctx, asks=False) as context:
        if since is not None and form in {None, "json"}:
            spent = entries.spent(context, options.since(since, now), now, group_by)
            text = _summary(summary.summed(spent, group_by), since, form)
        else:
            found = _siblings(context, group) if group else _jobs(context, job_ids, since, now)
            jobs = [engine.seen(context, job, now) for job in found]
            if not jobs:
                options.say("no job has run yet; `lowtide status` lists what is queued")
            told = (entries.entry(context, job) for job in jobs)
            text = entries.render(form, told, now, task=task, group=group)
    if out is None:
        options.publish(text)
        return
    with options.written(Path(out)) as file:
        file.write(text)


def _summary(groups: dict[str, Any], since: str, form: str | None) -> str:
    from scheduler.report import schema, summary

    if form is None:
        return summary.table(groups) + "\n"
    return options.json_text({"schema_version": schema.SCHEMA_VERSION, "since": since} | groups)


def _one_format(form: str | None, markdown: bool, as_json: bool) -> str | None:
    given = dict.fromkeys(filter(None, (form, "markdown" * markdown, "json" * as_json)))
    if len(given) > 1:
        raise UsageError(f"give one format, not {' and '.join(given)}")
    return next(iter(given), None)


def _check(
    job_ids: Sequence[str],
    since: str | None,
    group_by: str | None,
    group: str | None,
    form: str | None,
    task: str | None,
) -> None:
    """Options that do not go together."""
    if since is not None and job_ids:
        raise UsageError("give job ids, or --since for a summary, not both")
    if group_by is not None and since is None:
        raise UsageError("--group-by needs --since, e.g. --since 30d --group-by project")
    if group is not None and (job_ids or since is not None):
        raise UsageError(f"--group {group} names its jobs itself: leave out ids and --since")
    if group is not None and form == "markdown":
        raise UsageError(f"--group {group} has no Markdown: leave one of them out")
    if group_by is not None and form not in {None, "json"}:
        raise UsageError(f"--group-by makes a summary, {form} has jobs: leave one of them out")
    if task is not None and form != "boamps":
        raise UsageError("--task describes the job in a BoAmps report: add --format boamps")


def _jobs(
    context: Context, job_ids: Sequence[str], since: str | None, now: datetime
) -> Sequence[Job]:
    """Those named, each once; else those that ended ``since``, or all that have run."""
    from scheduler import engine

    if since is not None:
        return engine.ended(context, now, since=options.since(since, now))
    if job_ids:
        named = [context.store.jobs.get(job_id) for job_id in job_ids]
        return list({job.id: job for job in named}.values())
    return [job for job in context.store.jobs.find() if job.attempt]


def _siblings(context: Context, group: str) -> Sequence[Job]:
    """Every job of the group that has run, whatever came of it."""
    found = [job for job in context.store.jobs.find(group=group) if job.attempt]
    if not found:
        ran = [job for job in context.store.jobs.find() if job.attempt]
        known = sorted({job.spec.group for job in ran if job.spec.group})
        raise UsageError(
            f"--group {group}: no job of that group has run; "
            + (f"groups that have: {', '.join(known[:10])}" if known else "none has a --group")
        )
    return found
