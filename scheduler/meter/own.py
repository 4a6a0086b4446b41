"""What is known of the process that is metered from within: its CPU seconds and memory."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from providers.runner import proc
from providers.runner.process_times import ProcessTimes
from providers.runner.slurm_steps import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import Counting


class OwnTree:
    """This process and all below it, from now on.

    Exact for what it has waited for, short-lived children included. What a child leaves behind
    when it ends (a daemon) is followed once a look has met it: the kernel gives it to init.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._me: proc.Stat | None = None
        self._living: dict[int, proc.Stat] = {}
        self._times, self._ended_s = ProcessTimes(self._pid), 0.0
        self._before, self._cpu_s = self._counted_s(), 0.0

    def usage(self) -> tuple[float, int]:
        """CPU seconds since it was made (never falling), and resident bytes now.

        Those that have ended are read before those that live, so none is counted twice; one
        that ends meanwhile is missed by this look and is in the next.
        """
        self._cpu_s = max(self._cpu_s, self._counted_s() - self._before)
        mine = [] if self._me is None else [self._me]
        self._times.bound(self._cpu_s, loses=any(seen.ignores_children for seen in mine))
        return self._cpu_s, sum(seen.rss_bytes for seen in (*mine, *self._living.values()))

    def _counted_s(self) -> float:
        own, ended = (resource.getrusage(who) for who in (_SELF, _CHILDREN))
        own_s, ended_s = own.ru_utime + own.ru_stime, ended.ru_utime + ended.ru_stime
        self._me, self._living = proc.stat(self._pid), self._look()
        self._times.look(self._living, {}, ended_s - self._ended_s)
        self._ended_s = ended_s
        living_s = sum(seen.cpu_s for seen in self._living.values())
        return own_s + ended_s + self._times.kept_s + living_s

    def _look(self) -> dict[int, proc.Stat]:
        """All below us, and below those that were and have been orphaned since."""
        found = proc.below(self._pid)
        for pid, before in self._living.items():
            now = None if pid in found else proc.stat(pid)
            if now is not None and now.start_ticks == before.start_ticks:
                found |= {pid: now, **proc.below(pid)}
        return found

    @property
    def living(self) -> Mapping[int, proc.Stat]:
        """Its processes at the last look."""
        return self._living if self._me is None else {self._pid: self._me, **self._living}

    @property
    def beside(self) -> dict[str, float]:
        """None: what others do for it is followed by runners alone."""
        return {}

    def reaches(self, client: str) -> bool:
        """Never, for the same reason."""
        return False

    @property
    def hurried(self) -> bool:
        """Whether what ends between two looks is lost."""
        return self._times.loses

    def unmetered(self, clients: Mapping[str, None]) -> str | None:
        """Why a part of its own work is missing; None where it is not."""
        return Steps({}).unmetered(clients)

    @property
    def unseen_s(self) -> float:
        """By how much the CPU seconds of the last look may be too few."""
        return self._times.unseen_s

    def counted_by(self) -> Counting:
        """By what the kernel tells of itself and its children."""
        return "rusage"

    def final_cpu_s(self) -> float:
        """CPU seconds up to the last look."""
        return self._cpu_s


_SELF, _CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
