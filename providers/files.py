"""Files that somebody may have put in place of ours: read bounded, and never waited for."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """A regular file, opened to be read; :class:`OSError` for anything else.

    A pipe that nobody writes to would hold us for ever, a device would never end. ``follow``:
    a symbolic link to a regular file is one.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    fd = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return os.fdopen(fd, "rb")
    os.close(fd)
    raise OSError(errno.EINVAL, "no regular file", str(path))


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """A whole regular file of at most so many bytes; :class:`OSError` for a longer one."""
    with open_regular(path) as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"longer than {limit_bytes} bytes", str(path))
    return content
