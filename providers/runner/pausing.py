"""How an attempt is paused and goes on, as its launch allows.

``checkpoint``: its first process gets one TERM, and has as long as it needs to exit with 75.
``stop``: the whole tree is stopped, and its time limit with it, until it is to go on;
``pauses.json`` (pairs of Unix seconds, the second null while it lasts) tells others of it.
An engine may stop the runner with the tree (Slurm's suspend): it opens the pause in that file, and
the runner, once it goes on, closes it.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from providers.base import CHECKPOINTED
from providers.runner import journal
from providers.runner.log import say

if TYPE_CHECKING:
    from pathlib import Path

    from providers.base import Launch
    from providers.runner.record import Clock
    from providers.runner.tree import Tree

FILE = "pauses.json"
PAUSE, RESUME = signal.SIGUSR1, signal.SIGUSR2
# How a process ends of a TERM that it does not handle, by itself and as a shell tells of it.
TERMINATED = frozenset({-signal.SIGTERM, 128 + signal.SIGTERM})
# While not all of a tree stands still, look again for processes that it has just made.
STOP_AGAIN_S = 0.2
# A busy machine may keep a runner waiting for so long; nobody has stopped it then.
BUSY_S = 1.0


class Pausing:
    """Obeys what is asked of one attempt, and keeps the times for which it was stopped.

    ``look_at`` (seconds since the start, as all times here) is when :meth:`look` is due; None
    while nothing is stopped.
    """

    def __init__(self, run_dir: Path, launch: Launch, clock: Clock, tree: Tree) -> None:
        self._file, self._run_dir = run_dir / FILE, run_dir
        self._mode, self._limit_s = launch.pause_signal, launch.time_limit_s
        self._interval_s = launch.interval_s
        self._longest_s = launch.interval_s + BUSY_S
        self._clock, self._tree = clock, tree
        self._asked = False
        self._since: float | None = None
        self._over: list[tuple[float, float]] = []
        self._owed = False
        self.look_at: float | None = None

    def obey(self, number: int) -> None:
        """Pause or go on; other signals, and what is so already, change nothing."""
        if self._mode == "checkpoint" and number == PAUSE and not self._asked:
            self._asked = True
            self._tree.send_first(signal.SIGTERM)
        elif self._mode == "stop" and number == PAUSE and self._since is None:
            self.look()
            self._since, self._owed = self._clock.elapsed(), True
            self.save()
        elif number == RESUME and self._since is not None:
            self.end()
            self._tree.wake()

    def look(self) -> None:
        """Stop what is not stopped yet: a fork may have come between."""
        still = self._tree.stop()
        self.look_at = self._clock.elapsed() + (self._interval_s if still else STOP_AGAIN_S)

    def end(self) -> None:
        """The tree goes on, or has ended: so has a pause that lasted until now."""
        if self._since is not None:
            self._over.append((self._since, self._clock.elapsed()))
            self._since, self.look_at, self._owed = None, None, True
            self.save()

    def stood_still(self, since: float, until: float) -> None:
        """The runner itself was continued: all of it was stopped at some time between.

        The engine's own word of when is taken; where somebody else stopped it there is none, and
        only what was longer than a look is counted.
        """
        told = journal.read_pauses(self._run_dir)
        opened = told[-1][0] - self._clock.wall if told and told[-1][1] is None else None
        if self._since is not None or (opened is None and until - since < self._longest_s):
            return
        begin = since if opened is None else min(max(since, opened), until)
        self._over.append((begin, until))
        self._owed = True
        self.save()

    def save(self) -> None:
        """Tell of the pauses what is not told yet; a full disk is tried again at each sample."""
        if not self._owed:
            return
        wall = self._clock.wall
        pauses: list[tuple[float, float | None]] = [*self.pauses()]
        if self._since is not None:
            pauses.append((wall + self._since, None))
        try:
            journal.write_json(self._file, {"pauses": pauses})
            self._owed = False
        except OSError as e:
            say(f"pauses.json is not up to date: {e}")

    def pauses(self) -> tuple[tuple[float, float], ...]:
        """The pauses that are over, in Unix seconds."""
        wall = self._clock.wall
        return tuple((wall + begin, wall + end) for begin, end in self._over)

    def limit_at(self) -> float | None:
        """When the time limit is reached; None without one, and while it does not run."""
        if self._limit_s is None or self._since is not None:
            return None
        return self._limit_s + sum(end - begin for begin, end in self._over)

    def checkpointed(self) -> bool:
        """Whether the first process has ended so that another attempt is to go on from there."""
        status = self._tree.first_status
        if self._mode != "checkpoint" or status is None:
            return False
        code = os.waitstatus_to_exitcode(status)
        return code == CHECKPOINTED or (self._asked and code in TERMINATED)


def is_stopped(run_dir: Path) -> bool:
    """Whether the runner in a folder tells of a pause that lasts."""
    told = journal.read_pauses(run_dir)
    return bool(told) and told[-1][1] is None
