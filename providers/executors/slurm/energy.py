"""Slurm's own energy, as a second witness beside the runner's record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import JOULES_PER_KWH
from providers.runner import journal

if TYPE_CHECKING:
    from pathlib import Path

    from providers.executors.slurm.commands import Commands

ASKED = "slurm-energy.json"


def note_energy(commands: Commands, run_dir: Path, job_id: str) -> None:
    """Once, when an attempt has ended: a note in its journal where Slurm has metered it.

    Slurm meters whole nodes, so its figure says something of a job only where that had them
    alone; null and zero both mean that the site meters nothing. It never replaces ours.
    """
    if (run_dir / ASKED).exists():
        return
    job = commands.accounted(job_id)
    told = None if job is None or not job.exclusive else job.energy_j
    journal.write_json(run_dir / ASKED, {"joules": told})
    if told is not None:
        kwh = told / JOULES_PER_KWH
        journal.append_note(
            run_dir, f"second witness: Slurm metered {kwh:.6g} kWh for the whole nodes of the job"
        )
