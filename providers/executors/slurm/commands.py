"""Slurm's own commands, bounded in time, with no more environment than they need."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import ExecutorError
from providers.executors.slurm import jobs
from providers.executors.slurm.jobs import SlurmJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.executors.slurm.handle import Handle

# A controller that is busy or on its way up answers late; one that is dead does not.
PATIENCE_S = 20.0
# One look at the queue serves all jobs that are polled within this time.
FRESH_S = 1.0
# A command waits long for a dead controller (MessageTimeout in slurm.conf, and its retries): what
# one look was not told, the others of the same pass need not wait for.
SILENT_S = 5.0
# Nodes come and go more rarely; while the controller is silent the last count stands.
NODES_FRESH_S = 30.0
# How scancel tells that there is nothing left to cancel: in words, or by no word and the low byte
# of Slurm's ESLURM_ALREADY_DONE (2021, slurm_errno.h) as its exit status.
OVER = ("Invalid job id", "already completing or completed", "exit 229")
# Allocated, idle, other and all CPUs (sinfo(1), %C).
_COUNTS = re.compile(r"\d{1,9}/\d{1,9}/\d{1,9}/\d{1,9}", re.ASCII)
# What the commands need to find cluster, user and libraries.
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF", "LD_LIBRARY_PATH")


@dataclass
class Commands:
    """The commands against one cluster (None: the default one).

    A job is named by its handle, never by its number alone: none is believed or changed whose
    mark is not ours.
    """

    cluster: str | None = None
    clock: Callable[[], float] = time.monotonic
    _queue: list[SlurmJob] = field(default_factory=list)
    _nodes: dict[tuple[str, ...], tuple[float, str]] = field(default_factory=dict)
    _asked_s: float = float("-inf")
    _silent_s: float = float("-inf")
    _unaccounted_s: float = float("-inf")
    _silence: str = ""

    def run(self, *argv: str, stdin: str = "") -> str:
        """stdout; :class:`ExecutorError` with the command's last line where it fails."""
        environment = {k: os.environ[k] for k in KEPT if k in os.environ}
        try:
            done = subprocess.run(
                argv, env=environment, input=stdin, capture_output=True, text=True,
                timeout=PATIENCE_S, check=False, errors="replace",
            )  # fmt: skip
        except FileNotFoundError as e:
            raise ExecutorError(
                f"{argv[0]} is not on PATH: is this a machine that may submit to Slurm?"
            ) from e
        except subprocess.TimeoutExpired as e:
            raise ExecutorError(f"{argv[0]} did not answer within {PATIENCE_S:g} s") from e
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise ExecutorError(f"{argv[0]}: {said[-1] if said else f'exit {done.returncode}'}")
        return done.stdout

    def on_cluster(self, name: str) -> list[str]:
        """A command with the cluster that it is to ask."""
        return [name, *([f"--clusters={self.cluster}"] if self.cluster else [])]

    def forget(self) -> None:
        """Ask afresh at the next look."""
        self._asked_s = float("-inf")

    def queue(self, *, fresh: bool = False) -> list[SlurmJob]:
        """Our user's jobs that the controller remembers, ended ones included.

        :class:`ExecutorError` where it does not answer, or has not answered just now.
        """
        if self.clock() - self._silent_s <= SILENT_S:
            raise ExecutorError(self._silence)
        if fresh or self.clock() - self._asked_s > FRESH_S:
            words = (*self.on_cluster("squeue"), "--json", "--states=all", f"--user={os.getuid()}")
            try:
                self._queue = jobs.parse_queue(self.run(*words))
            except ExecutorError as e:
                self._silent_s, self._silence = self.clock(), str(e)
                raise
            self._asked_s = self.clock()
        return self._queue

    def by_comment(self, comment: str) -> SlurmJob | None:
        """The newest job that carries ``comment``; asks afresh."""
        found = [job for job in self.queue(fresh=True) if job.comment == comment]
        return max(found, key=lambda job: (len(job.job_id), job.job_id), default=None)

    def queued(self, handle: Handle, *, fresh: bool = False) -> SlurmJob | None:
        """A job that the controller remembers."""
        return next(filter(handle.is_ours, self.queue(fresh=fresh)), None)

    def job(self, handle: Handle) -> SlurmJob | None:
        """A job from the queue, else accounting, else the controller, else None."""
        return self.queued(handle) or self.accounted(handle) or self._shown(handle)

    def accounted(self, handle: Handle) -> SlurmJob | None:
        """What accounting has of a job; None also where the site keeps none, or it is silent."""
        if self.clock() - self._unaccounted_s <= SILENT_S:
            return None
        try:
            # Without --duplicates it tells only the newest of the jobs that have had the number.
            words = ("--json", "--duplicates", f"--jobs={handle.job_id}")
            said = self.run(*self.on_cluster("sacct"), *words)
            found = filter(handle.is_ours, jobs.parse_accounting(said))
        except ExecutorError:
            self._unaccounted_s = self.clock()
            return None
        return max(found, key=lambda job: job.submitted_s or 0.0, default=None)

    def _shown(self, handle: Handle) -> SlurmJob | None:
        try:
            said = self.run(*self.on_cluster("scontrol"), "show", "job", "-o", handle.job_id)
        except ExecutorError:
            return None
        return next(filter(handle.is_ours, jobs.parse_lines(said)), None)

    def completed(self, path: str, handle: Handle) -> SlurmJob | None:
        """What a jobcomp file says last of a job: a line for each end, and one for each requeue."""
        own = f"JobId={handle.job_id} "
        try:
            # It has the site's whole past.
            with Path(path).open(encoding="utf-8", errors="replace") as file:
                told = "".join(line for line in file if line.startswith(own))
        except OSError:
            return None
        found = [*filter(handle.is_ours, jobs.parse_lines(told))]
        requeued = sum(job.stage == "waiting" for job in found)
        return replace(found[-1], restarts=requeued) if found else None

    def update(self, handle: Handle, **fields: str) -> None:
        """``scontrol update``: StartTime, Partition, Comment."""
        self._make_sure(handle)
        said = [f"{name}={value}" for name, value in fields.items()]
        self.run(*self.on_cluster("scontrol"), "update", f"JobId={handle.job_id}", *said)
        self.forget()

    def control(self, verb: str, handle: Handle) -> None:
        """``scontrol hold|release|requeuehold|suspend|resume``."""
        self._make_sure(handle)
        self.run(*self.on_cluster("scontrol"), verb, handle.job_id)
        self.forget()

    def _make_sure(self, handle: Handle) -> None:
        """Look just before a change: a number that changed hands is not to be acted on."""
        if self.queued(handle) is None:
            raise ExecutorError(f"Slurm has no job {handle.job_id} of ours any more")

    def cancel(self, handle: Handle, *options: str) -> None:
        """``scancel``; what has ended meanwhile, or Slurm does not know as ours, is left alone.

        Slurm compares the name too, so that nothing can come between our look and its act.
        """
        if self.queued(handle, fresh=True) is None:
            return
        try:
            named = f"--name={handle.name}"
            self.run(*self.on_cluster("scancel"), named, *options, handle.job_id)
        except ExecutorError as e:
            if not any(word in str(e) for word in OVER):
                raise
        self.forget()

    def _sinfo(self, *words: str) -> str:
        known = self._nodes.get(words)
        if known is None or self.clock() - known[0] > NODES_FRESH_S:
            try:
                said = self.run(*self.on_cluster("sinfo"), "--noheader", *words)
            except ExecutorError:
                if known is None:
                    raise
                said = known[1]
            known = self._nodes[words] = (self.clock(), said)
        return known[1]

    def gpus(self, partition: str | None) -> tuple[int, int]:
        """The most boards that one node of a partition has, and those of all its nodes."""
        where = [f"--partition={partition}"] if partition else []
        said = self._sinfo("-N", *where, "--format=%N %G")
        nodes = dict(line.split(None, 1) for line in said.splitlines() if " " in line.strip())
        boards = [_boards(gres) for gres in nodes.values()]
        return max(boards, default=0), sum(boards)

    def cpus(self, partition: str | None) -> int:
        """CPUs of a partition (all nodes, in use or not); of the cluster where None."""
        where = [f"--partition={partition}"] if partition else []
        said = self._sinfo(*where, "--format=%C")
        counts = [line.split("/") for line in said.split() if _COUNTS.fullmatch(line)]
        if not counts:
            raise ExecutorError(f"sinfo tells of no partition {partition or '(any)'}")
        return sum(int(total) - int(other) for _, _, other, total in counts)


def _boards(gres: str) -> int:
    """``gpu:a100:4(S:0-1),gpu:2`` is 6: of each kind the last number before a bracket."""
    found = 0
    for part in gres.split(","):
        words = part.partition("(")[0].split(":")
        if words[0] == "gpu":
            found += int(words[-1]) if re.fullmatch(r"\d{1,6}", words[-1], re.ASCII) else 1
    return found
