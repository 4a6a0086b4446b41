"""Passes of daemons as they were seen from outside, and what a whole one may not pass over.

A daemon notes the beginning of each pass in the store (its beat). Of two beats of one daemon the
earlier one's pass has come to its end, unless the daemon was hindered in between.
"""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from scheduler.models import Job
    from scheduler.store import Store

LOOK_S = 0.05
Span = tuple[float, float]


class Passes:
    """Looks at the beats of some daemons, until it is closed."""

    def __init__(
        self, opened: Callable[[], AbstractContextManager[Store]], owners: tuple[str, ...]
    ) -> None:
        self._beats: dict[str, set[float]] = defaultdict(set)
        self._hindered: list[float] = []
        self._opened, self._owners, self._over = opened, owners, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="passes", daemon=True)
        self._thread.start()

    def hindered(self) -> None:
        """A daemon was killed, or lost its connection, just now."""
        self._hindered.append(datetime.now(UTC).timestamp())

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def whole(self) -> list[Span]:
        """When the passes began that have come to their end, and by when (Unix s), in order."""
        found: list[Span] = []
        hindered = sorted(self._hindered)
        for beats in self._beats.values():
            seen = sorted(beats)
            for begun, later in pairwise(seen):
                if bisect_right(hindered, begun) == bisect_right(hindered, later):
                    insort(found, (begun, later))
        return found

    def _watch(self) -> None:
        with self._opened() as store:
            while not self._over.wait(LOOK_S):
                for owner in self._owners:
                    if (beat := store.beats.last(f"tick {owner}")) is not None:
                        self._beats[owner].add(beat.timestamp())


def assert_no_deadline_passed_over(
    store: Store, whole: list[Span], known: Mapping[str, float], period_s: float
) -> int:
    """No whole pass has left a job waiting whose latest safe start came before the next pass.

    ``known`` says since when (Unix s) a job certainly was in the queue; ``period_s`` is that of
    the passes. So a job that was started after its latest safe start (its deadline less its
    duration) shows a deadline that could not be met: from one period before that moment until
    its start no pass came to its end, as each was killed. What becomes of a job after its first
    start in time (an attempt that is killed, a machine too busy to run it as fast as was said) is
    no scheduler's to promise; that it is tried again is another law. Returns how many jobs a
    whole pass has started for the sake of their deadlines: the law was tried so often.
    """
    broken, tried, starts = [], 0, {at for at, _ in whole}
    for job in store.jobs.find():
        if job.id not in known or job.spec.latest_start is None:
            continue
        latest = job.spec.latest_start.timestamp()
        begun = _begun(store, job)
        passed_over = [
            at
            for at, over in whole
            if known[job.id] < at and over <= begun and latest < at + period_s
        ]
        if passed_over:
            broken.append(f"{job.id}: left by {passed_over}, latest {latest}, begun {begun}")
        tried += begun in starts and latest < begun + period_s
    assert not broken, "whole passes have passed over:\n" + "\n".join(broken)
    return tried


def _begun(store: Store, job: Job) -> float:
    """When it was first claimed, or ended without that (Unix s)."""
    attempts = store.jobs.attempts(job.id)
    moment = attempts[0].claimed_at if attempts else job.ended_at
    return float("inf") if moment is None else moment.timestamp()
