"""The executor: what is started, asked and moved, and what an attempt's state follows from."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.base import Capabilities, Launch, RunState
from providers.errors import ExecutorError
from providers.executors.slurm import batch
from providers.executors.slurm.commands import Commands
from providers.executors.slurm.energy import note_energy
from providers.executors.slurm.settings import SlurmSettings, parse
from providers.runner import journal, pausing
from providers.runner.record import THINNING
from providers.runner.runner import read_launch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from providers.executors.slurm.jobs import SlurmJob

# What a node wrote last may reach us later than Slurm's word that the job is over: NFS keeps
# attributes for up to a minute by default (nfs(5), acregmax=60).
LAG_S = 60.0
HANDLE = "slurm.json"
# Who wrote the start marker of an attempt that was stopped before it began.
TAKEN_BACK = "stop"


@dataclass(frozen=True, slots=True)
class Handle:
    """The Slurm job behind an attempt; ``begin_s`` is the Unix time it was told to begin at."""

    job_id: str
    cluster: str | None
    begin_s: float | None
    partition: str | None

    def is_sound(self) -> bool:
        """Whether it is as we write it: a job could have replaced it."""
        named = (self.cluster, self.partition)
        return (
            isinstance(self.job_id, str)
            and self.job_id.isdecimal()
            and all(name is None or isinstance(name, str) for name in named)
            and (self.begin_s is None or isinstance(self.begin_s, (int, float)))
        )


class Slurm:
    """One partition of one cluster."""

    capabilities = Capabilities(
        begin_time=True, hold=True, suspend=False, requeue=False, accounting=True,
        multi_region=True, assigns_gpus=True,
    )  # fmt: skip

    def __init__(self, settings: SlurmSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self._commands = Commands(settings.cluster)

    def slots(self) -> int:
        """CPUs of the partition that are not down."""
        return self._commands.cpus(self._settings.partition)

    def free_gpus(self, taken: frozenset[str]) -> tuple[str, ...]:
        """None by name: Slurm assigns them (``--gres``)."""
        return ()

    def assignable_gpus(self) -> tuple[int, int]:
        """Boards of the node that has most of them, and of all nodes of the partition."""
        return self._commands.gpus(self._settings.partition)

    def start(self, launch: Launch, begin_s: float | None = None) -> None:
        """Submit, to begin at ``begin_s`` or at once; looks first, so it submits only once."""
        run_dir = Path(launch.run_dir)
        try:
            run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            if (run_dir / "started").exists():
                return
            if self._handle(run_dir) is not None:
                self._begin(run_dir, begin_s)
                return
            journal.write_json(run_dir / "launch.json", self._launch(launch))
            found = self._commands.by_comment(batch.comment(launch))
            if found is not None and found.stage in {"waiting", "running"}:
                self._keep(run_dir, Handle(found.job_id, None, None, self._settings.partition))
                self._begin(run_dir, begin_s)
                return
            _point(launch)
            self._keep(run_dir, self._submit(launch, begin_s))
        except OSError as e:
            raise ExecutorError(f"the run folder {run_dir} cannot be used: {e}") from e

    def move(self, launch: Launch, begin_s: float) -> bool:
        """Move what was handed over and has not started to another time and partition.

        False where it lies in another cluster, or has begun: then it is no longer to be moved.
        """
        handle = self._handle(Path(launch.run_dir))
        if handle is None or handle.cluster != self._settings.cluster:
            return False
        job = self._commands.job(handle.job_id)
        if job is None or job.stage != "waiting":
            return False
        wanted = replace(handle, begin_s=begin_s, partition=self._settings.partition)
        if wanted == handle:
            return True
        fields = {"StartTime": batch.when(begin_s)}
        if wanted.partition is not None and wanted.partition != handle.partition:
            fields["Partition"] = wanted.partition
        self._commands.update(handle.job_id, **fields)
        journal.write_json(Path(launch.run_dir) / "launch.json", self._launch(launch))
        self._keep(Path(launch.run_dir), wanted)
        return True

    def poll(self, run_dir: Path, token: str) -> RunState:
        """The run folder's word first, then Slurm's; a silent controller changes nothing."""
        receipt = journal.read_receipt(run_dir)
        handle = self._handle(run_dir)
        if receipt is not None:
            if handle is not None:
                note_energy(self._commands, run_dir, handle.job_id)
            return RunState("ended", receipt.started_at, receipt)
        started = journal.read_json(run_dir / "started")
        if started is None and not (run_dir / "started").exists():
            return self._before_start(run_dir, handle)
        if started is not None and started.get("by") == TAKEN_BACK:
            return RunState("gone", detail="stopped before it began")
        return self._after_start(run_dir, handle, journal.moment_s(started))

    def stop(self, run_dir: Path, token: str, grace_s: float) -> None:
        """Cancel what waits; TERM through the runner to what runs, and scancel after the grace."""
        handle = self._handle(run_dir) or self._found(run_dir)
        job = None if handle is None else self._commands.job(handle.job_id)
        if handle is None or job is None or job.stage != "running":
            # Should a runner still be on its way, it finds the attempt taken.
            journal.claim(run_dir / "started", {"at": self._clock(), "by": TAKEN_BACK})
            if handle is not None and (job is None or job.stage == "waiting"):
                self._commands.cancel(handle.job_id)
            return
        asked_at = journal.moment_s(journal.read_json(run_dir / "stop.json"))
        if asked_at is None:
            journal.write_json(run_dir / "stop.json", {"at": self._clock()})
        if asked_at is not None and self._clock() - asked_at > 2 * grace_s + LAG_S:
            self._commands.cancel(handle.job_id)
        elif (run_dir / "started").exists():
            self._signal(handle, "TERM")
        else:
            self._commands.cancel(handle.job_id)

    def pause(self, run_dir: Path, token: str) -> None:
        """Through the runner, as :meth:`providers.base.Executor.pause` says."""
        self._ask(run_dir, pausing.PAUSE.name)

    def resume(self, run_dir: Path, token: str) -> None:
        """Through the runner; without effect on what is not stopped."""
        if _launched(run_dir).get("pause_signal") == "stop":
            self._ask(run_dir, pausing.RESUME.name)

    def _ask(self, run_dir: Path, signal_name: str) -> None:
        handle = self._handle(run_dir)
        wants = _launched(run_dir).get("pause_signal") is not None
        if handle is None or not wants or not (run_dir / "started").exists():
            return
        job = self._commands.job(handle.job_id)
        if job is not None and job.stage == "running" and not journal.read_receipt(run_dir):
            self._signal(handle, signal_name)

    def _signal(self, handle: Handle, name: str) -> None:
        self._commands.cancel(handle.job_id, "--batch", f"--signal={name.removeprefix('SIG')}")

    def _before_start(self, run_dir: Path, handle: Handle | None) -> RunState:
        try:
            handle = handle or self._found(run_dir)
            job = None if handle is None else self._job(handle)
        except ExecutorError as e:
            # Without an answer nothing may be started anew.
            return RunState("waiting", detail=str(e))
        if handle is None:
            return RunState("absent")
        if job is None:
            # A controller that died may have forgotten it; no runner of it can have begun.
            (run_dir / HANDLE).unlink(missing_ok=True)
            return RunState("absent", detail=f"Slurm knows no job {handle.job_id} any more")
        if job.stage == "ended" and not self._may_lag(job):
            return RunState("gone", detail=f"Slurm: {job.state}, before its runner began")
        return RunState("waiting", detail=f"Slurm job {handle.job_id}: {job.state} {job.reason}")

    def _after_start(self, run_dir: Path, handle: Handle | None, at: float | None) -> RunState:
        alive = RunState("paused" if pausing.is_stopped(run_dir) else "running", at)
        if handle is None:
            return RunState("gone", at, detail="stopped before it began")
        try:
            job = self._job(handle)
        except ExecutorError as e:
            return replace(alive, detail=str(e))
        if job is not None and (job.stage != "ended" or self._may_lag(job)):
            return alive
        if job is None and self._beats(run_dir, at):
            return replace(alive, detail="Slurm does not know it, but its runner lives")
        # The receipt may have come while we asked.
        receipt = journal.read_receipt(run_dir)
        if receipt is not None:
            return RunState("ended", receipt.started_at, receipt)
        said = "it is not known any more" if job is None else f"{job.state} {job.reason}".strip()
        return RunState("gone", at, detail=f"Slurm: {said}")

    def _may_lag(self, job: SlurmJob) -> bool:
        return job.ended_s is not None and self._clock() - job.ended_s < LAG_S

    def _beats(self, run_dir: Path, at: float | None) -> bool:
        """Whether the runner wrote to its journal lately (each 0.1 % of the run, at least)."""
        try:
            last = (run_dir / "journal.jsonl").stat().st_mtime
        except OSError:
            return False
        now = self._clock()
        return now - last < LAG_S + 2 * THINNING * (now - (at or now))

    def _job(self, handle: Handle) -> SlurmJob | None:
        found = self._commands.job(handle.job_id)
        path = self._settings.job_completions
        return found or (self._commands.completed(path, handle.job_id) if path else None)

    def _submit(self, launch: Launch, begin_s: float | None) -> Handle:
        words = batch.options(launch, self._settings, begin_s)
        text = batch.script(launch, self._settings)
        said = self._commands.run(*self._commands.on_cluster("sbatch"), *words, stdin=text)
        job_id, _ = batch.parse_id(said)
        return Handle(job_id, self._settings.cluster, begin_s, self._settings.partition)

    def _begin(self, run_dir: Path, begin_s: float | None) -> None:
        """Let what is due and still waits for its hour begin now."""
        handle = self._handle(run_dir)
        if handle is None or begin_s is not None or handle.begin_s is None:
            return
        job = self._commands.job(handle.job_id)
        if job is not None and job.stage == "waiting" and job.reason == "BeginTime":
            self._commands.update(handle.job_id, StartTime="now")
        self._keep(run_dir, replace(handle, begin_s=None))

    def _found(self, run_dir: Path) -> Handle | None:
        """A job that was submitted by a process which died before it could write that down."""
        try:
            launch = read_launch(run_dir)
        except (OSError, ValueError, TypeError):
            return None
        found = self._commands.by_comment(batch.comment(launch))
        if found is None:
            return None
        handle = Handle(found.job_id, self._settings.cluster, None, self._settings.partition)
        self._keep(run_dir, handle)
        return handle

    def _launch(self, launch: Launch) -> dict[str, Any]:
        return asdict(replace(launch, inherit=batch.INHERITED, drop=batch.NEVER_INHERITED))

    def _keep(self, run_dir: Path, handle: Handle) -> None:
        journal.write_json(run_dir / HANDLE, asdict(handle))

    def _handle(self, run_dir: Path) -> Handle | None:
        content = journal.read_json(run_dir / HANDLE)
        try:
            found = None if content is None else Handle(**content)
        except TypeError:
            return None
        return found if found is not None and found.is_sound() else None


def _launched(run_dir: Path) -> dict[str, Any]:
    return journal.read_json(run_dir / "launch.json") or {}


def _point(launch: Launch) -> None:
    """Tell the batch script which attempt is due, whole or not at all."""
    path = batch.pointer(launch)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f"{launch.run_dir}\n", encoding="utf-8")
    temporary.replace(path)


def build(settings: Mapping[str, Any], base_dir: Path) -> Slurm:
    """A partition as ``executors.slurm`` and the region's ``engine`` describe it."""
    return Slurm(parse(settings))
