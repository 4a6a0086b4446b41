"""Finding lowtide's processes at chosen points, killing them, and a journal of what was killed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner import proc
from support.fleet import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

# SQLite's write lock in WAL mode is this byte of the -shm file (sqlite.org/walformat.html, 2.3.1).
WAL_WRITE_LOCK = 120
# Often enough to see a transaction; rarely enough to leave the machine to what is watched.
LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class Kill:
    """What was killed, when, and in which state it was."""

    at: datetime
    what: str
    pid: int
    state: str


class Journal:
    """Every kill, in order."""

    def __init__(self) -> None:
        self.kills: list[Kill] = []
        self.attempts: set[tuple[str, int]] = set()

    def kill(self, what: str, pid: int, state: str) -> None:
        """Kill -9, and note it unless it was gone before."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.note(what, pid, state)

    def kill_runner(self, pid: int, run_dir: Path) -> None:
        """Kill a runner; its attempt may be lost from now on."""
        self.attempts.add((run_dir.parent.name, int(run_dir.name)))
        self.kill("runner", pid, state_of_run(run_dir))

    def note(self, what: str, pid: int, state: str) -> None:
        """Note what was killed by other means."""
        self.kills.append(Kill(datetime.now(UTC), what, pid, state))

    def told(self) -> str:
        """The journal as text, a line a kill."""
        return "\n".join(
            f"{k.at:%H:%M:%S.%f} {k.what} (process {k.pid}): {k.state}" for k in self.kills
        )

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        kinds = [k.what for k in self.kills]
        return {what: kinds.count(what) for what in dict.fromkeys(kinds)}


def within(patience_s: float, true: Callable[[], bool], look_s: float = LOOK_S) -> bool:
    """Look until it is so, as often as a short state needs; False where it never was."""
    end = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(look_s)
    return True


def runners(folder: Path) -> dict[int, Path]:
    """Living runners below ``folder``, each with its run folder."""
    return {
        pid: Path(words[-1])
        for pid, words in _commands(folder)
        if "providers.runner" in words and os.sep + "runs" + os.sep in words[-1]
    }


def strays(folder: Path) -> list[int]:
    """Processes that were started by or for a lowtide below ``folder``: runners, jobs, daemons."""
    mark, me = str(folder).encode(), os.getpid()
    found = []
    for pid, _, variables in proc._environments():
        if pid != me and any(v.startswith(b"LOWTIDE_") and mark in v for v in variables):
            found.append(pid)
    return [*dict.fromkeys([*found, *runners(folder)])]


def end_strays(folder: Path) -> None:
    """Leave no process behind, whatever became of the test."""

    def gone() -> bool:
        left = strays(folder)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    assert within(PATIENCE_S, gone, 0.02), f"not to be killed: {strays(folder)}"


def state_of_run(run_dir: Path) -> str:
    """How far an attempt has come."""
    for name, said in (
        ("receipt.json", "its receipt is left"),
        ("process.json", "its command runs"),
        ("started", "marked, its command not yet seen"),
    ):
        if (run_dir / name).exists():
            return f"{run_dir.parent.name}/{run_dir.name}: {said}"
    return f"{run_dir.parent.name}/{run_dir.name}: on its way, no mark yet"


def state_of_daemon(pid: int, home: Path) -> str:
    """Whether it is within a pass, and within a transaction of SQLite."""
    said = ["in a pass" if in_pass(pid, home) else "between passes"]
    if writes(pid, home):
        said.append("writing")
    return ", ".join(said)


def in_pass(pid: int, home: Path) -> bool:
    """Whether a process holds the lock of passes."""
    return _holds(pid, home / "tick.lock", "FLOCK", 0)


def writes(pid: int, home: Path) -> bool:
    """Whether a process is within a transaction that writes to the SQLite database of a home."""
    return _holds(pid, home / "lowtide.db-shm", "POSIX", WAL_WRITE_LOCK)


def _holds(pid: int, path: Path, kind: str, first: int) -> bool:
    """Whether ``/proc/locks`` (proc(5)) has a write lock of it that begins at that byte."""
    try:
        inode = str(path.stat().st_ino)
    except OSError:
        return False
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if "->" in words:
            continue  # it only waits for it
        _, kept, _, access, owner, where, begin, _ = words
        found = (kept, access, owner, where.rpartition(":")[2], begin)
        if found == (kind, "WRITE", str(pid), inode, str(first)):
            return True
    return False


def _commands(folder: Path) -> list[tuple[int, list[str]]]:
    """Living processes whose last word names something below ``folder``."""
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            with suppress(OSError):
                words = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
                argv = words.rstrip("\0").split("\0")
                if argv[-1].startswith(f"{folder}{os.sep}"):
                    found.append((int(entry), argv))
    return found
