"""Locks of a home: files that one process at a time holds, and that a kill lets go of.

Who holds one writes its pid and the time into it, for those who find it taken.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from providers.files import PRIVATE, read_bounded
from providers.runner import proc

if TYPE_CHECKING:
    from collections.abc import Iterator

# Between two looks at a lock that another one holds (s): far below what people notice.
LOOK_S = 0.02
# Longer than a pid and a time.
LIMIT_BYTES = 200
# The byte of a `-shm` file that whoever writes to the database locks (SQLite, os_unix.c and wal.c:
# UNIX_SHM_BASE, WAL_WRITE_LOCK).
WRITER_BYTE = 120
# Of a line of /proc/locks for a lock that is held (proc(5)).
LOCK_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock; ``since`` is None where that is not known."""

    pid: int
    since: datetime | None = None

    @property
    def stopped(self) -> bool:
        """Whether it stands still (Ctrl-Z, SIGSTOP, a debugger), and so keeps the lock."""
        found = proc.stat(self.pid)
        return found is not None and found.state in {"T", "t"}

    def __str__(self) -> str:
        since = "" if self.since is None else f", since {self.since:%Y-%m-%dT%H:%M:%SZ}"
        hint = f", which is stopped: `kill -CONT {self.pid}` lets it go on" if self.stopped else ""
        return f"process {self.pid}{since}{hint}"


@contextmanager
def held(path: Path, patience_s: float = 0.0) -> Iterator[bool]:
    """Whether the lock ``path`` is ours within; False where another one kept it for so long.

    It also keeps threads of one process apart.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        until = time.monotonic() + patience_s
        while not _taken(lock):
            if time.monotonic() >= until:
                yield False
                return
            time.sleep(LOOK_S)
        _sign(lock)
        yield True
    finally:
        os.close(lock)


def holder(path: Path) -> Holder | None:
    """Who took the lock ``path`` last; None where that is not known."""
    try:
        pid, since = read_bounded(path, LIMIT_BYTES).decode("ascii").split()
        return Holder(int(pid), datetime.fromisoformat(since).astimezone(UTC))
    except (OSError, ValueError, OverflowError):
        return None


def writer(database: Path) -> Holder | None:
    """Who holds the write lock of a SQLite database in WAL mode; None where that is not known.

    The kernel is asked (proc(5), ``/proc/locks``): opening the file and closing it again would
    take this process's own locks on it away.
    """
    try:
        number = str(database.with_name(f"{database.name}-shm").stat().st_ino)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for fields in map(str.split, lines):
        if len(fields) != LOCK_FIELDS:
            continue  # one that is waited for
        _, kind, _, access, pid, where, first, last = fields
        if (kind, access, where.rpartition(":")[2]) != ("POSIX", "WRITE", number):
            continue
        if int(first) <= WRITER_BYTE and (last == "EOF" or int(last) >= WRITER_BYTE):
            # It is 0 or less for one that lives in another container.
            return Holder(int(pid)) if int(pid) > 0 else None
    return None


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    words = f"{os.getpid()} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n"
    with suppress(OSError):  # a full disk: the lock counts, not what is written in it
        os.pwrite(descriptor, words.encode("ascii"), 0)
        os.ftruncate(descriptor, len(words))
