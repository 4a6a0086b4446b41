"""The use cases. Time comes in as ``now``; every step is idempotent and reads its work
from the store, so the daemon, a cron line, a test and a replay all call the same functions.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from providers.errors import LowtideError
from providers.meters.nvml.assigned import MASK, entries
from scheduler.engine import (
    accuracy,
    damaged,
    dependencies,
    dispatch,
    handover,
    leading,
    planner,
    queue,
    reap,
    recurring,
    rest,
    retention,
    settling,
    submission,
)
from scheduler.engine.promises import Promised
from scheduler.errors import (
    BusyError,
    StoreError,
    StoreUnavailable,
    StoreUnreachable,
    UsageError,
    fault,
)
from scheduler.locks import held, holder
from scheduler.models import HOLDING, Damaged, Job, JobState
from scheduler.store import OWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from scheduler.engine.context import Context
    from scheduler.engine.request import Request
    from scheduler.models import JobSpec, Plan, Recurrence

# A cron line looks once a minute at best, so `lowtide tick` looks that far ahead.
CRON_STEP = timedelta(seconds=60)
# So often a job is planned anew at its submission where others were faster.
TRIES = 20
# So long (s) a pass or a command waits for another one that commands engines just now.
TURN_S = 0.5
# So long (s) a pass waits to go on at the engines, and a daemon that ends to step down: longer than
# a turn takes (2.4 s with 1,000 running jobs, docs/database.md), and far below the 90 s after which
# systemd would kill a daemon that ends.
ENDING_S = 10.0
# After this long without a daemon or a tick, nobody seems to be looking.
ABSENCE = timedelta(minutes=2)
# For this long a pass that went by another configuration is worth a word: cron may call it daily.
MEMORY = timedelta(days=1)
# How the names of passes begin among all that is seen.
PASSES = "tick "


def submit(
    ctx: Context,
    request: Request,
    spec: JobSpec,
    environ: Mapping[str, str],
    now: datetime,
) -> tuple[str, Plan]:
    """Check, plan and queue a job; returns its id and plan. Nothing is left of a refused one."""
    spec = _marked(ctx, spec)
    submission.check_command(spec, environ)
    variables = submission.job_environment(request, environ, ctx.config)
    _check_boards(ctx, spec, variables)
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
    template = _marked(ctx, template)
    submission.check_command(template, environ)
    variables = submission.job_environment(request, environ, ctx.config)
    _check_boards(ctx, template, variables)
    series, spec = recurring.begin(ctx, request, template, environ, now)
    job_id = secrets.token_hex(4)
    add = partial(ctx.store.recurrences.add, series, job_id, spec, now)
    return series, job_id, _book(ctx, spec, variables, (series.id, job_id), add, now)


def _marked(ctx: Context, spec: JobSpec) -> JobSpec:
    """A job with where it comes from, and the configuration that it is to be settled by."""
    return spec.model_copy(update={"origin": ctx.here.origin, "config": ctx.config.digest})


def _check_boards(ctx: Context, spec: JobSpec, variables: Mapping[str, str]) -> None:
    """A job gets no board outside the mask of its environment; engines make masks of their own."""
    mask = variables.get(MASK)
    regions = [r.name for r in ctx.regions.configured if r.executor is not None]
    regions = [name for name in regions if not spec.regions or name in spec.regions]
    if mask is None or any(ctx.executor(r).capabilities.assigns_gpus for r in regions):
        return
    named = len(entries(mask))
    if named < spec.gpus:
        raise UsageError(
            f"--gpus {spec.gpus}: {MASK}={mask} leaves {named} to the job; ask for no more, or "
            f"leave the variable out (--env {MASK}=GPU-..., or unset it)"
        )


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
    where they have booked the same slots, it is made anew. No engine is asked within it.
    """
    ctx = ctx.counting_once()
    for _ in range(TRIES):
        before = Promised.now(ctx)
        made = planner.plan(ctx, spec, now, to_run=True)
        with ctx.runs.submitting(ids), suppress(_Overtaken), _wholly(ctx, ids, variables):
            alone = Promised.now(ctx) == before
            ctx.keep_config()
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
def _wholly(ctx: Context, ids: Sequence[str], variables: Mapping[str, str]) -> Iterator[None]:
    """Put something new into the queue with its environment, or leave nothing of it: who is
    refused may ask again.
    """
    try:
        for each in ids:
            ctx.runs.keep_environment(each, variables)
        with ctx.store.together():
            yield
    except StoreUnreachable:
        # It may be there: the answer to the commit alone may have been lost.
        raise
    except BaseException:
        for each in ids:
            ctx.runs.discard(each)
        raise


