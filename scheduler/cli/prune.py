"""``prune``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json, say

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine import Context
    from scheduler.engine.retention import Pruning

# So many jobs are listed one by one; all are counted.
LISTED = 20


@click.command("prune", epilog=example("lowtide prune --older-than 90d"))
@click.option(
    "--older-than", metavar="SPAN", help="Jobs that ended so long ago: 90d. [retention.runs]"
)
@click.option("--yes", is_flag=True, help="Delete it; without, it is only shown.")
@options.json_option
@options.config_option
@click.pass_context
def prune_command(ctx: click.Context, older_than: str | None, yes: bool, as_json: bool) -> None:
    """Delete what ended jobs have left: output, checkpoints, energy journals and stories.

    Jobs and their final settlements stay; what is not settled finally is not touched. Environments
    that were kept for no job (their submission was killed) go as well, and so do forecasts that no
    job needs which is kept.
    """
    from scheduler.engine import retention

    now = options.utc_now()
    with opened(ctx, asks=False) as context:
        found = retention.prunable(context, _before(context, older_than, now))
        if yes:
            retention.prune(context, found, now)
            context.store.compact()
        if as_json:
            print_json(_document(found, done=yes))
        else:
            _tell(found, done=yes)


def _before(context: Context, older_than: str | None, now: datetime) -> datetime | None:
    if older_than is not None:
        return options.since(older_than, now, "--older-than")
    span_s = context.config.settings.retention.runs
    return None if span_s is None else now - timedelta(seconds=span_s)


def _document(found: Pruning, *, done: bool) -> dict[str, Any]:
    from scheduler.report import schema

    jobs = [each for each in found.found if not each.orphan]
    content: dict[str, Any] = {
        "schema_version": schema.SCHEMA_VERSION,
        "deleted": done,
        "ended_before": schema.iso(found.before),
        "jobs": [{"job_id": each.job_id, "bytes": each.size_bytes} for each in jobs],
        "forecasts": len(found.forecasts),
        "orphans": [each.job_id for each in found.found if each.orphan],
        "unsettled": found.unsettled,
        "bytes": sum(each.size_bytes for each in found.found),
    }
    unset = {} if found.before else {"ended_before": "neither --older-than nor retention.runs"}
    return content | {"null_reasons": unset}


def _tell(found: Pruning, *, done: bool) -> None:
    from scheduler.quantities import size

    jobs = [each for each in found.found if not each.orphan]
    orphans = len(found.found) - len(jobs)
    for each in jobs[:LISTED]:
        options.show(f"{each.job_id}  {size(each.size_bytes)}")
    if len(jobs) > LISTED:
        options.show(f"and {len(jobs) - LISTED} more")
    verb = "deleted" if done else "to be deleted"
    whole = size(sum(each.size_bytes for each in found.found))
    options.show(f"{verb}: run folders and stories of {len(jobs)} job(s), {whole}")
    if found.forecasts:
        options.show(f"{verb}: forecasts that no job needs which stays: {len(found.forecasts)}")
    if orphans:
        options.show(f"{verb}: environments kept for no job of this database: {orphans}")
    if found.before is None:
        say("no age is given: name one with --older-than 90d, or set retention.runs in the config")
    if found.unsettled:
        say(f"{found.unsettled} job(s) as old are not settled finally, and stay")
    if not done and (found.found or found.forecasts):
        say("nothing was deleted: add --yes")
