"""Slurm's own energy, as a second witness beside the runner's record."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from providers.base import JOULES_PER_KWH
from providers.errors import ExecutorError
from providers.runner import journal

if TYPE_CHECKING:
    from pathlib import Path

    from providers.executors.slurm.commands import Commands
    from providers.executors.slurm.handle import Handle

ASKED = "slurm-energy.json"


def _had_its_nodes_alone(commands: Commands, handle: Handle) -> bool:
    """Accounting does not say so (22.05); the queue does, while it remembers the job."""
    try:
        job = commands.queued(handle)
    except ExecutorError:
        return False
    return job is not None and job.exclusive


def note_energy(commands: Commands, run_dir: Path, handle: Handle) -> None:
    """Once, when an attempt has ended: a note in its journal where Slurm has metered it.

    Slurm meters whole nodes, so its figure says something of a job only where that had them
    alone; null and zero both mean that the site meters nothing. It never replaces ours.
    """
    if (run_dir / ASKED).exists():
        return
    job = commands.accounted(handle)
    if job is None:
        return  # it does not answer, or does not know the job yet
    told = job.energy_j if job.exclusive or _had_its_nodes_alone(commands, handle) else None
    # A full disk keeps nobody from hearing that the attempt has ended.
    with suppress(OSError):
        journal.write_json(run_dir / ASKED, {"joules": told})
        if told is not None:
            kwh = told / JOULES_PER_KWH
            said = f"Slurm metered {kwh:.6g} kWh for the whole nodes of the job"
            journal.append_note(run_dir, f"second witness: {said}")
