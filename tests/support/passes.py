"""Passes of daemons as they were seen from outside.

A daemon notes the beginning of each pass in the store (its beat). Of two beats of one daemon the
earlier one's pass has come to its end, unless the daemon was hindered in between.
"""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from scheduler.store import Store

LOOK_S = 0.05
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """Passes that have come to their end: when they began, and by when they had ended (Unix s), in
    order; and when a daemon was ``hindered``, with whether that was within a pass.
    """

    whole: tuple[Span, ...]
    hindered: tuple[tuple[float, bool], ...] = ()


class Passes:
    """Looks at the beats of some daemons, until it is closed."""

    def __init__(
        self, opened: Callable[[], AbstractContextManager[Store]], owners: tuple[str, ...]
    ) -> None:
        self._beats: dict[str, set[float]] = defaultdict(set)
        self._hindered: list[tuple[float, bool]] = []
        self._opened, self._owners, self._over = opened, owners, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="passes", daemon=True)
        self._thread.start()

    def hindered(self, *, in_pass: bool) -> None:
        """A daemon was killed, or lost its connection, just now."""
        self._hindered.append((datetime.now(UTC).timestamp(), in_pass))

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def seen(self) -> Seen:
        """All of them, until now."""
        found: list[Span] = []
        hindered = sorted(at for at, _ in self._hindered)
        for beats in self._beats.values():
            seen = sorted(beats)
            for begun, later in pairwise(seen):
                if bisect_right(hindered, begun) == bisect_right(hindered, later):
                    insort(found, (begun, later))
        return Seen(tuple(found), tuple(sorted(self._hindered)))

    def _watch(self) -> None:
        with self._opened() as store:
            while not self._over.wait(LOOK_S):
                for owner in self._owners:
                    if (beat := store.beats.last(f"tick {owner}")) is not None:
                        self._beats[owner].add(beat.timestamp())
