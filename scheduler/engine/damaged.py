"""Jobs whose rows cannot be read: they are left out of passes, but for what still runs of them.

A run folder says what its engine is to be asked. So they hold their slots until their processes
have ended, and no longer, and can be cancelled as any other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from providers.runner.runner import known_launch
from scheduler.engine.endings import verdict
from scheduler.models import HOLDING, JobState

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from scheduler.engine.context import Context
    from scheduler.models import Damaged

ALIVE = frozenset({"waiting", "running", "paused", "orphaned"})


def follow(ctx: Context, job: Damaged, now: datetime) -> None:
    """End a job in the store once its processes have ended; stop them where that was asked.

    One whose run folder is not ours is left to the lowtide that has it.
    """
    folder = ctx.runs.newest(job.id)
    if folder is None:
        return
    outcome, said = _outcome(ctx, job, folder)
    if outcome is not None and ctx.store.jobs.end_damaged(job, outcome, now, said):
        ctx.runs.forget_environment(job.id)


def _outcome(ctx: Context, job: Damaged, folder: Path) -> tuple[JobState | None, str]:
    """What became of it; None while it goes on."""
    lost = JobState.CANCELLED if job.cancel_requested else JobState.LOST
    launch = known_launch(folder)
    if launch is None:
        return lost, "its row cannot be read, and its run folder does not say what was started"
    executor = ctx.executor(launch.region)
    state = executor.poll(folder, launch.token)
    if job.cancel_requested and state.phase in {"absent", *ALIVE}:
        executor.stop(folder, launch.token, ctx.config.settings.grace)
    if state.phase in ALIVE:
        return None, ""
    if state.receipt is None:
        if state.phase == "absent":  # nor may it start from now on
            executor.stop(folder, launch.token, ctx.config.settings.grace)
        return lost, f"its row cannot be read, and its processes are gone ({state.detail or '?'})"
    if state.receipt.reason == "paused" and not (job.cancel_requested or job.state.active):
        return None, ""  # it has paused, and cannot be planned until its row is mended
    outcome, said = verdict(state.receipt)
    return outcome, f"{said}; its row cannot be read"


def cancel(ctx: Context, job: Damaged, now: datetime) -> None:
    """Cancel it: at once where nothing of it can run."""
    if job.state not in HOLDING:
        said = "cancelled; its row cannot be read"
        if ctx.store.jobs.end_damaged(job, JobState.CANCELLED, now, said):
            ctx.runs.forget_environment(job.id)
        return
    ctx.store.jobs.request_cancel(job.id, now, "asked to stop")
    follow(ctx, replace(job, cancel_requested=True), now)
