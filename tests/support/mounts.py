"""File systems of a test's own: they go with it, whatever happens."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.engines import absent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REMEDY = "root may mount file systems; run the tests as root"
FILLER = ".filler"


@contextmanager
def tmpfs(folder: Path, size_mb: int) -> Iterator[None]:
    """A file system in memory of so many MiB at ``folder``; skipped where it may not be mounted."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size_mb}m,mode=700", "lowtide-test", str(folder))
    try:
        yield
    finally:
        # Lazily: processes that a failed test has left may still hold it.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder: Path) -> None:
    """Take every byte that is left."""
    with (folder / FILLER).open("ab", buffering=0) as filler:
        size = 1 << 16
        while size:
            try:
                filler.write(bytes(size))
            except OSError as e:
                if e.errno != errno.ENOSPC:
                    raise
                size //= 2


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Whatever is opened from now on may be read only.

    The kernel makes no file system read-only while files on it are open for writing, as a
    database's and a journal's are: so a read-only view is mounted over it.
    """
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is left."""
    _fill(folder)
    try:
        yield
    finally:
        (folder / FILLER).unlink()


def _mount(*words: str) -> None:
    if os.geteuid() != 0:
        absent("mounts", REMEDY)
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        absent("mounts", f"{REMEDY} ({done.stderr.strip()})")
