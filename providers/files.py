"""Files and folders of ours: read bounded and never waited for, made for their owner only."""

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


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Make a folder, and those above it that are missing, for its owner only, whatever the umask.

    :meth:`pathlib.Path.mkdir` would give those above it every right that the umask leaves. One
    that is there keeps its mode: whose it is, the caller checks.
    """
    try:
        folder.mkdir(mode=mode, exist_ok=True)
    except FileNotFoundError:
        if folder.parent == folder:
            raise
        make_folder(folder.parent, mode)
        folder.mkdir(mode=mode, exist_ok=True)


def write_private(path: Path, content: str) -> None:
    """Write a text file that only its owner can read or write, from its first byte on."""
    with os.fdopen(os.open(path, _WRITE, PRIVATE), "w", encoding="utf-8") as file:
        # One that was there before may be open to others.
        os.fchmod(file.fileno(), PRIVATE)
        file.write(content)


# The umask takes rights away and never adds one.
PRIVATE = 0o600
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
