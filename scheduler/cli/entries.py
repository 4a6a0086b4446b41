"""Jobs with what they cost, and the text of their reports in each format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.cli import options
from scheduler.cli.views import local_zone
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from scheduler.engine import Context
    from scheduler.models import Job, Settlement
    from scheduler.report.exports import Entry
    from scheduler.report.schema import JobCost
    from scheduler.store import By

FORMATS = ("json", "csv", "markdown", "boamps", "openmetrics")


def render(
    form: str | None,
    entries: Iterable[Entry],
    now: datetime,
    *,
    task: str | None = None,
    group: str | None = None,
) -> str:
    """The reports in a format of :data:`FORMATS`, or as a terminal shows them (None).

    ``group``: they are all of that group, which has a report of its own as well. What has no sums
    over all of them holds one at a time in memory.
    """
    from scheduler.report import exports, terminal
    from scheduler.report import group as sweep
    from scheduler.report import markdown as md
    from scheduler.report.exports import columns, openmetrics

    if form == "csv":
        return columns.write(entries)
    drawn = md.report if form == "markdown" else terminal.report
    if form in {None, "markdown"} and group is None:
        return "".join(
            drawn(e.job, e.settlement, tz=local_zone(), versions=e.versions) + "\n" for e in entries
        )
    found = list(entries)
    if form == "json":
        return options.json_text(exports.document(found, group))
    if form == "openmetrics":
        return openmetrics.write(found)
    if form == "boamps":
        return _boamps(found, now, task)
    assert group is not None  # all else is above
    return sweep.table(group, [(e.job, e.settlement) for e in found]) + "\n"


def _boamps(found: Sequence[Entry], now: datetime, task: str | None) -> str:
    from scheduler import checked
    from scheduler.report.exports import boamps
    from scheduler.report.exports.boamps_task import Task

    if len(found) != 1:
        raise UsageError(f"a BoAmps report is about one job, here are {len(found)}: name one")
    told = None
    if task is not None:
        path = Path(task)
        told = checked.validate(Task, checked.read_yaml(path), path).told()
    text = boamps.write(found[0], now, told)
    if told is None:
        options.say("what the job did is not known to lowtide: say it with --task FILE")
    return text


def entry(context: Context, job: Job) -> Entry:
    """A job with its settlements."""
    from scheduler.report.exports import Entry

    return Entry(job, settled(context, job), context.store.settlements.versions(job.id))


def spent(
    context: Context, since: datetime, now: datetime, by: By | None
) -> Iterator[tuple[str | None, JobCost]]:
    """What each job cost that ended ``since``, with the field of it that sums go ``by``."""
    from scheduler import engine
    from scheduler.report.schema import JobCost

    for each in context.store.spending.since(since, by):
        if each.figures is None and each.ran:
            job = context.store.jobs.get(each.job_id)
            yield each.name, JobCost.of(job, settled(context, job))
        else:
            yield each.name, JobCost(each.job_id, each.state, each.figures)
    # Those that have ended since the last pass, as their receipts say.
    for job in engine.ended_unseen(context, now, since=since):
        yield by and getattr(job.spec, by), JobCost.of(job, settled(context, job))


def settled(context: Context, job: Job) -> Settlement | None:
    """The stored settlement; of a job that still runs, what it has cost so far."""
    from scheduler import engine
    from scheduler.report.units import pruned

    stored = context.store.settlements.latest(job.id)
    if stored is not None and job.pruned_at is not None:
        return replace(stored, notes=(*stored.notes, pruned(job.pruned_at)))
    if stored is not None and job.state.ended:
        return stored
    now = options.utc_now()
    job, attempts = engine.look(context, context.store.jobs.get(job.id), now)
    return engine.settlement_of(context, job, now, attempts) or stored
