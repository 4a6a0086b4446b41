"""What Linux tells of processes under ``/proc``; shared by the runner and the local executor.

A process is known by pid, start time in clock ticks and boot id: a pid alone is reused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Stat:
    """Fields of ``/proc/PID/stat`` (proc(5)); times in seconds, of it and its waited children."""

    state: str
    start_ticks: int
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can be told from a later one with the same pid."""

    pid: int
    start_ticks: int
    boot_id: str

    def alive(self) -> bool:
        """Whether this very process lives (a zombie does not)."""
        found = stat(self.pid)
        return (
            found is not None
            and found.start_ticks == self.start_ticks
            and found.state not in {"Z", "X"}
            and self.boot_id == boot_id()
        )


def stat(pid: int) -> Stat | None:
    """None where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:  # noqa: PTH123 -- hot path, twice as fast
            fields = f.read().rpartition(b")")[2].split()
        ticks = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
        return Stat(
            fields[0].decode(),
            int(fields[19]),
            ticks / TICKS_PER_S,
            int(fields[21]) * PAGE_BYTES,
        )
    except (OSError, IndexError, ValueError):
        return None


def children(pid: int) -> list[int]:
    """Direct children of a process, of all its threads; empty where it is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 -- hot path
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as f:  # noqa: PTH123
                found.extend(map(int, f.read().split()))
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    """Every process below ``pid``, parents before children; only its own tree is read."""
    found, open_ends = [], children(pid)
    while open_ends:
        child = open_ends.pop()
        found.append(child)
        open_ends.extend(children(child))
    return found


def identify(pid: int) -> Identity | None:
    """The identity of a living process."""
    found = stat(pid)
    return None if found is None else Identity(pid, found.start_ticks, boot_id())


def boot_id() -> str:
    """Changes at every boot of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def marked(token: str) -> list[int]:
    """Our own user's processes that carry ``LOWTIDE_RUN=token``.

    Looks at every process of the machine: for the rare case that a runner died.
    """
    wanted = f"LOWTIDE_RUN={token}".encode()
    found = []
    for entry in os.listdir(PROC):  # noqa: PTH208
        if entry.isdigit():
            try:
                variables = (PROC / entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            state = stat(int(entry))
            if wanted in variables and state is not None and state.state not in {"Z", "X"}:
                found.append(int(entry))
    return found
