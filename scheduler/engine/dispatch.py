"""Starting, pausing and resuming jobs when that is due."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Launch
from providers.errors import ExecutorError
from providers.meters.nvml.assigned import MASK, allocation
from providers.runner.journal import read_json
from providers.series import from_unix
from scheduler.engine import bounds, dependencies, rest
from scheduler.engine.context import alone
from scheduler.engine.turns import Round
from scheduler.models import Attempt, Job, JobState

if TYPE_CHECKING:
    from datetime import datetime

    from providers.base import Executor
    from scheduler.engine.context import Context


def dispatch(ctx: Context, now: datetime, next_pass: datetime) -> None:
    """Start or resume every job that is due, most urgent first, while its region has slots.

    A job whose latest safe start would pass before the next pass starts now, but none before
    its bounds (:mod:`scheduler.engine.bounds`) or before those that it waits for have succeeded.
    Running jobs at the end of a segment pause.
    """
    pause(ctx, now)
    round_ = Round.of(ctx, now)
    for job, free in round_.due(now, next_pass):
        with alone(ctx, job.id, now):
            if free:
                _take_turn(ctx, job, round_, now)
            elif ctx.here.has_folders(job.spec.origin):
                missing = dependencies.missing(ctx, job.spec)
                said = "for " + ", ".join(f"{other.id} ({other.state})" for other in missing)
                ctx.store.jobs.tell(job.id, now, "waiting", said)


def in_time(ctx: Context, now: datetime, by: datetime, *, planned: bool) -> None:
    """Start or resume what can wait for nothing: every job whose latest safe start would pass
    before ``by``, where it was planned to be, as no other plan and no source may hold it up.

    ``planned``, once a pass has planned: also every job whose start has come just now by a plan
    that is up to date. One made in this very pass is not: it goes by what is remembered.
    """
    late = timedelta(seconds=rest.PASSES * ctx.config.settings.tick)
    round_ = Round.of(ctx, now)
    for job, free in round_.due(now if planned and not ctx.outlook.pending else None, by):
        with alone(ctx, job.id, now):
            assert job.plan is not None  # it is due by it
            latest = job.spec.latest_start
            up_to_date = planned and job.plan.made_at < now and now - job.plan.start <= late
            if free and (up_to_date or (latest is not None and latest < by)):
                _take_turn(ctx, job, round_, now)


def _take_turn(ctx: Context, job: Job, round_: Round, now: datetime) -> None:
    if not ctx.may_start(job):
        return  # another account's or host's lowtide does
    assert job.plan is not None
    if not bounds.allows(ctx, job, job.plan.window.region, now, now):
        return
    if job.holds:
        resume(ctx, job, now)
        return
    started = False
    if round_.room_is_promised(job):
        said = "its slots are kept for a more urgent job; starts after it"
        ctx.store.jobs.tell(job.id, now, "waiting", said)
    else:
        started = _start(ctx, job, now)
    round_.note(job, started=started)


def pause(ctx: Context, now: datetime) -> None:
    """Ask every running job whose segment is over to pause, where its deadline allows it."""
    for job in ctx.store.jobs.find({JobState.RUNNING}):
        end = rest.segment_end(job)
        if end is None or end > now or job.cancel_requested:
            continue
        with alone(ctx, job.id, now):
            attempt = ctx.store.jobs.attempts(job.id)[-1]
            if not ctx.follows(job, attempt):
                continue
            if rest.may_pause(ctx, job, now):
                said = f"asked to: its segment ends {end:%Y-%m-%dT%H:%M:%SZ}"
                ctx.store.jobs.tell(job.id, now, "pause", said)
                ctx.executor(attempt.region).pause(Path(attempt.run_dir), attempt.token)
            else:
                said = "it runs on to its end: after a pause it could miss its deadline"
                ctx.store.jobs.tell(job.id, now, "no pause", said)


def resume(ctx: Context, job: Job, now: datetime) -> None:
    """Let a stopped job's processes go on."""
    attempt = ctx.store.jobs.attempts(job.id)[-1]
    if ctx.store.jobs.transition(job.id, JobState.PAUSED, JobState.RUNNING, now, "goes on"):
        ctx.executor(attempt.region).resume(Path(attempt.run_dir), attempt.token)


def cancel_waiting(ctx: Context, job: Job, now: datetime) -> bool:
    """Cancel a job of ours that holds nothing; False for any other."""
    if job.holds or not ctx.here.has_folders(job.spec.origin):
        return False
    handed = None if job.state is JobState.QUEUED else ctx.store.jobs.handed(job)
    if handed is not None:
        # Its engine may begin it at any moment: it is stopped there, as one that has begun.
        ctx.store.jobs.claim(job, handed, (), None)
        return False
    said = "cancelled before it started" if job.started_at is None else "cancelled while it waited"
    done = ctx.store.jobs.transition(job.id, job.state, JobState.CANCELLED, now, said, ended_at=now)
    if done:
        ctx.runs.forget_environment(job.id)
    return done


