"""The use cases. Time comes in as ``now``; every step is idempotent and reads its work
from the store, so the daemon, a cron line, a test and a replay all call the same functions.
"""

from __future__ import annotations

import fcntl
import secrets
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from scheduler.engine import (
    accuracy,
    dependencies,
    dispatch,
    handover,
    leading,
    planner,
    queue,
    reap,
    recurring,
    rest,
    settling,
    submission,
)
from scheduler.engine.promises import Promised
from scheduler.errors import StoreError, StoreUnreachable, UsageError
from scheduler.models import Job, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from scheduler.engine.context import Context
    from scheduler.engine.request import Request
    from scheduler.models import JobSpec, Plan, Recurrence

# A cron line looks once a minute at best, so `lowtide tick` looks that far ahead.
CRON_STEP = timedelta(seconds=60)
# So often a job is planned anew at its submission where others were faster.
TRIES = 20
# After this long without a daemon or a tick, nobody seems to be looking.
ABSENCE = timedelta(minutes=2)


def submit(
    ctx: Context,
    request: Request,
    spec: JobSpec,
    environ: Mapping[str, str],
    now: datetime,
) -> tuple[str, Plan]:
    """Check, plan and queue a job; returns its id and plan. Nothing is left of a refused one."""
    spec = spec.model_copy(update={"origin": ctx.here.origin})
    submission.check_command(spec, environ)
    variables = submission.job_environment(request, environ, ctx.config)
    job_id = secrets.token_hex(4)
    add = partial(ctx.store.jobs.add, job_id, spec, now)
    return job_id, _book(ctx, spec, variables, (job_id,), add, now)


def submit_series(
    ctx: Context,
    request: Request,
    template: JobSpec,
    environ: Mapping[str, str],
    now: datetime,
) -> tuple[Recurrence, str, Plan]:
    """Check a job that repeats and queue its first occurrence; returns that job's id and plan."""
    template = template.model_copy(update={"origin": ctx.here.origin})
    submission.check_command(template, environ)
    variables = submission.job_environment(request, environ, ctx.config)
    series, spec = recurring.begin(ctx, request, template, environ, now)
    job_id = secrets.token_hex(4)
    add = partial(ctx.store.recurrences.add, series, job_id, spec, now)
    return series, job_id, _book(ctx, spec, variables, (series.id, job_id), add, now)


class _Overtaken(Exception):
    """Others have taken the place of a plan while it was made."""


def _book(
    ctx: Context,
    spec: JobSpec,
    variables: Mapping[str, str],
    ids: Sequence[str],
    add: Callable[[], None],
    now: datetime,
) -> Plan:
    """Plan a job, the last of ``ids``, and put it into the queue by ``add``.

    The plan is made outside the transaction that books it, as others want to write meanwhile:
    where they have booked the same slots, it is made anew.
    """
    for _ in range(TRIES):
        before = Promised.now(ctx)
        made = planner.plan(ctx, spec, now, to_run=True)
        for each in ids:
            ctx.runs.keep_environment(each, variables)
        with suppress(_Overtaken), _wholly(ctx, ids):
            alone = Promised.now(ctx) == before
            add()
            booked = planner.keep(ctx, ctx.store.jobs.get(ids[-1]), made, now)
            if not alone and queue.overtaken(ctx, booked, before, now):
                raise _Overtaken
            return made
    raise StoreError(
        f"others took the slots of this job {TRIES} times while it was planned: nothing was "
        "queued; submit it again"
    )


@contextmanager
def _wholly(ctx: Context, ids: Sequence[str]) -> Iterator[None]:
    """Put something new into the queue, or leave nothing of it: who is told no may ask again."""
    try:
        with ctx.store.together():
            yield
    except StoreUnreachable:
        # It may be there: the answer to the commit alone may have been lost.
        raise
    except (StoreError, _Overtaken):
        for each in ids:
            ctx.runs.discard(each)
        raise


