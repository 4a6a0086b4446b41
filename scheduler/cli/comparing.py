"""``compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scheduler.cli import entries, options
from scheduler.cli.options import example, opened, print_json
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from scheduler.engine import Context
    from scheduler.models import Job


@click.command("compare", epilog=example("lowtide compare --group sweep --by accuracy"))
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option("--group", metavar="NAME", help="All runs of this group that have ended.")
@click.option("--by", metavar="METRIC", help="Mark what nothing beats: more of this, less carbon.")
@click.option("--minimise", metavar="METRIC", help="The same where less is better: loss.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of --json.")
@options.json_option
@options.config_option
@click.pass_context
def compare_command(
    ctx: click.Context,
    job_ids: tuple[str, ...],
    group: str | None,
    by: str | None,
    minimise: str | None,
    schema: bool,
    as_json: bool,
) -> None:
    """Compare runs: energy, carbon, score per unit, and what each reached for it.

    A metric is what a job appends to the file named by $LOWTIDE_UNITS as metric.NAME=VALUE; the
    last value counts.
    """
    from scheduler.report import exports, runs, runs_view

    if schema:
        click.echo(exports.published("compare"), nl=False)
        return
    if by is not None and minimise is not None:
        raise UsageError(f"rank by one metric: --by {by} or --minimise {minimise}")
    now = options.utc_now()
    with opened(ctx, asks=False) as context:
        jobs = _jobs(context, job_ids, group, now)
        if len(jobs) < 2:
            where = f" of group {group!r}" if group is not None else ""
            raise UsageError(
                f"there is nothing to compare: {len(jobs)} run(s){where} found, two are needed"
            )
        better: runs.Better = "higher" if minimise is None else "lower"
        found = [runs.Run(job, entries.settled(context, job)) for job in jobs]
        compared = runs.compare(found, by or minimise, better)
    if as_json:
        print_json(runs_view.document(compared))
    else:
        options.show(runs_view.text(compared))


def _jobs(context: Context, job_ids: Sequence[str], group: str | None, now: datetime) -> list[Job]:
    """Those named, then those of the group that have run to an end, each once."""
    from scheduler import engine

    named = [context.store.jobs.get(job_id) for job_id in job_ids]
    jobs = [engine.seen(context, job, now) for job in named]
    if group is not None:
        jobs += [job for job in engine.ended(context, now, group=group) if job.attempt]
    return list({job.id: job for job in jobs}.values())
