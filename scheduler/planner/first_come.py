"""First come, first served: when each job would have started on the slots of one place.

The plain queue that savings are counted against: jobs start in order of release, none before one
that came earlier, each as soon as enough slots are free, and run in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """A job as it came: ``ready_s`` (Unix seconds), and how long it holds how many slots.

    ``known``: it has ended, so that this is how long it really ran.
    """

    ready_s: float
    submitted_s: float
    job_id: str
    run_s: float
    slots: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Served:
    """When a job would have started, Unix seconds; ``known``: of all before it the length is."""

    start_s: float
    known: bool


def serve(arrivals: Iterable[Arrival], capacity: Sequence[int]) -> dict[str, Served]:
    """The start of each job by its id; ``capacity`` is the slots of each hour of the day in UTC.

    A job that no hour has room for starts when it is ready, and holds nothing.
    """
    found: dict[str, Served] = {}
    running: list[tuple[float, int]] = []
    held, at, known = 0, float("-inf"), True
    most = max(capacity)
    for job in sorted(arrivals):
        if job.slots > most:
            found[job.job_id] = Served(job.ready_s, known)
            continue
        at = max(at, job.ready_s)
        while True:
            while running and running[0][0] <= at:
                held -= heappop(running)[1]
            if held + job.slots <= capacity[int(at // HOUR_S) % len(capacity)]:
                break
            # Either a job ends, or an hour with more slots begins.
            next_hour = (at // HOUR_S + 1) * HOUR_S
            at = min(running[0][0], next_hour) if running else next_hour
        found[job.job_id] = Served(at, known)
        heappush(running, (at + job.run_s, job.slots))
        held += job.slots
        known = known and job.known
    return found
