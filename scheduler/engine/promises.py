"""What plans of waiting jobs hold, as the store keeps it: cells of the joint plan's lattice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.planner.task import COARSEST_S, INSTANT_S
from scheduler.store import Reservation, Step

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from scheduler.engine.context import Context
    from scheduler.models import Job, JobSpec, Plan

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
    cells = []
    for a, b in kept(job.spec, plan.ahead):
        begins, ends = cell(a.timestamp()), cell(b.timestamp() - INSTANT_S) + 1
        # Segments that meet in a cell hold it once.
        begins = begins if free_from is None else max(begins, free_from)
        if ends > begins:
            cells.append((begins, ends))
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
            late=late and i == len(cells) - 1,
        )
        for i, (begins, ends) in enumerate(cells)
    )


def kept(
    spec: JobSpec, spans: Sequence[tuple[datetime, datetime | None]]
) -> tuple[tuple[datetime, datetime], ...]:
    """When a job holds what it runs on: one that a pause only stops does so in its pauses too."""
    known = tuple((a, b) for a, b in spans if b is not None)
    return ((known[0][0], known[-1][1]),) if spec.stops and known else known


def cell(time_s: float) -> int:
    """The cell of a moment (Unix seconds)."""
    return int(time_s // COARSEST_S)


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
    def end(self) -> int:
        """The cell by which all of it is free again; 0 where nothing is held."""
        return max((s.cell for s in self.steps), default=0)

    def over(
        self, region: str, first: int, cells: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slots and boards held of a region in each cell from ``first`` on (each of ``cells``)."""
        held = np.zeros((2, cells + 1), np.int64)
        mine = [s for s in self.steps if s.region == region]
        at = np.array([s.cell for s in mine], np.int64)
        at = np.clip(at - first, 0, cells)
        np.add.at(held[0], at, np.array([s.slots for s in mine], np.int64))
        np.add.at(held[1], at, np.array([s.gpus for s in mine], np.int64))
        slots, gpus = np.cumsum(held[:, :-1], axis=1)
        return slots, gpus


def _steps(parts: Iterable[Reservation], sign: int) -> list[Step]:
    return [
        Step(p.region, p.host, at, way * p.slots, way * p.gpus)
        for p in parts
        for at, way in ((p.begins, sign), (p.ends, -sign))
    ]
