"""What is left of a job that has run in part, and whether it may pause now.

A checkpoint keeps what was done before it: progress is the time run by attempts that ended with
one, less a reload for each of them that had to begin with one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.runner import journal
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Attempt, Job, JobSpec, Pausable, Plan
    from scheduler.planner.segments import Spans

# The outcome of an attempt that died of the TERM which asked it to checkpoint.
INTERRUPTED = "interrupted"
# So many looks at the queue may lie between the end of one segment and the start of the next.
PASSES = 3
# A job that outlasts its stated duration is taken to need so much more (s), at every look.
LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of a job, as a job of its own, and the times (Unix s) when it ran before.

    ``paused_at_s`` is when it last paused; None for a job that never has.
    """

    spec: JobSpec
    done: Spans = ()
    paused_at_s: float | None = None


def of(ctx: Context, job: Job, now: datetime) -> Rest:
    """What is left of ``job`` at ``now``; all of it where nothing was kept.

    It stays in the region where it was begun, and needs a reload first. One that did not
    checkpoint when it was asked to is not paused again.
    """
    spec, pausable = job.spec, job.spec.pausable
    if pausable is None or spec.duration_s is None or job.attempt == 0:
        return Rest(spec)
    # One that only waits at its engine is no part of what was done.
    attempts = [a for a in ctx.store.jobs.attempts(job.id) if a.number <= job.attempt]
    changes: dict[str, Any] = {}
    if any(a.outcome == INTERRUPTED for a in attempts):
        changes["pausable"] = None
    if job.state is JobState.PAUSED:
        # Its start was in time; what is bounded now is the end.
        changes |= {"deadline": _deadline(spec), "start_by": None, "min_saving_percent": 0.0}
    kept = _kept(attempts)
    done = tuple(span for a in kept for span in _runs(a, now))
    last = attempts[-1].ended_at or now
    paused_at_s = done[-1][1] if attempts[-1].ended_at is None and done else last.timestamp()
    if done:
        left = max(spec.duration_s - _progress_s(done, pausable), pausable.min_run_s, LEAST_S)
        need = left + pausable.resume_s
        energy = spec.energy_kwh and spec.energy_kwh * need / spec.duration_s
        region = (kept[-1].region,)
        changes |= {"duration_s": need, "energy_kwh": energy, "regions": region, "data_gb": 0.0}
        if "pausable" not in changes and pausable.max_segments is not None:
            fewer = max(1, pausable.max_segments - len(done))
            changes["pausable"] = pausable.model_copy(update={"max_segments": fewer})
    remains = spec.model_copy(update=changes)
    latest = remains.latest_start
    if job.state is JobState.PAUSED and latest is not None:
        # It goes on no earlier than planned, so its plan leaves room for looks that come later.
        early = max(now, latest - timedelta(seconds=PASSES * ctx.config.settings.tick))
        remains = remains.model_copy(update={"start_by": min(latest, early)})
    return Rest(remains, done, paused_at_s)


def as_left(ctx: Context, job: Job, now: datetime) -> Job:
    """``job`` with the spec of what is left of it, as it is to be placed."""
    return replace(job, spec=of(ctx, job, now).spec)


def ran_s(attempts: Sequence[Attempt], now: datetime) -> float:
    """For how long the processes of ``attempts`` ran, stops left out."""
    return sum(b - a for attempt in attempts for a, b in _runs(attempt, now))


def time_limit_s(ctx: Context, job: Job, now: datetime) -> float | None:
    """What its time limit leaves it, over all segments; None without one."""
    if job.spec.time_limit_s is None:
        return None
    before = _kept(ctx.store.jobs.attempts(job.id))
    return max(LEAST_S, job.spec.time_limit_s - ran_s(before, now))


def segment_end(job: Job) -> datetime | None:
    """When it is to pause next; None where it is to run to its end."""
    if job.plan is None or job.spec.pausable is None:
        return None
    ahead = job.plan.ahead
    return ahead[0][1] if len(ahead) > 1 else None


def resumes_at(ctx: Context, job: Job, now: datetime) -> datetime:
    """When the next segment of a paused job begins by its plan, also by one made before it
    paused.
    """
    assert job.plan is not None
    paused_at_s = of(ctx, job, now).paused_at_s
    if paused_at_s is None or job.plan.made_at.timestamp() >= paused_at_s:
        return job.plan.start
    return carried_on(job.plan, now).start


def carried_on(plan: Plan, now: datetime) -> Plan:
    """The plan of a job that has just paused, its next segment as it was planned before."""
    return replace(plan, made_at=now, goes_on_at=plan.ahead[1][0] if len(plan.ahead) > 1 else now)


def may_pause(ctx: Context, job: Job, now: datetime) -> bool:
    """Whether it still meets its deadline if it pauses now, also if the next pass is late.

    One that has outlasted its duration may end at any moment, and is let.
    """
    spec, pausable = job.spec, job.spec.pausable
    deadline = _deadline(spec)
    assert pausable is not None
    if spec.duration_s is None:
        return True
    attempts = ctx.store.jobs.attempts(job.id)
    done = tuple(s for a in (*_kept(attempts[:-1]), attempts[-1]) for s in _runs(a, now))
    left = spec.duration_s - _progress_s(done, pausable)
    margin = PASSES * ctx.config.settings.tick
    end = now + timedelta(seconds=left + pausable.resume_s + margin)
    return left > 0 and (deadline is None or end <= deadline)


def _deadline(spec: JobSpec) -> datetime | None:
    """When it must end; one whose start alone was bounded ends as if it had begun then."""
    if spec.deadline is None and spec.start_by is not None and spec.duration_s is not None:
        return spec.start_by + timedelta(seconds=spec.duration_s)
    return spec.deadline


def _kept(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those whose work was not lost: they checkpointed, or they are only stopped."""
    return [
        a
        for a in attempts
        if a.outcome == str(JobState.PAUSED)
        or (a.ended_at is None and journal.read_pauses(Path(a.run_dir)))
    ]


def _runs(attempt: Attempt, now: datetime) -> Spans:
    """When its processes ran (Unix s): from start to end, without the times it was stopped."""
    if attempt.started_at is None:
        return ()
    begun, end = attempt.started_at.timestamp(), (attempt.ended_at or now).timestamp()
    found = []
    for a, b in journal.read_pauses(Path(attempt.run_dir)):
        found.append((begun, a))
        begun = end if b is None else b
    return tuple((a, b) for a, b in (*found, (begun, end)) if b > a)


def _progress_s(done: Spans, pausable: Pausable) -> float:
    """Each span but the first began with a reload."""
    run = sum(b - a for a, b in done)
    return run - sum(min(pausable.resume_s, b - a) for a, b in done[1:])