def tick(ctx: Context, now: datetime, next_pass: datetime | None = None) -> datetime | None:
    """One pass: reap, repeat, refresh, plan, dispatch, settle. Returns when a job is due next.

    Of several that share a database only the leader asks sources and plans, for all of them; each
    starts, follows and settles the jobs that are its own. ``next_pass`` is when somebody will
    look again at the latest; jobs whose latest safe start would pass before it start now.

    Passes of one home take turns at planning and at their engines: :class:`BusyError` where
    another one is at it. Sources are asked between two turns, and by one process at a time: who
    comes meanwhile goes by what is remembered. So only the process that asks waits for a source.
    What goes wrong in one step is raised after the last one. :class:`StoreReplaced` where another
    home or database lies where this one was.
    """
    soon, steps = next_pass or now + CRON_STEP, _Steps(ctx, now)
    quiet = ctx.with_outlook(ctx.outlook.remembering())
    ctx.store.refuse_replaced()
    with _turn(ctx) as mine:
        if not mine:
            raise kept_waiting(ctx)
        ctx.store.refuse_other_versions()
        ctx.keep_config()
        ctx.store.beats.beat(_watch(ctx), now, ctx.config.digest)
        ctx.store.damaged.clear()
        steps.do("follow handed-over jobs", lambda: handover.look(ctx, now))
        steps.do("follow jobs", lambda: reap.reap(ctx, now))
        # What frees slots comes first; then, whatever else fails, what can wait no longer.
        steps.do("start due jobs", lambda: dispatch.in_time(ctx, now, soon, planned=False))
        steps.do("cancel", lambda: dispatch.cancel_asked(ctx, now))
        steps.do("repeat series", lambda: recurring.spawn(ctx, now))
        steps.do("cancel orphans", lambda: dependencies.cancel_orphans(ctx, now))
        leads, planned = leading.take(ctx, now), False
        if leads:
            steps.do("mend reservations", lambda: _mend(ctx, now))
        # Sources may take their time; neither a start that is due nor a deadline waits for them.
        if patience := ctx.outlook.begin_pass():
            planned = steps.do("plan", lambda: planner.replan(quiet, now, leads=leads))
            by = soon + patience
            steps.do("start due jobs", lambda: dispatch.in_time(quiet, now, by, planned=True))
    with ctx.outlook.asking() as asker:
        if leads and asker is not None:
            asking = ctx.with_outlook(asker)
            steps.do("ask sources", lambda: planner.refresh(asking, now))
            planned = planned and not asker.has_asked
    # Else passes that outlast a tick keep each other from planning: each only begins.
    with _turn(ctx, ENDING_S) as mine:
        hindrance = None if mine else kept_waiting(ctx)
        if mine:
            if not planned:
                steps.do("plan", lambda: planner.replan(quiet, now, leads=leads))
            steps.do("hand over", lambda: handover.hand_over(quiet, now))
            steps.do("start jobs", lambda: dispatch.dispatch(quiet, now, soon))
    with ctx.outlook.asking() as asker:
        if asker is not None:
            asking = ctx.with_outlook(asker)
            steps.do("settle", lambda: settling.settle(asking, now))
    steps.do("sweep", lambda: retention.sweep(ctx, now))
    steps.do("prune", lambda: retention.prune_daily(ctx, now))
    if leads:
        steps.do("judge forecasts", lambda: accuracy.judge(quiet, now))
    steps.over()
    if hindrance is not None:
        raise hindrance
    return next_moment(ctx, now)


def _mend(ctx: Context, now: datetime) -> None:
    """What is held by plans is added up again where the sum cannot be."""
    if ctx.store.reservations.mend(now):
        said = "what plans hold was damaged in the database: it was added up again"
        ctx.store.jobs.trouble(OWN, now, said, "reservations")


def next_moment(ctx: Context, now: datetime) -> datetime | None:
    """When the next job is to start, to go on or to pause, after ``now``."""
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


class _Steps:
    """The steps of a pass: one that fails as a whole keeps none of the others from being done."""

    def __init__(self, ctx: Context, now: datetime) -> None:
        self._ctx, self._now = ctx, now
        self._first: Exception | None = None

    def do(self, name: str, step: Callable[[], object]) -> bool:
        """Do a step; False, and its fault is noted for ``lowtide doctor``, where it fails.

        Without the store nothing goes on: :class:`StoreError`.
        """
        try:
            step()
        except StoreError:
            raise
        except Exception as e:  # noqa: BLE001 -- raised after the last step
            self._first = self._first or e
            self._ctx.store.jobs.trouble(OWN, self._now, fault(e), name)
            return False
        return True

    def over(self) -> None:
        """Note the faults of sources and damaged rows; raise the first of a step."""
        for name, said in self._ctx.outlook.faults.items():
            self._ctx.store.jobs.trouble(OWN, self._now, said, f"source {name}")
        for (table, key), damaged_row in tuple(self._ctx.store.damaged.items()):
            kind = "trouble" if table in {"job", "recurrence"} else f"{table} {key}"
            whose = key if kind == "trouble" else OWN
            self._ctx.store.jobs.trouble(whose, self._now, str(damaged_row), kind)
        if isinstance(self._first, (LowtideError, OSError)):
            raise self._first
        if self._first is not None:
            raise LowtideError(f"a step of this pass failed: {fault(self._first)}") from self._first


