"""What is kept, in an attempt's run folder, of the Slurm job behind it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from providers.executors.slurm import batch
from providers.runner import journal

if TYPE_CHECKING:
    from pathlib import Path

    from providers.executors.slurm.jobs import SlurmJob

FILE = "slurm.json"
# A node refuses a run whose credential was made in the second in which it ended the run before
# ("Job credential revoked"; credentials know seconds alone), or earlier by its own clock.
SETTLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Handle:
    """The run of a Slurm job that an attempt is.

    ``begin_s`` is the Unix time it was told to begin at, ``restarts`` how often the job had been
    requeued when this attempt became its next run, at ``since_s``. ``released`` is false from the
    hour it is written until the job is known to be let go. ``note`` is what people should know,
    ``site`` names the settings that it was submitted by (:meth:`SlurmSettings.digest`).
    """

    job_id: str
    cluster: str | None
    begin_s: float | None
    partition: str | None
    restarts: int = 0
    since_s: float = 0.0
    released: bool = True
    note: str = ""
    site: str = ""

    def start_time(self, begin_s: float | None) -> str:
        """``StartTime`` for this run: at ``begin_s``, or as soon as Slurm can start it."""
        earliest_s = self.since_s + SETTLE_S if self.restarts else 0.0
        return batch.when(max(begin_s or 0.0, earliest_s))

    def is_past(self, job: SlurmJob) -> bool:
        """Whether Slurm still tells of the run before this one, which may have ended."""
        if job.restarts is not None:
            return job.restarts < self.restarts
        return self.restarts > 0 and job.ended_s is not None and job.ended_s <= self.since_s

    def is_over(self, job: SlurmJob) -> bool:
        """Whether Slurm has made another run of the job, which is not this attempt's."""
        return job.restarts is not None and job.restarts > self.restarts


def read(run_dir: Path) -> Handle | None:
    """The handle of an attempt; None where it was not handed over, or the file is damaged."""
    content = journal.read_json(run_dir / FILE)
    try:
        found = None if content is None else Handle(**content)
    except TypeError:
        return None
    return found if found is not None and _is_sound(found) else None


def _is_sound(found: Handle) -> bool:
    """Whether it is as we write it: a job could have replaced it."""
    words = (found.job_id, found.note, found.site, found.cluster or "", found.partition or "")
    numbers = (found.begin_s or 0.0, found.restarts, found.since_s)
    return (
        all(isinstance(word, str) for word in words)
        and found.job_id.isdecimal()
        and all(isinstance(n, (int, float)) and 0 <= n <= journal.LAST_S for n in numbers)
    )


def keep(run_dir: Path, handle: Handle) -> None:
    """Write it, whole or not at all."""
    journal.write_json(run_dir / FILE, asdict(handle))
