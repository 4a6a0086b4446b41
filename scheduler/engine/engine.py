"""The use cases. Time comes in as ``now``; every step is idempotent and reads its work
from the store, so the daemon, a cron line, a test and a replay all call the same functions.
"""

from __future__ import annotations

import fcntl
import secrets
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from providers.errors import ProviderError, Unavailable
from scheduler.engine import dependencies, dispatch, planning, recurring, settling, submission
from scheduler.engine.planning import Field, Option
from scheduler.errors import StoreError, UsageError
from scheduler.models import Job, JobState, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scheduler.engine.context import Context
    from scheduler.models import JobSpec, Recurrence
    from scheduler.regions import Region

# A cron line looks once a minute at best, so `lowtide tick` looks that far ahead.
CRON_STEP = timedelta(seconds=60)
# A job that waits for slots past its start is planned anew this often.
STILL_DUE = timedelta(minutes=10)
# After this long without a daemon or a tick, nobody seems to be looking.
ABSENCE = timedelta(minutes=2)


def submit(
    ctx: Context,
    request: submission.Request,
    spec: JobSpec,
    environ: Mapping[str, str],
    now: datetime,
) -> tuple[str, Plan]:
    """Check, plan and queue a job; returns its id and plan. Nothing is left of a refused one."""
    submission.check_command(spec, environ)
    variables = submission.job_environment(request, environ, ctx.config)
    made = plan(ctx, spec, now, to_run=True)
    job_id = secrets.token_hex(4)
    ctx.runs.keep_environment(job_id, variables)
    ctx.store.jobs.add(job_id, spec, now)
    ctx.store.jobs.plan(ctx.store.jobs.get(job_id), made, now)
    return job_id, made


def submit_series(
    ctx: Context,
    request: submission.Request,
    template: JobSpec,
    environ: Mapping[str, str],
    now: datetime,
) -> tuple[Recurrence, str, Plan]:
    """Check a job that repeats and queue its first occurrence; returns that job's id and plan."""
    submission.check_command(template, environ)
    variables = submission.job_environment(request, environ, ctx.config)
    series, spec = recurring.begin(ctx, request, template, environ, now)
    made = plan(ctx, spec, now, to_run=True)
    job_id = secrets.token_hex(4)
    for kept_id in (series.id, job_id):
        ctx.runs.keep_environment(kept_id, variables)
    ctx.store.recurrences.add(series, job_id, spec, now)
    ctx.store.jobs.plan(ctx.store.jobs.get(job_id), made, now)
    return series, job_id, made


def plan(ctx: Context, spec: JobSpec, now: datetime, *, to_run: bool) -> Plan:
    """The plan that a job would get. ``to_run``: only regions that can run it may be chosen.

    Carbon data that nobody has is an error here (exit code 4); a source that is only silent
    now leaves the decision to the outage policy.
    """
    spec = spec.model_copy(update={"release": dependencies.ready_at(ctx, spec, now)})
    field = _field(ctx, spec, now, to_run=to_run)
    if all(option.known.series is None for option in field.candidates):
        for option in field.candidates:
            error = option.known.error
            if error is not None and not isinstance(error, Unavailable):
                raise error
    return _with_outage_policy(ctx, spec, field, planning.make(spec, field, now), now)


def tick(ctx: Context, now: datetime, next_pass: datetime | None = None) -> datetime | None:
    """One pass: reap, repeat, refresh, plan, dispatch, settle. Returns when the next job is due.

    ``next_pass`` is when somebody will look again at the latest; jobs whose latest safe
    start would pass before it start now.
    """
    with _one_at_a_time(ctx.config.home / "tick.lock"):
        ctx.store.beats.beat("tick", now)
        dispatch.reap(ctx, now)
        recurring.spawn(ctx, now)
        dependencies.cancel_orphans(ctx, now)
        _replan(ctx, now)
        dispatch.dispatch(ctx, now, next_pass or now + CRON_STEP)
        settling.settle(ctx, now)
    starts = [
        min(job.plan.window.start, job.spec.latest_start or job.plan.window.start)
        for job in ctx.store.jobs.find({JobState.PLANNED})
        if job.plan is not None
    ]
    return min((s for s in starts if s > now), default=None)


def follow(ctx: Context, now: datetime) -> None:
    """Look what became of the jobs that hold slots; starts and plans nothing."""
    with _one_at_a_time(ctx.config.home / "tick.lock"):
        dispatch.reap(ctx, now)


def cancel(ctx: Context, job_id: str, now: datetime) -> Job:
    """Cancel a job: at once where it waits; where it runs its tree is asked to stop."""
    job = ctx.store.jobs.get(job_id)
    if job.state.ended:
        raise UsageError(f"job {job.id} has ended ({job.state}): nothing to cancel")
    if not job.state.active and ctx.store.jobs.transition(
        job.id, job.state, JobState.CANCELLED, now, "cancelled before it started", ended_at=now
    ):
        ctx.runs.forget_environment(job.id)
        return ctx.store.jobs.get(job.id)
    ctx.store.jobs.request_cancel(job.id, now, "asked to stop")
    follow(ctx, now)
    return ctx.store.jobs.get(job.id)


def cancel_series(ctx: Context, prefix: str, now: datetime) -> tuple[Recurrence, Job | None]:
    """Stop a series and cancel its job that waits; one that runs goes on. Returns the job."""
    with _one_at_a_time(ctx.config.home / "tick.lock"):
        series = recurring.stop(ctx, prefix, now)
        job = recurring.instances(ctx).get(series.id)
    if job is None or job.state.active:
        return series, job
    return series, cancel(ctx, job.id, now)


