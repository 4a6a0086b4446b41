"""The executor: what is started, moved, stopped and paused."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.base import Capabilities, Launch, RunState
from providers.errors import ExecutorError
from providers.executors.slurm import batch, requeue, suspend
from providers.executors.slurm import handle as handles
from providers.executors.slurm.commands import Commands
from providers.executors.slurm.handle import Handle
from providers.executors.slurm.settings import SlurmSettings, parse
from providers.executors.slurm.states import LAG_S, TAKEN_BACK, States
from providers.files import make_folder
from providers.runner import journal, pausing
from providers.runner.runner import known_launch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from providers.executors.slurm.jobs import SlurmJob


class Slurm:
    """One partition of one cluster."""

    def __init__(self, settings: SlurmSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self.capabilities = Capabilities(
            begin_time=True, hold=True, suspend=settings.suspend, requeue=settings.requeue,
            accounting=True, multi_region=True, assigns_gpus=True,
        )  # fmt: skip
        self._site = settings.digest()
        self._commands = Commands(settings.cluster)
        self._states = States(self._commands, settings, clock)

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
        """Submit, to begin at ``begin_s`` or at once; looks first, so it submits only once.

        After a checkpoint it is the Slurm job of the attempt before that goes on, where it can.
        While Slurm is still at ending that one nothing is done: asked again it goes further.
        """
        run_dir = Path(launch.run_dir)
        try:
            make_folder(run_dir)
            if (run_dir / "started").exists():
                return
            known = handles.read(run_dir)
            if known is None:
                journal.write_json(run_dir / "launch.json", self._launch(launch))
                known = self._found(run_dir, alive=True)
            if known is None:
                known = self._hand_over(launch, begin_s)
            elif known.released:
                self._begin(run_dir, known, begin_s)
            if known is not None and not known.released:
                self._release(launch, replace(known, begin_s=begin_s))
        except OSError as e:
            raise ExecutorError(f"the run folder {run_dir} cannot be used: {e}") from e

    def _release(self, launch: Launch, held: Handle) -> None:
        """Let it begin at its hour; where Slurm has lost it, it is handed over again."""
        run_dir = Path(launch.run_dir)
        if requeue.release(self._commands, launch, held):
            handles.keep(run_dir, replace(held, released=True))
        else:
            handles.forget(run_dir)

    def _hand_over(self, launch: Launch, begin_s: float | None) -> Handle | None:
        """Slurm's job for an attempt that it has none of; None: not yet, it is still ending."""
        run_dir, note, last = Path(launch.run_dir), "", requeue.before(launch)
        if last is not None:
            try:
                held = self._take_back(launch, last, begin_s)
            except requeue.Impossible as e:
                note = f"job {last.job_id} could not be requeued ({e}): it goes on in another one"
                if last.cluster == self._settings.cluster:
                    self._commands.cancel(last)
            else:
                if held is not None:
                    handles.keep(run_dir, held)
                return held
        made = replace(self._submit(launch, begin_s), note=note)
        handles.keep(run_dir, made)
        return made

    def _take_back(self, launch: Launch, last: Handle, begin_s: float | None) -> Handle | None:
        if (last.cluster, last.partition) != (self._settings.cluster, self._settings.partition):
            raise requeue.Impossible("it is in another cluster or partition")
        if not batch.may_requeue(launch, self._settings):
            raise requeue.Impossible("the config says `requeue: false`")
        return requeue.take_back(self._commands, launch, last, begin_s, self._clock())

    def move(self, launch: Launch, begin_s: float) -> bool:
        """Move what was handed over and has not started to another time and partition.

        False where it lies in another cluster, where other settings than the partition differ
        (account, modules), or where it has begun: then it is not to be moved.
        """
        handle = handles.read(Path(launch.run_dir))
        if handle is None or (handle.cluster, handle.site) != (self._settings.cluster, self._site):
            return False
        if (Path(launch.run_dir) / "started").exists():
            return False  # by its runner, or taken back
        job = self._commands.job(handle)
        if job is None or job.stage != "waiting" or handle.is_past(job):
            return False
        wanted = replace(handle, begin_s=begin_s, partition=self._settings.partition)
        if wanted == handle:
            return True
        fields = {"StartTime": handle.start_time(begin_s)}
        if wanted.partition is not None and wanted.partition != handle.partition:
            fields["Partition"] = wanted.partition
        self._commands.update(handle, **fields)
        journal.write_json(Path(launch.run_dir) / "launch.json", self._launch(launch))
        handles.keep(Path(launch.run_dir), wanted)
        return True

    def poll(self, run_dir: Path, token: str) -> RunState:
        """The run folder's word first, then Slurm's; a silent controller changes nothing."""
        return self._states.of(run_dir, self._found)

    def take_back(self, run_dir: Path, token: str) -> bool:
        """A runner that is still on its way finds the attempt taken; then it is cancelled."""
        make_folder(run_dir)
        started = run_dir / "started"
        ours = journal.claim(started, {"at": self._clock(), "by": TAKEN_BACK})
        if not ours and (journal.read_json(started) or {}).get("by") != TAKEN_BACK:
            return False
        handle = self._any(run_dir)
        if handle is not None:
            self._commands.cancel(handle)
        return True

    def stop(self, run_dir: Path, token: str, grace_s: float) -> None:
        """Cancel what waits; TERM through the runner to what runs, and scancel after the grace."""
        handle = self._any(run_dir)
        job = None if handle is None else self._commands.job(handle)
        if handle is None or job is None or job.stage != "running":
            if not self.take_back(run_dir, token) and handle is not None:
                self._commands.cancel(handle)
            return
        now_s = self._clock()
        if now_s - journal.noted_s(run_dir / "stop.json", now_s) > 2 * grace_s + LAG_S:
            self._commands.cancel(handle)
        elif (run_dir / "started").exists():
            # What is suspended hears no signal, nor what is just going on: it is asked again.
            suspend.resume(self._commands, handle)
            self._signal(handle, "TERM")
        else:
            self._commands.cancel(handle)

    def pause(self, run_dir: Path, token: str) -> None:
        """As :meth:`providers.base.Executor.pause` says, through the runner; what is to be stopped
        is suspended by Slurm where the site says so, and Slurm agrees.
        """
        found = self._pausable(run_dir)
        if found is None:
            return
        handle, job = found
        stops = self._settings.suspend and _launched(run_dir).get("pause_signal") == "stop"
        if not (stops and suspend.suspend(self._commands, run_dir, handle, job, self._clock())):
            self._signal(handle, pausing.PAUSE.name)

    def resume(self, run_dir: Path, token: str) -> None:
        """The same the other way round; without effect on what is not stopped."""
        found = self._pausable(run_dir)
        if found is None or _launched(run_dir).get("pause_signal") != "stop":
            return
        handle, _ = found
        if not suspend.resume(self._commands, handle):
            self._signal(handle, pausing.RESUME.name)

    def _pausable(self, run_dir: Path) -> tuple[Handle, SlurmJob] | None:
        """The job of an attempt that runs and may be paused."""
        handle = handles.read(run_dir)
        wants = _launched(run_dir).get("pause_signal") is not None
        if handle is None or not wants or not (run_dir / "started").exists():
            return None
        job = self._commands.job(handle)
        if job is None or job.stage != "running" or journal.read_receipt(run_dir):
            return None
        return handle, job

    def _signal(self, handle: Handle, name: str) -> None:
        self._commands.cancel(handle, "--batch", f"--signal={name.removeprefix('SIG')}")

    def _submit(self, launch: Launch, begin_s: float | None) -> Handle:
        words = batch.options(launch, self._settings, begin_s)
        text = batch.script(launch, self._settings)
        since_s = self._clock()
        said = self._commands.run(*self._commands.on_cluster("sbatch"), *words, stdin=text)
        self._commands.forget()
        job_id, _ = batch.parse_id(said)
        cluster, partition = self._settings.cluster, self._settings.partition
        return Handle(
            job_id, cluster, begin_s, partition,
            since_s=since_s, site=self._site, marks=(batch.comment(launch),),
        )  # fmt: skip

    def _begin(self, run_dir: Path, handle: Handle, begin_s: float | None) -> None:
        """Let what is due and still waits for its hour begin now."""
        if begin_s is not None:
            return
        job = self._commands.job(handle)
        if job is not None and job.stage == "waiting" and job.reason == "BeginTime":
            try:
                self._commands.update(handle, StartTime=handle.start_time(None))
            except ExecutorError:
                # Its hour may have come meanwhile.
                job = self._commands.queued(handle, fresh=True)
                if job is None or job.stage == "waiting":
                    raise
        if handle.begin_s is not None:
            handles.keep(run_dir, replace(handle, begin_s=None))

    def _found(self, run_dir: Path, *, alive: bool = False) -> Handle | None:
        """A job that was submitted by a process which died before it could write that down."""
        launch = known_launch(run_dir)
        if launch is None:
            return None
        found = self._commands.by_comment(batch.comment(launch))
        if found is None or (alive and found.stage not in {"waiting", "running"}):
            return None
        cluster, partition = self._settings.cluster, self._settings.partition
        handle = Handle(
            found.job_id, cluster, None, partition, found.restarts or 0,
            found.submitted_s or self._clock(), site=self._site, marks=(found.comment,),
        )  # fmt: skip
        handles.keep(run_dir, handle)
        return handle

    def _any(self, run_dir: Path) -> Handle | None:
        """What Slurm has of an attempt, also where that was not written down."""
        return handles.read(run_dir) or self._found(run_dir) or _before(run_dir)

    def _launch(self, launch: Launch) -> dict[str, Any]:
        return asdict(replace(launch, inherit=batch.INHERITED, drop=batch.NEVER_INHERITED))


def _before(run_dir: Path) -> Handle | None:
    """The job that may have been requeued for an attempt that it is not handed over to yet."""
    launch = known_launch(run_dir)
    return None if launch is None else requeue.before(launch)


def _launched(run_dir: Path) -> dict[str, Any]:
    return journal.read_json(run_dir / "launch.json") or {}


def build(settings: Mapping[str, Any], base_dir: Path) -> Slurm:
    """A partition as ``executors.slurm`` and the region's ``engine`` describe it."""
    return Slurm(parse(settings))
