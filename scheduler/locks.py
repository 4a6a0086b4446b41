"""Locks of a home: files that one process at a time holds, and that a kill lets go of."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Between two looks at a lock that another one holds (s): far below what people notice.
LOOK_S = 0.02


@contextmanager
def held(path: Path, patience_s: float = 0.0) -> Iterator[bool]:
    """Whether the lock ``path`` is ours within; False where another one kept it for so long.

    It also keeps threads of one process apart.
    """
    with path.open("a") as lock:
        until = time.monotonic() + patience_s
        while not _taken(lock.fileno()):
            if time.monotonic() >= until:
                yield False
                return
            time.sleep(LOOK_S)
        yield True


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