def watcher_seen(ctx: Context, now: datetime) -> bool:
    """Whether a daemon or a tick was seen in the last two minutes."""
    last = ctx.store.beats.last("tick")
    return last is not None and now - last < ABSENCE


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


def _replan(ctx: Context, now: datetime) -> None:
    """Plan queued jobs; plan anew those whose forecast changed or whose start was missed."""
    for job in ctx.store.jobs.find({JobState.QUEUED, JobState.PLANNED}):
        spec = dependencies.released(ctx, job, now)
        try:
            field = _field(ctx, spec, now, to_run=True)
            if job.plan is not None and not (
                _stale(ctx, job, field, now) or dependencies.changed(ctx, job, spec.release)
            ):
                continue
            made = planning.make(spec, field, now, job.plan)
            made = _with_outage_policy(ctx, spec, field, made, now)
        except (ProviderError, UsageError) as e:
            ctx.store.jobs.tell(job.id, now, "no plan", str(e))
            if job.plan is not None:
                continue
            made = _earliest(ctx, spec, now)
        if job.plan is None or _moved(job.plan, made, now):
            ctx.store.jobs.plan(job, made, now)


def _stale(ctx: Context, job: Job, field: Field, now: datetime) -> bool:
    assert job.plan is not None
    rows = {o.known.row_id for o in (*field.candidates, field.home)} - {None}
    missed = now - job.plan.window.start > timedelta(seconds=3 * ctx.config.settings.tick)
    return missed or not rows <= set(job.plan.forecast_ids)


def _moved(old: Plan, new: Plan, now: datetime) -> bool:
    """Whether a new plan is worth a line in the story: one that is still due says it rarely."""
    same_place = old.window.region == new.window.region
    if same_place and old.window.start <= now and new.window.start <= now:
        return now - old.made_at > STILL_DUE
    same_start = old.window.start == new.window.start
    return not (same_place and same_start) or old.forecast_ids != new.forecast_ids


def _field(ctx: Context, spec: JobSpec, now: datetime, *, to_run: bool) -> Field:
    """Who takes part: named regions, else every configured one that can run the job."""
    named = [ctx.regions[name] for name in spec.regions]
    home = ctx.regions[spec.home]
    able = [r for r in (named or ctx.regions.configured) if _can_run(ctx, r, spec)]
    if to_run:
        if not able:
            raise UsageError(_nothing_runs(ctx, spec, named))
        candidates = able
    else:
        candidates = named or able or [home]
    start = min(now, spec.release)
    length = timedelta(seconds=spec.duration_s or 3600.0)
    # A baseline that started at release needs the forecast from there on as well.
    end = max((spec.latest_start or spec.release), spec.release, now) + length
    chosen = {r.name for r in candidates}
    others = named or (*ctx.regions.configured, *ctx.regions.every)
    compared = dict.fromkeys(r.name for r in others if r.name not in chosen)
    shared: dict[tuple[str | None, tuple[str, ...]], Option] = {}

    def peek(region: Region) -> Option:
        key = (region.zone, region.chain)
        if key not in shared:
            shared[key] = Option(region, ctx.outlook.ask(region, start, end, now))
        return Option(region, shared[key].known)

    def ask(region: Region) -> Option:
        if to_run:
            return Option(region, ctx.outlook.refresh(region, start, end, now))
        return peek(region)

    options = [peek(ctx.regions[name]) for name in compared] if spec.duration_s else []
    asked = {region.name: ask(region) for region in (*candidates, home)}
    return Field(
        candidates=tuple(asked[r.name] for r in candidates),
        compared=tuple(o for o in options if o.known.series is not None),
        home=asked[home.name],
    )


def _can_run(ctx: Context, region: Region, spec: JobSpec) -> bool:
    if region.executor is None:
        return False
    if spec.slots > ctx.capacity(region.name):
        return False
    if not spec.gpus:
        return True
    return len(ctx.executor(region.name).free_gpus(frozenset())) >= spec.gpus


def _nothing_runs(ctx: Context, spec: JobSpec, named: list[Region]) -> str:
    whys = []
    for region in named or ctx.regions.configured:
        if region.executor is None:
            whys.append(f"{region.name} has no executor")
        elif spec.slots > ctx.capacity(region.name):
            whys.append(f"{region.name} has {ctx.capacity(region.name)} of {spec.slots} slots")
        else:
            gpus = len(ctx.executor(region.name).free_gpus(frozenset()))
            whys.append(f"{region.name} has {gpus} of {spec.gpus} GPUs")
    return (
        f"no region can run this job: {', '.join(whys)}; compare places with `lowtide plan`, or "
        f"give a region an executor in {ctx.config.path}"
    )


def _with_outage_policy(
    ctx: Context, spec: JobSpec, field: Field, made: Plan, now: datetime
) -> Plan:
    """Without any forecast: hold until the latest safe start where the policy says so."""
    silent = [o for o in field.candidates if isinstance(o.known.error, Unavailable)]
    if ctx.config.settings.outage.policy != "hold" or made.window.grams is not None or not silent:
        return made
    latest = spec.latest_start
    if latest is None or latest <= made.window.start or made.window.end is None:
        return made
    shift = latest - made.window.start
    return planning.moved(
        made, shift, "no source answers: held until the latest safe start (outage.policy: hold)"
    )


def _earliest(ctx: Context, spec: JobSpec, now: datetime) -> Plan:
    """A plan that needs no data: the earliest time in the first region that can run the job."""
    field = _field(ctx, spec, now, to_run=True)
    return planning.make(spec, planning.blind(field), now)
