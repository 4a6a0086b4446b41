"""Passes of daemons that have come to their end, by the note that each of them leaves in its home.

A pass takes two turns at the engines, and others may come in between: only when the second one is
over has it done all that it could for every job. So passes may overlap, and those that were killed,
failed, or never got their second turn leave no note.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOTES = "passes.txt"
# A lowtide whose passes note by which time (Unix s) they went, and when they had ended. Only those
# of the leader look at every job: only the leader plans one that has no plan.
_MAIN = f"""import runpy, time
from scheduler.engine import dispatch, leading
look = dispatch.dispatch

def noting(ctx, now, next_pass):
    look(ctx, now, next_pass)
    lease = leading.leader(ctx, now)
    if lease is not None and lease.owner == ctx.here.owner:
        with (ctx.config.home / "{NOTES}").open("a") as notes:
            print(now.timestamp(), time.time(), file=notes)

dispatch.dispatch = noting
runpy.run_module("scheduler", run_name="__main__", alter_sys=True)
"""
NOTING = (sys.executable, "-P", "-c", _MAIN)
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """Passes that have come to their end: the time that they went by, and when they had ended (Unix
    s), in order; and when a daemon was ``hindered``, with whether that was within a pass.
    """

    whole: tuple[Span, ...]
    hindered: tuple[tuple[float, bool], ...] = ()


class Passes:
    """Those of some homes whose daemons were started by :data:`NOTING`."""

    def __init__(self, homes: Sequence[Path]) -> None:
        self._homes = homes
        self._hindered: list[tuple[float, bool]] = []

    def hindered(self, *, in_pass: bool) -> None:
        """A daemon was killed, or lost its connection, just now."""
        self._hindered.append((datetime.now(UTC).timestamp(), in_pass))

    def seen(self) -> Seen:
        """All of them, until now."""
        paths = [home / NOTES for home in self._homes]
        lines = [line for path in paths if path.exists() for line in path.read_text().splitlines()]
        spans = [(float(begun), float(over)) for begun, over in map(str.split, lines)]
        return Seen(tuple(sorted(spans)), tuple(sorted(self._hindered)))
