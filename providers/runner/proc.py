"""What Linux tells of processes under ``/proc``; shared by the runner and the local executor.

A process is known by pid, start time in clock ticks and boot id: a pid alone is reused.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Stat:
    """Fields of ``/proc/PID/stat`` (proc(5)).

    ``cpu_s`` is of the process and the children that it has waited for, ``waited_s`` of these
    alone. ``name`` has at most 15 bytes. A process that ``ignores_children`` (SIGCHLD) gets
    nothing of those that end: the kernel drops their times.
    """

    state: str
    start_ticks: int
    cpu_s: float
    rss_bytes: int
    threads: int
    parent: int = 0
    waited_s: float = 0.0
    name: str = ""
    ignores_children: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can be told from a later one with the same pid."""

    pid: int
    start_ticks: int
    boot_id: str

    def alive(self) -> bool:
        """Whether this very process lives (a zombie does not)."""
        return lives(self.pid, self.start_ticks) and self.boot_id == boot_id()

    def send(self, *numbers: int) -> None:
        """Signal this very process, or none."""
        if self.boot_id == boot_id():
            send(self.pid, self.start_ticks, *numbers)


def _read(path: str) -> bytes:
    """A whole small file, without the buffers of ``open``: read for each process each second."""
    fd = os.open(path, os.O_RDONLY)
    try:
        parts = [os.read(fd, 1 << 16)]
        while parts[-1]:
            parts.append(os.read(fd, 1 << 16))
        return b"".join(parts)
    finally:
        os.close(fd)


def stat(pid: int) -> Stat | None:
    """None where there is no such process."""
    try:
        head, _, tail = _read(f"/proc/{pid}/stat").rpartition(b")")
        fields = tail.split()
        waited = int(fields[13]) + int(fields[14])
        return Stat(
            fields[0].decode(),
            int(fields[19]),
            (int(fields[11]) + int(fields[12]) + waited) / TICKS_PER_S,
            int(fields[21]) * PAGE_BYTES,
            int(fields[17]),
            int(fields[1]),
            waited / TICKS_PER_S,
            os.fsdecode(head.partition(b"(")[2]),
            bool(int(fields[30]) >> (signal.SIGCHLD - 1) & 1),
        )
    except (OSError, IndexError, ValueError):
        return None


def argv(pid: int) -> list[str]:
    """The words of a process's command line; empty where it is gone."""
    try:
        return os.fsdecode(_read(f"/proc/{pid}/cmdline")).rstrip("\0").split("\0")
    except OSError:
        return []


def lives(pid: int, start_ticks: int) -> bool:
    """Whether the process that had this pid in this boot, and began then, lives on."""
    found = stat(pid)
    return found is not None and found.start_ticks == start_ticks and found.state not in {"Z", "X"}


def send(pid: int, start_ticks: int, *numbers: int) -> None:
    """Signal a process; without effect where it has ended, or is not ours to signal.

    A pid that is reused just now stays untouched: the descriptor holds on to one process, whose
    start time is looked at before it is signalled (pidfd_open(2)).
    """
    try:
        held = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        held = None  # Linux before 5.3, a Python built for it, or forbidden: the look has to do
    try:
        # Not whether it lives: a process whose first thread has ended looks like a zombie.
        found = stat(pid)
        if found is not None and found.start_ticks == start_ticks:
            for number in numbers:
                if held is None:
                    os.kill(pid, number)
                else:
                    signal.pidfd_send_signal(held, number)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        if held is not None:
            os.close(held)


def children(pid: int, threads: int | None = None) -> list[int]:
    """Direct children of a process; empty where it is gone.

    Each thread has its own: all are read, unless ``threads`` says that there is only one.
    """
    found: list[int] = []
    try:
        tasks = [str(pid)] if threads == 1 else os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:
        return found
    for task in tasks:
        try:
            found.extend(map(int, _read(f"/proc/{pid}/task/{task}/children").split()))
        except OSError:
            continue
    return found


def below(pid: int) -> dict[int, Stat]:
    """Every process below ``pid``; only its own tree is read, parents before children."""
    found: dict[int, Stat] = {}
    open_ends = children(pid)
    while open_ends:
        child = open_ends.pop()
        seen = stat(child)
        if seen is not None:
            found[child] = seen
            open_ends.extend(children(child, seen.threads))
    return found


def identify(pid: int) -> Identity | None:
    """The identity of a living process."""
    found = stat(pid)
    return None if found is None else Identity(pid, found.start_ticks, boot_id())


def is_pending(pid: int, number: int) -> bool:
    """Whether a signal that was sent to a process is still to be taken by it."""
    try:
        status = _read(f"/proc/{pid}/status").decode(errors="replace")
        mask = int(status.partition("ShdPnd:")[2].split(maxsplit=1)[0], 16)
    except (OSError, IndexError, ValueError):
        return False
    return bool(mask >> (number - 1) & 1)


def boot_id() -> str:
    """Changes at every boot of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def marked(token: str) -> list[Identity]:
    """Our own user's processes that carry ``LOWTIDE_RUN=token``.

    Looks at every process of the machine: for the rare case that a runner died.
    """
    wanted = f"LOWTIDE_RUN={token}".encode()
    boot = boot_id()
    return [
        Identity(pid, start_ticks, boot)
        for pid, start_ticks, variables in _environments()
        if wanted in variables
    ]


def held_boards() -> frozenset[str]:
    """UUIDs of the boards that were given to commands of ours, of any queue or of none."""
    prefix = b"CUDA_VISIBLE_DEVICES="
    found: set[str] = set()
    for *_, variables in _environments():
        if any(v.startswith(b"LOWTIDE_RUN=") for v in variables):
            told = [v.removeprefix(prefix) for v in variables if v.startswith(prefix)]
            found.update(os.fsdecode(uuid) for text in told for uuid in text.split(b","))
    return frozenset(found)


def _environments() -> Iterator[tuple[int, int, list[bytes]]]:
    """Pid, start time and environment of each living process of our own user."""
    for entry in os.listdir(PROC):  # noqa: PTH208
        if entry.isdigit():
            found = stat(int(entry))
            try:
                variables = (PROC / entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if found is not None and lives(int(entry), found.start_ticks):
                yield int(entry), found.start_ticks, variables
