"""What is wanted of an attempt, by a file: where no signal of ours reaches its runner.

``asked.json`` in the run folder is made before the runner; only a runner that finds it looks for
what is wanted. It is replaced, never made anew: a network file system tells of a file that
changed at once, and of one that was not there a minute later (nfs(5), acdirmax).
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from providers.runner import journal
from providers.runner.pausing import PAUSE, RESUME

if TYPE_CHECKING:
    from pathlib import Path

    from providers.runner.record import Clock

FILE = "asked.json"
# How often a runner looks: one small read.
EVERY_S = 1.0


def listen(run_dir: Path) -> None:
    """Make the runner of this attempt look for what is wanted."""
    journal.claim(run_dir / FILE, {"pause": False, "stop_at": None})


def pause(run_dir: Path, wanted: bool) -> None:
    """Ask it to pause, or to go on."""
    asked = journal.read_json(run_dir / FILE) or {}
    if asked.get("pause") is not wanted:
        journal.write_json(run_dir / FILE, {**asked, "pause": wanted})


def stop(run_dir: Path, at: float) -> float:
    """Ask it to stop; since when that is wanted (Unix time)."""
    asked = journal.read_json(run_dir / FILE) or {}
    since = asked.get("stop_at")
    if isinstance(since, float) and since <= at:
        return since  # a later one is from a clock that has been set back since
    journal.write_json(run_dir / FILE, {**asked, "stop_at": at})
    return at


class Asked:
    """A runner's side: what is newly wanted, as the signal that would say so.

    ``look_at`` is when :meth:`look` is due, in seconds since the start; None: never.
    """

    def __init__(self, run_dir: Path, clock: Clock) -> None:
        self._file, self._clock = run_dir / FILE, clock
        self._paused = False
        self.look_at = 0.0 if self._file.exists() else None

    def look(self) -> tuple[int, ...]:
        """Signals, in the order in which they are to be obeyed; a torn file changes nothing."""
        if self.look_at is None or self._clock.elapsed() < self.look_at:
            return ()
        self.look_at = self._clock.elapsed() + EVERY_S
        asked = journal.read_json(self._file)
        if asked is None:
            return ()
        paused, was = asked.get("pause") is True, self._paused
        self._paused = paused
        found: tuple[int, ...] = ()
        if paused is not was:
            found = (PAUSE if paused else RESUME,)
        return (*found, signal.SIGTERM) if asked.get("stop_at") is not None else found
