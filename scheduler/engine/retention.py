"""What is left of jobs that have ended: swept by each pass, pruned where and when the user says.

Sweeping loses nothing that anybody may want: environments (secrets), temporary files of killed
commands, markers that only following a job needed. Pruning deletes output, checkpoints, energy
journals and the story; the job and its newest settlement stay. It deletes forecasts as well, which
are kept longer by as much as sources are judged by.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from scheduler.engine.accuracy import LATELY
from scheduler.engine.context import alone

if TYPE_CHECKING:
    from collections.abc import Generator

    from scheduler.engine.context import Context
    from scheduler.origin import Origin

# So many are swept or pruned in one transaction, for which all others who write wait. A pass sweeps
# one such batch: homes of versions that did not are done within the hour.
BATCH = 100
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A run folder that is to go: of a job, or (``orphan``) its environment alone, which was kept
    for nothing that this database knows.
    """

    job_id: str
    size_bytes: int
    orphan: bool = False


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is to be deleted, or was; ``before`` is None where nothing says how long jobs are kept.

    ``unsettled`` jobs are as old, and stay until they are settled finally. ``forecasts`` are ids.
    """

    before: datetime | None
    found: tuple[Leftover, ...]
    unsettled: int
    forecasts: tuple[int, ...] = ()


def sweep(ctx: Context, now: datetime, limit: int = BATCH) -> int:
    """Do away with what killed submissions, and up to ``limit`` jobs that are over, have left.

    Returns how many jobs that were.
    """
    for each in ctx.runs.abandoned():
        if each not in ctx.store.retention.states([each]):
            ctx.runs.discard(each)
    done: list[str] = []
    for job_id in _mine(ctx, ctx.store.retention.to_sweep(ctx.here.origin.host), limit):
        with alone(ctx, job_id, now):
            ctx.runs.tidy(job_id)
            done.append(job_id)
    if done:
        ctx.store.retention.swept(done)
    return len(done)


def prunable(ctx: Context, before: datetime | None) -> Pruning:
    """What :func:`prune` would delete; jobs of other accounts, hosts and homes are not ours."""
    # In this order: what is submitted meanwhile is in the last list, or was not in the first.
    folders, under_way = ctx.runs.named(), set(ctx.runs.under_way())
    states = ctx.store.retention.states(folders)
    orphans = [
        each
        for each in folders
        if each not in states and each not in under_way and ctx.runs.environment(each).exists()
    ]
    found = [Leftover(each, ctx.runs.size_bytes(each), orphan=True) for each in orphans]
    half_gone = [each for each in folders if states.get(each) == "pruned"]
    found += [Leftover(each, ctx.runs.size_bytes(each)) for each in half_gone]
    if before is None:
        return Pruning(None, tuple(found), 0)
    old = ctx.store.retention.to_prune(before)
    found += [Leftover(each, ctx.runs.size_bytes(each)) for each in _mine(ctx, old)]
    forecasts = ctx.store.retention.spent_forecasts(before - LATELY)
    return Pruning(before, tuple(found), ctx.store.retention.unsettled(before), tuple(forecasts))


def prune(ctx: Context, pruning: Pruning, now: datetime) -> None:
    """Delete what was found. Who is killed meanwhile has marked what is half gone as pruned."""
    while sweep(ctx, now):
        pass
    for first in range(0, len(pruning.found), BATCH):
        some = pruning.found[first : first + BATCH]
        states = ctx.store.retention.states([each.job_id for each in some])
        kept = [job_id for job_id, state in states.items() if state != "pruned"]
        said = "its run folder and story were deleted; the settlement stays"
        ctx.store.retention.prune(kept, now, said)
        for each in some:
            with alone(ctx, each.job_id, now):
                ctx.runs.discard(each.job_id) if each.orphan else ctx.runs.remove(each.job_id)
    for first in range(0, len(pruning.forecasts), BATCH):
        ctx.store.retention.forget(pruning.forecasts[first : first + BATCH])


def prune_daily(ctx: Context, now: datetime) -> None:
    """Once a day, where the configuration says for how long run folders are kept."""
    span_s = ctx.config.settings.retention.runs
    name = f"prune {ctx.here.owner}"
    last = ctx.store.beats.last(name)
    if span_s is None or (last is not None and timedelta() <= now - last < DAY):
        return
    prune(ctx, prunable(ctx, now - timedelta(seconds=span_s)), now)
    ctx.store.beats.beat(name, now)


def _mine(
    ctx: Context, found: Generator[tuple[str, Origin | None]], limit: int | None = None
) -> list[str]:
    with closing(found):
        own = (job_id for job_id, origin in found if ctx.here.has_folders(origin))
        return list(islice(own, limit))
