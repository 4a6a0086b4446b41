"""Pausing by ``scontrol suspend``, where the site lets this account do so (operators alone may).

Slurm stops the runner with the job, so what the runner would tell of the pause is written here
for it: ``pauses.json``, open until the runner goes on and writes it anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.errors import ExecutorError
from providers.runner import journal, pausing

if TYPE_CHECKING:
    from pathlib import Path

    from providers.executors.slurm.commands import Commands
    from providers.executors.slurm.handle import Handle
    from providers.executors.slurm.jobs import SlurmJob

SUSPENDED = "SUSPENDED"
# Why Slurm did not suspend this attempt: it is not asked again.
REFUSED = "suspend-refused.json"
# Words of those complaints that are no refusal (Slurm's slurm_errno.c, and ours of the time).
NO_ANSWER = ("did not answer", "Unable to contact", "Zero Bytes", "timed out")


def suspend(commands: Commands, run_dir: Path, handle: Handle, job: SlurmJob, now_s: float) -> bool:
    """Whether Slurm has suspended it; False where it refuses, then and from then on."""
    if (run_dir / REFUSED).exists():
        return False
    if job.state != SUSPENDED:
        try:
            commands.control("suspend", handle)
        except ExecutorError as e:
            if any(word in str(e) for word in NO_ANSWER):
                raise
            journal.write_json(run_dir / REFUSED, {"said": str(e)})
            return False
    if not pausing.is_stopped(run_dir):
        before = journal.read_pauses(run_dir)
        journal.write_json(run_dir / pausing.FILE, {"pauses": [*before, (now_s, None)]})
    return True


def resume(commands: Commands, handle: Handle) -> bool:
    """Let a suspended job go on; False where it is not suspended."""
    job = commands.queued(handle, fresh=True)
    if job is None or job.state != SUSPENDED:
        return False
    commands.control("resume", handle)
    return True


def refusal(run_dir: Path) -> str:
    """What to tell people of a refusal; empty where there was none."""
    said = (journal.read_json(run_dir / REFUSED) or {}).get("said")
    return "" if said is None else f"Slurm does not suspend it ({said}): paused by signals"
