"""What the fleet's planner places: tasks, the world they are placed in, and where they went."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner.segments import Pausing, Spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Times nearer than this (s) are one: the rounding of Unix times in float64 is 1e-7.
INSTANT_S = 1e-6
# The lattice is no coarser than this (s): starts and ends that lie between its points waste
# capacity, and at five minutes that is less than a forecast can tell.
COARSEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Task:
    """A job to place: times in Unix seconds, ``deadline_s`` bounds the end.

    ``kw`` is the power times PUE in each allowed region (kW), ``flat`` what else the run
    costs there a second (embodied carbon, money), ``once`` what going there costs (transfer);
    ``delay`` is the cost of each second between release and end. All are in the unit of the
    objective, grams for the most part. ``regions`` are indices; None: every region, at
    the one figure given.
    """

    release_s: float
    deadline_s: float
    duration_s: float
    slots: int = 1
    gpus: int = 0
    kw: tuple[float, ...] = (1.0,)
    flat: tuple[float, ...] = (0.0,)
    once: tuple[float, ...] = (0.0,)
    delay: float = 0.0
    regions: tuple[int, ...] | None = None
    priority: int = 0
    after: tuple[int, ...] = ()
    pausing: Pausing | None = None

    @property
    def area(self) -> float:
        """Slot-seconds."""
        return self.slots * self.duration_s


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a task runs, what that costs in the unit of the objective, and how late it ends (s)."""

    region: int
    spans: Spans
    cost: float
    late_s: float = 0.0

    @property
    def late(self) -> bool:
        """Whether it ends after the deadline."""
        return self.late_s > INSTANT_S

    @property
    def start_s(self) -> float:
        """When it first starts."""
        return self.spans[0][0]

    @property
    def end_s(self) -> float:
        """When it is done."""
        return self.spans[-1][1]


@dataclass(frozen=True)
class World:
    """Intensity and capacity of all regions on one lattice of cells.

    ``g_per_kwh`` (regions x cells) is constant within a cell, NaN where unknown;
    ``slots`` and ``gpus`` (regions x cells) are what jobs may hold, None: without limit.
    """

    start_s: float
    step_s: float
    g_per_kwh: NDArray[np.float64]
    slots: NDArray[np.int32] | None = None
    gpus: NDArray[np.int32] | None = None
    areas: NDArray[np.float64] = field(init=False, repr=False)
    holes: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        holes = np.isnan(self.g_per_kwh)
        # In g/kW: the integral over hours from the first cell to each point.
        areas = np.zeros((self.regions, self.cells + 1))
        np.cumsum(
            np.where(holes, 0.0, self.g_per_kwh) * (self.step_s / 3600.0), axis=1, out=areas[:, 1:]
        )
        object.__setattr__(self, "areas", areas)
        object.__setattr__(self, "holes", holes)

    @property
    def regions(self) -> int:
        """How many there are."""
        return int(self.g_per_kwh.shape[0])

    @property
    def cells(self) -> int:
        """How many cells the lattice has."""
        return int(self.g_per_kwh.shape[1])

    @property
    def end_s(self) -> float:
        """The end of the last cell."""
        return self.start_s + self.cells * self.step_s

    def at_or_after(self, time_s: float) -> int:
        """The first point of the lattice that is not before ``time_s``."""
        return math.ceil((time_s - self.start_s - INSTANT_S) / self.step_s)

    def at_or_before(self, time_s: float) -> int:
        """The last point of the lattice that is not after ``time_s``."""
        return math.floor((time_s - self.start_s + INSTANT_S) / self.step_s)

    def time(self, point: int) -> float:
        """Unix seconds of a point."""
        return self.start_s + point * self.step_s

    def area(self, region: int, time_s: float) -> float:
        """The integral (g/kW) up to ``time_s``, which must lie on the lattice's range."""
        position = min(max((time_s - self.start_s) / self.step_s, 0.0), float(self.cells))
        point = min(int(position), self.cells - 1)
        row = self.areas[region]
        return float(row[point] + (position - point) * (row[point + 1] - row[point]))

    def grams(self, region: int, kw: float, spans: Spans) -> float:
        """What ``kw`` emit over ``spans`` (g)."""
        return kw * sum(self.area(region, b) - self.area(region, a) for a, b in spans)


def refine(step_s: float, moments: Sequence[float]) -> float:
    """The lattice's step: the widest divisor of ``step_s`` that no one of ``moments`` misses.

    ``moments`` are starts, ends and lengths (s) counted from a point of the lattice. Where
    only a step under :data:`COARSEST_S` would do, that one is taken, and lengths are rounded up.
    """
    whole = round(step_s)
    wanted = math.gcd(whole, *(round(m) for m in moments))
    if wanted >= COARSEST_S or whole <= COARSEST_S:
        return float(max(wanted, min(whole, round(COARSEST_S))))
    parts = next(n for n in range(1, whole + 1) if whole % n == 0 and whole / n <= COARSEST_S)
    return whole / parts
