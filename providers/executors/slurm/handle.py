"""What is kept, in an attempt's run folder, of the Slurm job behind it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from providers.executors.slurm import batch
from providers.runner import journal
from providers.runner.runner import known_launch

if TYPE_CHECKING:
    from pathlib import Path

    from providers.executors.slurm.jobs import SlurmJob

FILE = "slurm.json"
# A node refuses a run whose credential was made in the second in which it ended the run before
# ("Job credential revoked"; credentials know seconds alone), or earlier by its own clock.
SETTLE_S = 5.0
# How far Slurm's hour of a submission may lie from ours. Clocks differ by less than munge lets a
# credential live (300 s, munged(8)), or nothing could be submitted at all; sbatch may take 20 s,
# and a requeue is tried for a minute before it is written down.
APART_S = 300.0 + 20.0 + 60.0


@dataclass(frozen=True, slots=True)
class Handle:
    """The run of a Slurm job that an attempt is.

    ``job_id`` is Slurm's number, which it gives to other jobs once it has lost its state: the job
    is ours only where it carries one of ``marks`` (:func:`batch.comment`), those of this attempt
    and of earlier ones in the same Slurm job. ``begin_s`` is the Unix time at which it should
    begin, ``restarts`` how often the job had been
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
    marks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the job at Slurm."""
        return batch.job_name(self.marks[0].split(":")[1]) if self.marks else ""

    def is_ours(self, job: SlurmJob) -> bool:
        """Whether Slurm tells of this very job, not of another one that has its number now.

        Accounting may keep no comments, and jobcomp has none: there name and hour decide.
        """
        if job.job_id != self.job_id or not self.marks:
            return False
        if job.comment:
            return job.comment in self.marks
        at_s = job.submitted_s
        return job.name == self.name and (at_s is None or abs(at_s - self.since_s) <= APART_S)

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
    if content is None:
        return None
    try:
        # A handle that an earlier version wrote has no marks.
        marks = tuple(content.get("marks") or _marks(run_dir))
        found = Handle(**{**content, "marks": marks})
    except TypeError:
        return None
    return found if _is_sound(found) else None


def _marks(run_dir: Path) -> tuple[str, ...]:
    launch = known_launch(run_dir)
    return () if launch is None else (batch.comment(launch),)


def _is_sound(found: Handle) -> bool:
    """Whether it is as we write it: a job could have replaced it."""
    words = (
        found.job_id, found.note, found.site, found.cluster or "", found.partition or "",
        *found.marks,
    )  # fmt: skip
    numbers = (found.begin_s or 0.0, found.restarts, found.since_s)
    return (
        all(isinstance(word, str) for word in words)
        and found.job_id.isdecimal()
        and all(mark.count(":") == 3 for mark in found.marks)
        and all(isinstance(n, (int, float)) and 0 <= n <= journal.LAST_S for n in numbers)
    )


def keep(run_dir: Path, handle: Handle) -> None:
    """Write it, whole or not at all."""
    journal.write_json(run_dir / FILE, asdict(handle))


def forget(run_dir: Path) -> None:
    """The attempt has no job at Slurm any more."""
    (run_dir / FILE).unlink(missing_ok=True)
