"""After a checkpoint: the same Slurm job for the next attempt, held until its window is known.

Nothing here waits. Each call looks, does the one step that is due and looks again; what Slurm
does not confirm is looked at anew in the next pass. A job counts as back in the queue only when
Slurm says that it is held there, requeued once more than before.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import ExecutorError
from providers.executors.slurm import batch, handle
from providers.files import write_private
from providers.runner import journal

if TYPE_CHECKING:
    from providers.base import Launch
    from providers.executors.slurm.commands import Commands
    from providers.executors.slurm.handle import Handle
    from providers.executors.slurm.jobs import SlurmJob

HELD = "JobHeldUser"
# Slurm's ESLURM_JOB_PENDING: it was requeued before, and the queue does not show it yet.
PENDING = "pending execution"
# Since when the requeue of an attempt is tried.
TRIED = "requeue.json"
# A job may be COMPLETING for as long as a dead node does not answer; the next attempt cannot wait.
PATIENCE_S = 60.0
# A requeued run may fail before its runner begins (a node that is just going down): once more.
RUNS = 2


class Impossible(Exception):
    """Why the Slurm job of the attempt before cannot be used again."""


def before(launch: Launch) -> Handle | None:
    """The Slurm job of the attempt before, where that ended by a checkpoint.

    It may carry the mark of either: that of ``launch`` is written before the job is let go.
    """
    folder = Path(launch.run_dir).with_name(str(launch.attempt - 1))
    receipt = journal.read_receipt(folder)
    if launch.pause_signal != "checkpoint" or receipt is None or receipt.reason != "paused":
        return None
    last = handle.read(folder)
    if last is None:
        return None
    return replace(last, marks=(batch.comment(launch), *last.marks))


def take_back(
    commands: Commands, launch: Launch, last: Handle, begin_s: float | None, now_s: float
) -> Handle | None:
    """The handle of the next attempt in the job of the ``last`` one, not yet released.

    None while Slurm is not that far; :class:`Impossible` where it never will be.
    """
    job = _back_in_queue(commands, last)
    if job is None or job.restarts is None:
        if now_s - journal.noted_s(Path(launch.run_dir) / TRIED, now_s) > PATIENCE_S:
            raise Impossible(f"it was not back in the queue within {PATIENCE_S:g} s")
        return None
    _point(launch, job.job_id, job.restarts)
    return replace(
        last, begin_s=begin_s, restarts=job.restarts, since_s=now_s, released=False, note=""
    )


def release(commands: Commands, launch: Launch, held: Handle) -> bool:
    """Let it begin at its hour; safe to repeat, also once it has begun.

    False where Slurm has no such job of ours any more.
    """
    if commands.queued(held, fresh=True) is None:
        return False
    try:
        # slurmctld has put the begin two minutes off.
        start = held.start_time(held.begin_s)
        commands.update(held, Comment=batch.comment(launch), StartTime=start)
        commands.control("release", held)
    except ExecutorError:
        job = commands.queued(held, fresh=True)
        if job is None or held.is_past(job) or job.stage in {"waiting", "unknown"}:
            raise
    return True


def _back_in_queue(commands: Commands, last: Handle) -> SlurmJob | None:
    job = commands.queued(last, fresh=True)
    if job is None:
        raise Impossible("Slurm does not know it any more")
    refusal = ""
    if job.stage == "ended" and (job.restarts or 0) - last.restarts >= RUNS:
        raise Impossible(f"it ended {RUNS} times before its runner began: {job.state}")
    try:
        if job.stage == "ended" and not last.is_past(job):
            commands.control("requeuehold", last)
        elif job.stage == "waiting" and last.is_over(job) and job.reason != HELD:
            commands.control("hold", last)
    except ExecutorError as e:
        refusal = str(e)
    job = commands.queued(last, fresh=True)
    if job is not None and job.stage == "waiting" and last.is_over(job) and job.reason == HELD:
        return job
    if refusal and PENDING not in refusal and (job is None or job.stage == "ended"):
        raise Impossible(refusal)
    return None


def _point(launch: Launch, job_id: str, restarts: int) -> None:
    """Tell the batch script which attempt its next run is, whole or not at all."""
    path = batch.pointer(launch, job_id, restarts)
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
    write_private(temporary, f"{launch.run_dir}\n")
    temporary.replace(path)
