"""What plans of waiting jobs hold, as the store keeps it: in whole seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.planner.task import INSTANT_S
from scheduler.store import Reservation, Step

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from scheduler.engine.context import Context
    from scheduler.models import Job, JobSpec, Plan

# What a part of a plan holds is rounded to the widest of these grids (s) that is no more than a
# twentieth of it, so that the sum over all jobs has few steps: 100,000 jobs of ten minutes make
# as many as there are half minutes ahead.
GRIDS_S = (300, 60, 30, 15, 5, 1)
PARTS = 20
# A region, and the host there.
Spot = tuple[str, str]


def host(ctx: Context, spec: JobSpec, region: str) -> str:
    """Where a job runs in a region; of one that left the config: where it came from."""
    try:
        return ctx.host_of(spec, ctx.regions[region])
    except UsageError:
        return (spec.origin or ctx.here.origin).host


def reservations(ctx: Context, job: Job, plan: Plan) -> tuple[Reservation, ...]:
    """What a waiting job holds by its plan.

    Nothing where nobody knows for how long, nor where no forecast says when; a job that is only
    stopped holds its slots already.
    """
    window = plan.window
    if window.end is None or window.g_per_kwh is None or job.spec.duration_s is None:
        return ()
    if job.state is JobState.PAUSED and job.holds:
        return ()
    place, deadline, free_from = host(ctx, job.spec, window.region), job.spec.deadline, None
    parts = []
    for a, b in kept(job.spec, plan.ahead):
        begins, ends = _rounded(a.timestamp(), b.timestamp())
        # Segments that meet in a step of the grid hold it once.
        begins = begins if free_from is None else max(begins, free_from)
        if ends > begins:
            parts.append((begins, ends))
            free_from = ends
    late = deadline is not None and window.end > deadline
    return tuple(
        Reservation(
            window.region,
            place,
            begins,
            ends,
            job.spec.slots,
            job.spec.gpus,
            late=late and i == len(parts) - 1,
        )
        for i, (begins, ends) in enumerate(parts)
    )


def kept(
    spec: JobSpec, spans: Sequence[tuple[datetime, datetime | None]]
) -> tuple[tuple[datetime, datetime], ...]:
    """When a job holds what it runs on: one that a pause only stops does so in its pauses too."""
    known = tuple((a, b) for a, b in spans if b is not None)
    return ((known[0][0], known[-1][1]),) if spec.stops and known else known


def _rounded(start_s: float, end_s: float) -> tuple[int, int]:
    """The whole seconds, on the grid that fits its length, that a span lies within."""
    grid = next((g for g in GRIDS_S if g * PARTS <= end_s - start_s), GRIDS_S[-1])
    first, last = (start_s + INSTANT_S) // grid, math.ceil((end_s - INSTANT_S) / grid)
    return int(first) * grid, max(int(first) + 1, last) * grid


@dataclass(frozen=True)
class Promised:
    """What is held of some places by jobs that are not planned just now."""

    steps: tuple[Step, ...] = ()

    @classmethod
    def now(cls, ctx: Context) -> Promised:
        """What all waiting jobs hold."""
        return cls(tuple(ctx.store.reservations.promised()))

    def of(self, spots: Collection[Spot]) -> Promised:
        """The part of it that concerns some places."""
        return Promised(tuple(s for s in self.steps if (s.region, s.host) in spots))

    def without(self, parts: Iterable[Reservation]) -> Promised:
        """The same less what some jobs hold of it."""
        return Promised((*self.steps, *_steps(parts, -1)))

    def beside(self, parts: Iterable[Reservation]) -> Promised:
        """The same with what some jobs hold besides."""
        return Promised((*self.steps, *_steps(parts, 1)))

    @property
    def spots(self) -> set[Spot]:
        """Places of which something is held."""
        return {(s.region, s.host) for s in self.steps}

    @property
    def end_s(self) -> int:
        """When all of it is free again (Unix seconds); 0 where nothing is held."""
        return max((s.at_s for s in self.steps), default=0)

    def levels(self, region: str) -> NDArray[np.int64]:
        """What is held of a region: rows of a moment (Unix seconds), slots and boards from then on.

        In order of time; the last row holds nothing.
        """
        mine = [(s.at_s, s.slots, s.gpus) for s in self.steps if s.region == region]
        if not mine:
            return np.zeros((0, 3), np.int64)
        steps = np.array(mine, np.int64)
        times, which = np.unique(steps[:, 0], return_inverse=True)
        changes = np.zeros((len(times), 2), np.int64)
        np.add.at(changes, which, steps[:, 1:])
        return np.column_stack((times, np.cumsum(changes, axis=0)))


def _steps(parts: Iterable[Reservation], sign: int) -> list[Step]:
    return [
        Step(p.region, p.host, at_s, way * p.slots, way * p.gpus)
        for p in parts
        for at_s, way in ((p.begins, sign), (p.ends, -sign))
    ]
