"""Who computes on a board: the job, others, both, or processes that are not known here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.meters.nvml.library import Driver

# ``unknown``: NVML lists no processes; ``unverified``: it lists pids that mean nothing here.
Company = Literal["empty", "own", "shared", "others", "unverified", "unknown"]


def exists(pid: int) -> bool:
    """Whether there is such a process in our pid namespace, ours or not."""
    if pid <= 0:  # would be asked of a group
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def parent(pid: int) -> int | None:
    """The parent's pid; None where there is none (proc(5))."""
    try:
        found = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return found or None


def judge(
    pids: frozenset[int], job: frozenset[int], living: frozenset[int] | None = None
) -> Company:
    """Whether processes on a board belong to the job, whose tree ``job`` is.

    NVML tells pids of the host: where none of them is known here, as in a container, or the job's
    own are not known, nothing can be said. A child younger than ``job`` is known by its parents.
    ``living`` are those that were processes here when they were seen; None: look now.
    """
    own = {pid for pid in pids if descends(pid, job)}
    others = any(exists(pid) if living is None else pid in living for pid in pids - own)
    if others and job:
        return "shared" if own else "others"
    if own:
        return "own"
    return "unverified" if pids else "empty"


def descends(pid: int, job: frozenset[int]) -> bool:
    found: int | None = pid
    while found is not None and found not in job:
        found = parent(found)
    return found is not None


class Split:
    """The job's share of the work on a shared board, by utilisation of the multiprocessors."""

    def __init__(self, driver: Driver, handle: Any) -> None:
        self._driver, self._handle, self._last_us = driver, handle, 0
        self.share(frozenset())  # what was used until now is of no account

    def share(self, job: frozenset[int]) -> float | None:
        """Its part of what was used since it was last asked; None where that is not known."""
        found: Iterable[Any] | None = self._driver.ask(
            "nvmlDeviceGetProcessUtilization", self._handle, self._last_us
        )
        used = own = 0
        for sample in found or ():
            self._last_us = max(self._last_us, int(sample.timeStamp))
            used += int(sample.smUtil)
            own += int(sample.smUtil) if descends(int(sample.pid), job) else 0
        return own / used if used else None
