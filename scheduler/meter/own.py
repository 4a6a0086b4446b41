"""What is known of the process that is metered from within: its CPU seconds and memory."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from providers.runner import proc

if TYPE_CHECKING:
    from providers.base import Counting


class OwnTree:
    """This process and all below it, from now on.

    Exact for what it has waited for, short-lived children included. Not seen is what a child
    leaves behind when it ends (a daemon): the kernel gives that to init.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self.pids: frozenset[int] = frozenset()
        self._before = self._cpu_s = 0.0
        self._before = self.usage()[0]
        self._cpu_s = 0.0

    def usage(self) -> tuple[float, int]:
        """CPU seconds since it was made (never falling), and resident bytes now.

        Those that have ended are read before those that live, so none is counted twice; one
        that ends meanwhile is missed by this look and is in the next.
        """
        own, ended = (resource.getrusage(who) for who in (_SELF, _CHILDREN))
        cpu_s = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
        me = proc.stat(self._pid)
        rss = 0 if me is None else me.rss_bytes
        living = proc.below(self._pid)
        self.pids = frozenset((self._pid, *living))
        for found in living.values():
            cpu_s += found.cpu_s
            rss += found.rss_bytes
        self._cpu_s = max(self._cpu_s, cpu_s - self._before)
        return self._cpu_s, rss

    def counted_by(self) -> Counting:
        """By what the kernel tells of itself and its children."""
        return "rusage"

    def final_cpu_s(self) -> float:
        """CPU seconds up to the last look."""
        return self._cpu_s


_SELF, _CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
