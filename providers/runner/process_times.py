"""CPU seconds of a process tree by repeated looks at ``/proc``, and what no look can have seen.

The kernel adds the time of a process that has ended to whoever waits for it. It drops that time
where the parent ignores SIGCHLD, and it goes out of the tree with an orphan that another process
waits for. So the last reading of each process is kept, by pid and start time, until somebody who
is counted has received it; whatever such a process did after its last reading, and children of
its kind that no look met, are bounded by what the machine was busy with otherwise.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from providers.clocks import since_boot_s as _now_s
from providers.host import TICKS_PER_S, busy_cpu_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.runner.proc import Stat

# User and system time are each rounded down to a tick: by so much may a sum of them differ.
ROUNDING_S = 2 / TICKS_PER_S

# Who may have received the time of a process: a process by pid and start time.
Key = tuple[int, int]


class ProcessTimes:
    """The readings of a tree below ``root``, look by look.

    ``kept_s`` are CPU seconds of processes that ended, which no process that is counted received.
    ``loses``: a process of the tree ignores its children.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._last: Mapping[int, Stat] = {}
        self._kept_s = self._unseen_s = 0.0
        # Not received at the last look: a parent that was read before it waited has it by the next.
        self._owed: dict[Key, float] = {}
        self.loses = self._has_lost = False
        self._at_s, self._busy_s, self._counted_s, self._hidden_s = _now_s(), busy_cpu_s(), 0.0, 0.0

    @property
    def kept_s(self) -> float:
        """CPU seconds that stand in no reading any more."""
        return self._kept_s + sum(self._owed.values())

    def look(
        self, living: Mapping[int, Stat], ended: Mapping[int, float], root_waited_s: float = 0.0
    ) -> None:
        """Take in a look: who lives, the CPU seconds of those that the root itself has waited for
        by pid, or, where it does not know by whom, what it received from all since the last look.
        """
        gone = {
            pid: seen for pid, seen in self._last.items() if not _is_same(living.get(pid), seen)
        }
        due: dict[Key, float] = {}
        for pid, seen in gone.items():
            to = self._receiver(pid, seen, gone, ended)
            due[to] = due.get(to, 0.0) + seen.cpu_s
        before, self._owed, kept_s = self._owed, {}, self._kept_s
        for to in {*due, *before}:
            more = due.get(to, 0.0) - self._received(to, living, ended, root_waited_s)
            if more > ROUNDING_S:
                self._owed[to] = more
            self._kept_s += max(0.0, before.get(to, 0.0) + min(0.0, more))
        self._last = dict(living)
        self._has_lost = self._kept_s > kept_s
        self.loses = any(seen.ignores_children for seen in (*gone.values(), *living.values()))

    @property
    def unseen_s(self) -> float:
        """By how much the CPU seconds that were counted up to the last look may be too few."""
        return self._unseen_s + (self._hidden_s if self._owed else 0.0)

    def bound(self, counted_s: float, *, exact: bool = False, loses: bool = False) -> None:
        """After a look: the tree's CPU seconds as they are counted. In a span in which it may have
        lost some, unless the count is ``exact``, all else that the machine did may be its own.
        """
        at_s, busy_s = _now_s(), busy_cpu_s()
        most_s = (at_s - self._at_s) * (os.cpu_count() or 1)
        if busy_s is not None and self._busy_s is not None:
            most_s = min(most_s, busy_s - self._busy_s)
        before_s, self._hidden_s = self._hidden_s, max(0.0, most_s - (counted_s - self._counted_s))
        self._at_s, self._busy_s, self._counted_s = at_s, busy_s, counted_s
        if exact:
            self._hidden_s = 0.0
        elif self._has_lost:
            self._unseen_s += before_s
        if self.loses or loses:
            self._unseen_s += self._hidden_s
            self._hidden_s = 0.0

    def _receiver(
        self, pid: int, seen: Stat, gone: Mapping[int, Stat], ended: Mapping[int, float]
    ) -> Key:
        """Who has the time of a process that is gone, if anybody has: its nearest forebear that
        lives, or that the root waited for, with all that this one had received.
        """
        while pid not in ended:
            pid = seen.parent
            if pid not in gone:
                return (pid, self._last[pid].start_ticks if pid in self._last else 0)
            seen = gone[pid]
        return (pid, seen.start_ticks)

    def _received(
        self,
        to: Key,
        living: Mapping[int, Stat],
        ended: Mapping[int, float],
        root_waited_s: float,
    ) -> float:
        pid, start_ticks = to
        if pid in ended:
            return ended[pid]
        if pid == self._root:
            return root_waited_s
        now, then = living.get(pid), self._last.get(pid)
        if now is None or then is None or now.start_ticks != start_ticks:
            return 0.0
        return now.waited_s - then.waited_s


def _is_same(now: Stat | None, then: Stat) -> bool:
    return now is not None and now.start_ticks == then.start_ticks