def _turn(ctx: Context, patience_s: float = TURN_S) -> AbstractContextManager[bool]:
    """Planning and commanding engines, which one process of a home does at a time."""
    return held(_lock(ctx), patience_s)


def _lock(ctx: Context) -> Path:
    return ctx.config.home / "tick.lock"


def kept_waiting(ctx: Context) -> LowtideError:
    """Why this home's engines are not to be commanded just now: :class:`BusyError` where another
    pass does it, :class:`StoreUnavailable` where the process that holds them stands still.
    """
    who = holder(_lock(ctx))
    if who is not None and who.stopped:
        return StoreUnavailable(
            f"a pass of {ctx.config.home} stands still ({who}): lowtide starts and stops none of "
            "its jobs before that one goes on"
        )
    named = "" if who is None else f" ({who})"
    return BusyError(f"another pass of {ctx.config.home} is at work{named}: it does what is due")


def step_down(ctx: Context) -> None:
    """Let another one lead at once; a pass that is at its engines is waited for a while.

    :class:`BusyError` or :class:`StoreUnavailable` where that is not over: then another one leads
    when our lease has run out.
    """
    with _turn(ctx, ENDING_S) as mine:
        if not mine:
            raise kept_waiting(ctx)
        leading.give_up(ctx)


def follow(ctx: Context, job_id: str, now: datetime) -> bool:
    """Look what became of a job that holds slots, and stop it where that was asked.

    False, and nothing is done, while a pass is at its engines: that one looks itself.
    """
    with _turn(ctx) as mine:
        if mine:
            job = ctx.store.jobs.found(job_id)
            if isinstance(job, Damaged):
                damaged.follow(ctx, job, now)
            else:
                reap.reap(ctx, now, [job] if job.state in HOLDING else [])
        return mine


def cancel(ctx: Context, job_id: str, now: datetime) -> Job | Damaged:
    """Cancel a job: at once where it waits; where it runs its tree is asked to stop, by the next
    pass where one is at its engines just now.

    One of another home of ours is marked, for the lowtide there; that of another account is
    refused with :class:`UsageError`.
    """
    job = ctx.store.jobs.found(job_id)
    nowhere = isinstance(job, Damaged) and job.stored != job.state
    if job.state.ended and not nowhere:
        raise UsageError(f"job {job.id} has ended ({job.state}): nothing to cancel")
    if isinstance(job, Damaged):
        damaged.cancel(ctx, job, now)
        return ctx.store.jobs.found(job.id)
    origin = job.spec.origin
    if origin is not None and origin.account != ctx.here.origin.account:
        raise UsageError(f"job {job.id} is {origin.account}'s: only they may cancel it")
    if dispatch.cancel_waiting(ctx, job, now):
        return ctx.store.jobs.get(job.id)
    ctx.store.jobs.request_cancel(job.id, now, "asked to stop")
    follow(ctx, job.id, now)
    return ctx.store.jobs.get(job.id)


def cancel_series(
    ctx: Context, prefix: str, now: datetime
) -> tuple[Recurrence | Damaged, Job | Damaged | None]:
    """Stop a series and cancel its job that waits; one that runs goes on. Returns the job."""
    series = recurring.stop(ctx, prefix, now)
    job = recurring.instances(ctx).get(series.id)
    if job is None or job.state.active or job.state is JobState.PAUSED:
        return series, job
    return series, cancel(ctx, job.id, now)


def watcher_seen(ctx: Context, now: datetime) -> bool:
    """Whether a daemon or a tick was seen in the last two minutes."""
    last = ctx.store.beats.last(_watch(ctx))
    # A beat of the future is from a clock that has been set back since.
    return last is not None and abs(now - last) < ABSENCE


def otherwise_configured(ctx: Context, now: datetime) -> list[str]:
    """A sentence for each lowtide on this database that goes by another configuration than this
    one, of those seen within a day.
    """
    said = []
    for beat in ctx.store.beats.seen(PASSES):
        kept = None if beat.config is None else ctx.store.configs.get(beat.config)
        if kept is None or beat.config == ctx.config.digest or now - beat.at > MEMORY:
            continue
        path = kept[0]
        edition = "an earlier edition of this file: restart it"
        which = edition if path == ctx.config.path.absolute() else str(path)
        who, at = beat.name.removeprefix(PASSES), submission.iso(beat.at)
        said.append(f"{who} (last seen {at}) goes by {which}")
    return said


def _watch(ctx: Context) -> str:
    """What the beat of this home's passes is called."""
    return PASSES + ctx.here.owner


@contextmanager
def sole_daemon(home: Path) -> Iterator[None]:
    """Hold the home as its only daemon; :class:`StoreError` where another one does."""
    path = home / "daemon.lock"
    with held(path) as mine:
        if not mine:
            raise StoreError(
                f"another lowtide daemon holds {home} ({holder(path) or 'which is not known'}): "
                "stop it, or use another LOWTIDE_HOME"
            )
        yield
