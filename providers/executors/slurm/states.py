"""What an attempt's state follows from: its run folder's word first, then Slurm's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from providers.base import RunState
from providers.errors import ExecutorError
from providers.executors.slurm import handle as handles
from providers.executors.slurm import suspend
from providers.executors.slurm.energy import note_energy
from providers.runner import journal, pausing
from providers.runner.record import THINNING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from providers.executors.slurm.commands import Commands
    from providers.executors.slurm.handle import Handle
    from providers.executors.slurm.jobs import SlurmJob
    from providers.executors.slurm.settings import SlurmSettings

# What a node wrote last may reach us later than Slurm's word that the job is over: NFS keeps
# attributes for up to a minute by default (nfs(5), acregmax=60).
LAG_S = 60.0
# Who wrote the start marker of an attempt that was stopped before it began.
TAKEN_BACK = "stop"


@dataclass(frozen=True, slots=True)
class States:
    """Reads states; what Slurm tells of an earlier run of the same job is not about the attempt."""

    commands: Commands
    settings: SlurmSettings
    clock: Callable[[], float]

    def of(self, run_dir: Path, find: Callable[[Path], Handle | None]) -> RunState:
        """The state of the attempt in ``run_dir``; ``find`` looks for its job at Slurm."""
        receipt = journal.read_receipt(run_dir)
        handle = handles.read(run_dir)
        note = suspend.refusal(run_dir) or ("" if handle is None else handle.note)
        if receipt is not None:
            if handle is not None:
                note_energy(self.commands, run_dir, handle)
            return RunState("ended", receipt.started_at, receipt, note)
        started = journal.read_json(run_dir / "started")
        if started is None and not (run_dir / "started").exists():
            return self._before_start(run_dir, handle, find)
        if started is not None and started.get("by") == TAKEN_BACK:
            return self._taken_back(handle)
        found = self._after_start(run_dir, handle, journal.moment_s(started), find)
        return replace(found, detail=found.detail or note)

    def _before_start(
        self, run_dir: Path, handle: Handle | None, find: Callable[[Path], Handle | None]
    ) -> RunState:
        try:
            handle = handle or find(run_dir)
            job = None if handle is None else self._job(handle)
        except ExecutorError as e:
            # Without an answer nothing may be started anew.
            return RunState("waiting", detail=str(e))
        if handle is None or not handle.released:
            return RunState("absent")
        # Either way: a clock that was set back must not make it wait for the hour it had shown.
        if job is None or (handle.is_past(job) and abs(self.clock() - handle.since_s) > LAG_S):
            # A controller that died may have forgotten it; no runner of it can have begun.
            return self._anew(run_dir, f"Slurm has no job {handle.job_id} of ours any more")
        if job.stage == "ended" and not handle.is_past(job) and not self._may_lag(job):
            said = f"Slurm: {job.state}, before its runner began"
            if handle.restarts and job.state != "CANCELLED":
                return self._anew(run_dir, said)
            return RunState("gone", detail=said)
        said = f"{job.state} {job.reason}".strip()
        if handle.is_past(job):
            said = "requeued, which it does not tell yet"
        said = f"Slurm job {handle.job_id}: {said}"
        return RunState("waiting", detail=f"{said}; {handle.note}" if handle.note else said)

    def _anew(self, run_dir: Path, said: str) -> RunState:
        handles.forget(run_dir)
        return RunState("absent", detail=said)

    def _taken_back(self, handle: Handle | None) -> RunState:
        """Its runner would find it taken, but a held job would wait for ever: it is cancelled
        until Slurm obeys.
        """
        try:
            job = None if handle is None else self.commands.queued(handle)
            if handle is not None and job is not None and job.stage == "waiting":
                self.commands.cancel(handle)
        except ExecutorError as e:
            return RunState("waiting", detail=f"taken back, which Slurm does not confirm: {e}")
        return RunState("gone", detail="stopped before it began")

    def _after_start(
        self,
        run_dir: Path,
        handle: Handle | None,
        begun: float | None,
        find: Callable[[Path], Handle | None],
    ) -> RunState:
        alive = RunState("paused" if pausing.is_stopped(run_dir) else "running", begun)
        try:
            # Who submitted it may have died, or given up waiting, before it wrote that down.
            handle = handle or find(run_dir)
            job = None if handle is None else self._job(handle)
        except ExecutorError as e:
            return replace(alive, detail=str(e))
        if handle is not None and job is not None and not handle.is_over(job):
            if job.stage != "ended" or handle.is_past(job) or self._may_lag(job):
                return alive
        elif self._beats(run_dir, begun):
            said = "does not know it" if job is None else "tells of another run of its job"
            return replace(alive, detail=f"Slurm {said}, but its runner lives")
        # The receipt may have come while we asked.
        receipt = journal.read_receipt(run_dir)
        if receipt is not None:
            return RunState("ended", receipt.started_at, receipt)
        said = "it is not known any more" if job is None else f"{job.state} {job.reason}".strip()
        return RunState("gone", begun, detail=f"Slurm: {said}")

    def _job(self, handle: Handle) -> SlurmJob | None:
        found = self.commands.job(handle)
        path = self.settings.job_completions
        return found or (self.commands.completed(path, handle) if path else None)

    def _may_lag(self, job: SlurmJob) -> bool:
        return job.ended_s is not None and self.clock() - job.ended_s < LAG_S

    def _beats(self, run_dir: Path, begun: float | None) -> bool:
        """Whether the runner wrote to its journal lately (each 0.1 % of the run, at least)."""
        try:
            last = (run_dir / "journal.jsonl").stat().st_mtime
        except OSError:
            return False
        now = self.clock()
        return now - last < LAG_S + 2 * THINNING * max(0.0, now - (begun or now))
