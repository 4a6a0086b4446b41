"""Standard input of ``lowtide run``, which the job reads from a named pipe in its folder."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 1 << 16


@contextmanager
def passed_on(pipe: Path) -> Iterator[Callable[[], None]]:
    """Copy what comes into ``pipe``, as it comes; call what is yielded once the job has begun.

    Until then the pipe is held open, so that what is in it already waits for the job; after that
    its end is that of our own input, or of this process. Where nothing can come no pipe is made.
    """
    if not _readable():
        yield lambda: None
        return
    os.mkfifo(pipe, 0o600)
    held = [os.open(pipe, os.O_RDWR)]
    threading.Thread(target=_copy, args=(pipe,), name="stdin", daemon=True).start()

    def begun() -> None:
        while held:
            os.close(held.pop())

    try:
        yield begun
    finally:
        begun()
        pipe.unlink(missing_ok=True)


def _readable() -> bool:
    """Not where it is closed, where nothing is ever in it, or where reading it would stop us."""
    try:
        found = os.fstat(0)
        if os.isatty(0):
            return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
    return not os.path.samestat(found, Path(os.devnull).stat())


def _copy(pipe: Path) -> None:
    # A job that reads no more, or has ended, leaves the rest unread.
    with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as out:
        while True:
            try:
                piece = os.read(0, PIECE)
            except OSError as e:
                if e.errno != errno.EIO:  # the terminal is gone, or no longer ours
                    raise
                return
            if not piece:
                return
            while piece:
                piece = piece[out.write(piece) :]