def cancel_asked(ctx: Context, now: datetime) -> None:
    """Cancel what waits and was asked to be cancelled from another home or host."""
    for job in ctx.store.waiting.cancelled():
        with alone(ctx, job.id, now):
            cancel_waiting(ctx, job, now)


def _start(ctx: Context, job: Job, now: datetime) -> bool:
    """Claim the job's slots and boards and hand it over; False where they are not free."""
    assert job.plan is not None
    region = job.plan.window.region
    executor = ctx.executor(region)
    gpus: tuple[str, ...] = ()
    if not executor.capabilities.assigns_gpus:
        gpus, of = _free_boards(ctx, job, executor)
        if len(gpus) < job.spec.gpus:
            said = f"{job.spec.gpus} free GPUs in {region}{of}"
            ctx.store.jobs.tell(job.id, now, "waiting", said)
            return False
    handed = ctx.store.jobs.handed(job)
    if handed is not None and handed.region != region:
        return False  # it is taken back there first
    attempt = draft(ctx, job, now, gpus) if handed is None else replace(handed, claimed_at=now)
    if not ctx.store.jobs.claim(job, attempt, gpus, ctx.capacity(region, now)):
        ctx.store.jobs.tell(
            job.id,
            now,
            "waiting",
            f"no free slots in {region}" if not gpus else f"no free slots or GPUs in {region}",
        )
        return False
    launch(ctx, replace(job, attempt=attempt.number, region=region), attempt, now)
    return True


def _free_boards(ctx: Context, job: Job, executor: Executor) -> tuple[tuple[str, ...], str]:
    """Boards for a job, at most as many as it asked for, and of which mask they are."""
    if not job.spec.gpus:
        return (), ""
    free = executor.free_gpus(ctx.store.jobs.held_gpus())
    mask = allocation(read_json(ctx.runs.environment(job.id)) or {})
    if mask is None:
        return free[: job.spec.gpus], ""
    found = [uuid for uuid in mask.boards if uuid in free]
    return tuple(found[: job.spec.gpus]), f" among {', '.join(mask.boards)} ({MASK})"


def draft(ctx: Context, job: Job, now: datetime, gpus: tuple[str, ...]) -> Attempt:
    """The next attempt at a planned job, with a run folder of its own."""
    assert job.plan is not None
    number = job.attempt + 1
    return Attempt(
        job_id=job.id,
        number=number,
        region=job.plan.window.region,
        run_dir=str(ctx.runs.attempt(job.id, number)),
        token=secrets.token_hex(16),
        claimed_at=now,
        gpus=gpus,
        host=ctx.here.origin.host,
    )


def launch(
    ctx: Context, job: Job, attempt: Attempt, now: datetime, begin_s: float | None = None
) -> None:
    """Hand an attempt to its executor, to begin now or at ``begin_s`` (Unix time).

    Safe to repeat: an attempt runs at most once. Nothing is done where its bounds forbid that.
    """
    begin = now if begin_s is None else from_unix(begin_s)
    if not bounds.allows(ctx, job, attempt.region, begin, now):
        return
    try:
        ctx.executor(attempt.region).start(launch_of(ctx, job, attempt, now), begin_s)
    except (ExecutorError, OSError) as e:
        kind = "start failed" if begin_s is None else "hand over failed"
        ctx.store.jobs.tell(job.id, now, kind, f"{e}; tried again at the next pass")


def launch_of(
    ctx: Context, job: Job, attempt: Attempt, now: datetime, region: str | None = None
) -> Launch:
    """An attempt as its executor is handed it; in another ``region`` where it is to be moved."""
    settings, where = ctx.config.settings, region or attempt.region
    assigns = ctx.executor(where).capabilities.assigns_gpus
    return Launch(
        job_id=job.id,
        attempt=attempt.number,
        token=attempt.token,
        argv=job.spec.argv,
        cwd=job.spec.cwd,
        run_dir=attempt.run_dir,
        env_file=str(ctx.runs.environment(job.id)),
        units_file=str(ctx.runs.units(job.id)),
        work_dir=str(ctx.runs.work(job.id)),
        stdin_file=str(pipe) if (pipe := ctx.runs.standard_input(job.id)).exists() else None,
        region=where,
        slots=job.spec.slots,
        gpus=attempt.gpus,
        gpu_count=job.spec.gpus if assigns else 0,
        meters=ctx.config.meters,
        time_limit_s=rest.time_limit_s(ctx, job, now),
        grace_s=settings.grace,
        interval_s=settings.sample_interval,
        pause_signal=job.spec.pausable.signal if job.spec.pausable else None,
    )
