"""The job's process tree: its exact CPU seconds, how to stop it and how to end it.

The runner is a subreaper, so every orphan below it becomes its child: what it reaps with
``wait4`` carries the CPU seconds of each exited descendant, short-lived ones included. Living
ones are read from ``/proc``; nothing outside the tree is ever looked at. Under a parent that
ignores SIGCHLD the kernel keeps the CPU seconds of children nowhere but in a control group: without
one, each counts up to the last look that met it, and ``unseen_s`` bounds the rest.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TYPE_CHECKING

from providers.runner import containers, proc
from providers.runner.containers import Containers
from providers.runner.process_times import ProcessTimes
from providers.runner.slurm_steps import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import Counting
    from providers.runner.group import Group


PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# States of /proc/PID/stat in which nothing runs on: stopped, traced and halted, exited, or asleep
# in the kernel (a vfork whose child is stopped), where a stop that was sent comes first.
STILL = frozenset("TtZXD")
# A group that has counted less than this of what was reaped was left by the job.
LEFT = 0.99


def become_subreaper() -> None:
    """Adopt orphaned descendants of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Tree:
    """Everything below this process; ``group`` counts the same, where there is one. ``steps`` are
    those of a Slurm job, which count with it, as ``containers`` do.
    """

    def __init__(
        self,
        first: int,
        group: Group | None = None,
        steps: Steps | None = None,
        containers: Containers | None = None,
    ) -> None:
        self.first, self._group, self._steps = first, group, steps or Steps({})
        self._containers = containers or Containers((), {})
        self.first_status: int | None = None
        self._reaped_cpu_s = 0.0
        self._reaped: dict[int, float] = {}
        self._times = ProcessTimes(os.getpid())
        self._cpu_s = self._own_s = 0.0
        self.living: Mapping[int, proc.Stat] = {}

    def reap(self) -> bool:
        """Collect what has exited; True once no descendant is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self._reaped[pid] = usage.ru_utime + usage.ru_stime
            self._reaped_cpu_s += self._reaped[pid]
            if pid == self.first:
                self.first_status = status

    def usage(self) -> tuple[float, int]:
        """CPU seconds of the tree so far (never falling), and its resident bytes now.

        Parents are read before their children, so a child that ends meanwhile is never counted
        twice; it may be missed by this look and is in the next, so the sum is kept from falling.
        ``living`` are then those of the look.
        Neither this nor the group counts what is not the job's: the larger has missed less.
        """
        own = proc.below(os.getpid())
        self._times.look(own, self._reaped)
        self._reaped = {}
        counted_s = self._reaped_cpu_s + self._times.kept_s + sum(s.cpu_s for s in own.values())
        self._own_s = max(self._own_s, counted_s, self._grouped_s())
        self._times.bound(self._own_s, exact=self._is_grouped())
        self._steps.look(own)
        self._containers.look(own)
        self._cpu_s = max(self._cpu_s, self._own_s + self._beside_s())
        self.living = {**own, **self._steps.living}
        resident = self._group.resident_bytes() if self._group is not None else None
        if resident is None:
            resident = sum(seen.rss_bytes for seen in own.values())
        resident += sum(seen.rss_bytes for seen in self._steps.living.values())
        return self._cpu_s, resident + self._containers.resident_bytes

    def _beside_s(self) -> float:
        """CPU seconds of what is the job's and not of its tree."""
        return self._steps.cpu_s + self._containers.cpu_s

    def _grouped_s(self) -> float:
        return (self._group.cpu_s() if self._group is not None else None) or 0.0

    def final_cpu_s(self) -> float:
        """Exact CPU seconds, once all have been reaped and :meth:`usage` was asked after that.

        The group is not asked again: a later word of it would differ from the last sample.
        """
        self._cpu_s = max(self._cpu_s, self._reaped_cpu_s + self._beside_s())
        return self._cpu_s

    @property
    def unseen_s(self) -> float:
        """By how much the CPU seconds of the last look may be too few."""
        return self._times.unseen_s + self._steps.unseen_s + self._containers.unseen_s

    @property
    def beside(self) -> dict[str, float]:
        """How much of its CPU seconds others used for it, by who they are."""
        return {"steps": self._steps.cpu_s, "containers": self._containers.cpu_s}

    def reaches(self, client: str) -> bool:
        """Whether what a client handed to others is metered with the job."""
        return client == containers.CLIENT and self._containers.all_found

    @property
    def hurried(self) -> bool:
        """Whether what ends between two looks is lost."""
        beside = self._steps.hurried or self._containers.hurried
        return beside or (self._times.loses and not self._is_grouped())

    def unmetered(self, clients: Mapping[str, None]) -> str | None:
        """Why a part of the job's own work is missing; None where it is not."""
        return self._steps.unmetered(clients)

    def counted_by(self) -> Counting:
        """Which of the two has counted; a job may take itself out of its group."""
        return "cgroup" if self._is_grouped() else "wait4"

    def _is_grouped(self) -> bool:
        return self._group is not None and self._grouped_s() >= LEFT * self._reaped_cpu_s

    def send(self, number: int) -> None:
        """Signal every process of the tree; stopped ones are woken to receive it."""
        for pid, seen in proc.below(os.getpid()).items():
            proc.send(pid, seen.start_ticks, number, signal.SIGCONT)

    def kill(self) -> None:
        """End every process; those of the group at once, however fast they fork."""
        self.send(signal.SIGKILL)
        if self._group is not None:
            self._group.kill()

    def send_first(self, number: int) -> None:
        """Signal the first process alone, woken to receive it, unless it has ended."""
        seen = proc.stat(self.first) if self.first_status is None else None
        if seen is not None:
            proc.send(self.first, seen.start_ticks, number, signal.SIGCONT)

    def stop(self) -> bool:
        """Stop every process, until a look finds no new one; True once all stand still.

        Parents come before their children, so none of them sees a child of its own stopped.
        """
        asked: set[int] = set()
        while True:
            found = proc.below(os.getpid())
            new = [p for p, seen in found.items() if seen.state != "T" and p not in asked]
            if not new:
                return all(seen.state in STILL for seen in found.values())
            for pid in new:
                proc.send(pid, found[pid].start_ticks, signal.SIGSTOP)
            asked.update(new)

    def wake(self) -> None:
        """Let every stopped process go on, children before their parents."""
        for pid, seen in reversed(proc.below(os.getpid()).items()):
            proc.send(pid, seen.start_ticks, signal.SIGCONT)
        # Where a parent was killed meanwhile, the first look may have missed its children.
        for pid, seen in proc.below(os.getpid()).items():
            if seen.state == "T":
                proc.send(pid, seen.start_ticks, signal.SIGCONT)
