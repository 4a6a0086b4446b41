"""Boards that commands of this user were given, from before they start until they end.

A command shows its boards in its environment only once it runs, and on the board itself later
still: two that are started at once would find the same board free. So whoever gives one away
first leaves a file for it, named after the board and the process that has it. A file whose process
is gone does not count and is taken away.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner import holdings, proc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREFIX = "board."


def take(
    boards: Sequence[str], owner: proc.Identity, *, alone: bool = True, place: Path | None = None
) -> bool:
    """Claim all of them for a process; where it is to be ``alone``, False if another one has one.

    Where no folder for claims can be made there are none, and nothing is refused.
    """
    with suppress(OSError), _locked(place or holdings.folder()) as folder:
        others = {board for board, process in _claims(folder) if process != _name(owner)}
        if alone and not others.isdisjoint(boards):
            return False
        for board in boards:
            (folder / f"{PREFIX}{board}.{_name(owner)}").touch(mode=0o600)
    return True


def hand(
    boards: Sequence[str],
    before: proc.Identity,
    after: proc.Identity | None,
    place: Path | None = None,
) -> None:
    """Make the claims of one process those of another, or of none."""
    with suppress(OSError), _locked(place or holdings.folder()) as folder:
        for board in boards:
            if after is not None:
                (folder / f"{PREFIX}{board}.{_name(after)}").touch(mode=0o600)
            (folder / f"{PREFIX}{board}.{_name(before)}").unlink(missing_ok=True)


def claimed(place: Path | None = None) -> frozenset[str]:
    """Boards that a living process has."""
    with suppress(OSError), _locked(place or holdings.folder()) as folder:
        return frozenset(board for board, _ in _claims(folder))
    return frozenset()


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another account")
    with (folder / "boards.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _name(owner: proc.Identity) -> str:
    return f"{owner.pid}-{owner.start_ticks}"


def _claims(folder: Path) -> Iterator[tuple[str, str]]:
    """Board and process of each claim that counts."""
    for file in folder.glob(f"{PREFIX}*"):
        board, _, process = file.name.removeprefix(PREFIX).rpartition(".")
        pid, _, ticks = process.partition("-")
        if not (pid.isdecimal() and ticks.isdecimal()):
            continue
        if proc.lives(int(pid), int(ticks)):
            yield board, process
        else:
            file.unlink(missing_ok=True)