def tick(ctx: Context, now: datetime, next_pass: datetime | None = None) -> datetime | None:
    """One pass: reap, repeat, refresh, plan, dispatch, settle. Returns when a job is due next.

    Of several that share a database only the leader asks sources and plans, for all of them; each
    starts, follows and settles the jobs that are its own. ``next_pass`` is when somebody will
    look again at the latest; jobs whose latest safe start would pass before it start now.
    """
    with _one_at_a_time(ctx.config.home / "tick.lock"):
        ctx.store.refuse_other_versions()
        ctx.store.beats.beat(_watch(ctx), now)
        handover.look(ctx, now)
        reap.reap(ctx, now)
        dispatch.cancel_asked(ctx, now)
        recurring.spawn(ctx, now)
        dependencies.cancel_orphans(ctx, now)
        soon = next_pass or now + CRON_STEP
        # Sources may take their time; a deadline does not wait for them.
        if patience := ctx.outlook.begin_pass():
            dispatch.urgent(ctx, now, soon + patience)
        leads = leading.take(ctx, now)
        planner.replan(ctx, now, leads=leads)
        handover.hand_over(ctx, now)
        dispatch.dispatch(ctx, now, soon)
        settling.settle(ctx, now)
        if leads:
            accuracy.judge(ctx, now)
    moments = [
        job.plan.start
        for job in ctx.store.waiting.paused()
        if job.plan is not None and ctx.here.has_folders(job.spec.origin)
    ]
    moments += [
        end
        for job in ctx.store.jobs.find({JobState.STARTING, JobState.RUNNING})
        if ctx.here.has_folders(job.spec.origin) and (end := rest.segment_end(job)) is not None
    ]
    starts = ctx.store.waiting.next_moment(now)
    moments += [] if starts is None else [starts]
    return min((m for m in moments if m > now), default=None)


def step_down(ctx: Context) -> None:
    """Let another one lead at once; a pass that is still going on is waited for."""
    with _one_at_a_time(ctx.config.home / "tick.lock"):
        leading.give_up(ctx)


def follow(ctx: Context, now: datetime) -> None:
    """Look what became of the jobs that hold slots; starts and plans nothing."""
    with _one_at_a_time(ctx.config.home / "tick.lock"):
        handover.look(ctx, now)
        reap.reap(ctx, now)


def cancel(ctx: Context, job_id: str, now: datetime) -> Job:
    """Cancel a job: at once where it waits; where it runs its tree is asked to stop.

    One of another home of ours is marked, for the lowtide there; that of another account is
    refused with :class:`UsageError`.
    """
    job = ctx.store.jobs.get(job_id)
    if job.state.ended:
        raise UsageError(f"job {job.id} has ended ({job.state}): nothing to cancel")
    origin = job.spec.origin
    if origin is not None and origin.account != ctx.here.origin.account:
        raise UsageError(f"job {job.id} is {origin.account}'s: only they may cancel it")
    if dispatch.cancel_waiting(ctx, job, now):
        return ctx.store.jobs.get(job.id)
    ctx.store.jobs.request_cancel(job.id, now, "asked to stop")
    follow(ctx, now)
    return ctx.store.jobs.get(job.id)


def cancel_series(ctx: Context, prefix: str, now: datetime) -> tuple[Recurrence, Job | None]:
    """Stop a series and cancel its job that waits; one that runs goes on. Returns the job."""
    with _one_at_a_time(ctx.config.home / "tick.lock"):
        series = recurring.stop(ctx, prefix, now)
        job = recurring.instances(ctx).get(series.id)
    if job is None or job.state.active or job.state is JobState.PAUSED:
        return series, job
    return series, cancel(ctx, job.id, now)


def watcher_seen(ctx: Context, now: datetime) -> bool:
    """Whether a daemon or a tick was seen in the last two minutes."""
    last = ctx.store.beats.last(_watch(ctx))
    return last is not None and now - last < ABSENCE


def _watch(ctx: Context) -> str:
    """What the beat of this home's passes is called."""
    return f"tick {ctx.here.owner}"


@contextmanager
def sole_daemon(home: Path) -> Iterator[None]:
    """Hold the home as its only daemon; :class:`StoreError` where another one does."""
    with (home / "daemon.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StoreError(
                f"another lowtide daemon holds {home} (process {lock.read().strip() or '?'}): "
                "stop it, or use another LOWTIDE_HOME"
            ) from None
        yield


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
