"""A command in the foreground of its caller: same terminal, same streams, same process group.

Ctrl-C and Ctrl-Z go from the terminal to the whole group: the command takes them as it likes,
the runner leaves them to it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner.log import say

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the runner finds the command's streams: beyond what so small a process has open.
STREAMS = (200, 201, 202)
FROM_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT})
# What a caller may have ignored on purpose: `nohup`, or a script's `&`.
INHERITED = FROM_TERMINAL | {signal.SIGHUP, signal.SIGTERM}


def ignored() -> frozenset[signal.Signals]:
    """Signals that the caller ignores, and that the command is to ignore as well."""
    return frozenset(s for s in INHERITED if signal.getsignal(s) is signal.SIG_IGN)


def leave_to_command() -> None:
    """Keep out of what the terminal sends to the command."""
    for number in FROM_TERMINAL:
        signal.signal(number, signal.SIG_IGN)


def file_actions() -> Iterator[tuple[int, ...]]:
    """For ``posix_spawn``: the command's streams, where it expects them."""
    for own, kept in enumerate(STREAMS):
        yield (os.POSIX_SPAWN_DUP2, kept, own)
        yield (os.POSIX_SPAWN_CLOSE, kept)


def forget(env_file: str) -> None:
    """Delete the environment: it may hold secrets, and the command is never run again."""
    try:
        Path(env_file).unlink()
    except OSError as e:
        say(f"the environment of the command is still in {env_file}: {e}")
