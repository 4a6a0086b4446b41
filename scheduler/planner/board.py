"""Who holds what, where and when: the free capacity of a world, and the cheapest place in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scheduler.planner import segments
from scheduler.planner.task import COARSEST_S, INSTANT_S, Placed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scheduler.planner.task import Task, World

# Two costs are equal when they differ by less than float rounding can make.
TIE = 1e-9


class Board:
    """Capacity left on the lattice; a cell that a job touches is held for all of the cell.

    Starts are the points of the lattice and the task's own release, so that a task without
    slack can start at once. Costs are exact, whatever the length of the task.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._slots = None if world.slots is None else world.slots.copy()
        self._gpus = None if world.gpus is None else world.gpus.copy()
        self._holed = bool(world.holes.any())

    def see(self, world: World) -> None:
        """Another forecast for the same lattice; what is held stays held."""
        self.world = world
        self._holed = bool(world.holes.any())

    def slots(self) -> NDArray[np.int32] | None:
        """Slots left (regions x cells), not to be written to; None: without limit."""
        return self._slots

    def hold(self, task: Task, placed: Placed, *, times: int = 1) -> None:
        """Take the capacity of a placed task; ``times`` -1 gives it back."""
        for left, demand in ((self._slots, task.slots), (self._gpus, task.gpus)):
            if left is not None and demand:
                for a, b in placed.spans:
                    left[placed.region, slice(*self._touched(a, b))] -= times * demand

    def release(self, task: Task, placed: Placed) -> None:
        """Give the capacity of a placed task back."""
        self.hold(task, placed, times=-1)

    def fits(self, task: Task, placed: Placed) -> bool:
        """Whether what a place needs is free."""
        row = 0 if task.regions is None else task.regions.index(placed.region)
        row = placed.region if task.regions is None else row
        for a, b in placed.spans:
            low, high = self._touched(a, b)
            if low < 0 or high > self.world.cells or self._barred(task, low, high)[row].any():
                return False
        return True

    def cheapest(self, task: Task, earliest_s: float, latest_end_s: float) -> Placed | None:
        """The cheapest place that starts and ends within the bounds; None where none is free.

        Ties go to the earlier start, then to the order of regions.
        """
        end_s = min(latest_end_s, self.world.end_s)
        if earliest_s + task.duration_s > end_s + INSTANT_S:
            return None
        if task.pausing is not None:
            return self._segments(task, earliest_s, end_s)
        return self._window(task, earliest_s, end_s)

    def soonest(self, task: Task, earliest_s: float) -> Placed | None:
        """The earliest start from ``earliest_s`` on, of equal ones the first region.

        Where only holes in the intensity are in the way, it runs in them.
        """
        found = self._soonest(task, earliest_s, holes=False)
        return found or (self._soonest(task, earliest_s, holes=True) if self._holed else None)

    def _soonest(self, task: Task, earliest_s: float, *, holes: bool) -> Placed | None:
        world, cells = self.world, self._length(task)
        low = max(0, world.at_or_before(earliest_s))
        reach = max(4 * cells, 64)
        while low < world.cells:
            high = min(low + reach, world.cells)
            free = ~self._barred(task, low, high, holes=holes)
            if earliest_s > world.time(low) + INSTANT_S:
                placed = self._exactly(task, earliest_s, free, low)
                if placed is not None:
                    return placed
            starts = free_runs(free, cells)
            starts[:, : max(0, world.at_or_after(earliest_s) - low)] = False
            found = starts.any(axis=0)
            if found.any():
                s = int(found.argmax())
                row = int(starts[:, s].argmax())
                return self._placed(task, row, world.time(low + s))
            if high == world.cells:
                return None
            low = max(low + 1, high - cells + 1)
        return None

    def _length(self, task: Task) -> int:
        return max(1, math.ceil(task.duration_s / self.world.step_s - INSTANT_S))

    def _touched(self, start_s: float, end_s: float) -> tuple[int, int]:
        return self.world.at_or_before(start_s), self.world.at_or_after(end_s)

    def _rows(self, task: Task) -> slice | list[int]:
        return slice(None) if task.regions is None else list(task.regions)

    def _region(self, task: Task, row: int) -> int:
        return row if task.regions is None else task.regions[row]

    def _barred(self, task: Task, low: int, high: int, *, holes: bool = False) -> NDArray[np.bool_]:
        """Allowed regions x cells in which the task cannot run; ``holes``: where it may."""
        rows = self._rows(task)
        barred = self.world.holes[rows, low:high]
        if holes:
            barred = np.zeros_like(barred)
        for left, demand in ((self._slots, task.slots), (self._gpus, task.gpus)):
            if left is not None and demand:
                barred = barred | (left[rows, low:high] < demand)
        return barred

    def _window(self, task: Task, earliest_s: float, end_s: float) -> Placed | None:
        world, step = self.world, self.world.step_s
        rows, cells, length = self._rows(task), self._length(task), task.duration_s / step
        first = max(0, world.at_or_after(earliest_s))
        last = min(world.at_or_before(end_s - task.duration_s), world.cells - cells)
        low = max(0, world.at_or_before(earliest_s))
        high = max(last + cells, min(world.at_or_after(earliest_s + task.duration_s), world.cells))
        barred = self._barred(task, low, high)
        best = None
        if first > low or last < first:
            best = self._exactly(task, earliest_s, ~barred, low)
        if last < first:
            return best
        starts = free_runs(~barred[:, first - low :], cells)[:, : last - first + 1]
        whole, part = int(length + INSTANT_S), length - int(length + INSTANT_S)
        areas = world.areas
        ends = areas[rows, first + whole : last + whole + 1]
        if part > INSTANT_S:
            ends = ends + part * (areas[rows, first + whole + 1 : last + whole + 2] - ends)
        cost = ends - areas[rows, first : last + 1]
        cost = _column(task.kw) * cost + _column(task.flat) * task.duration_s
        cost += _column(task.once)
        if task.delay:
            begun = world.time(first) + step * np.arange(last - first + 1)
            cost += task.delay * (begun + (task.duration_s - task.release_s))
        cost = np.where(starts, cost, np.inf)
        lowest = cost.min(axis=0)
        bound = float(lowest.min())
        if bound < np.inf:
            s = int((lowest <= bound + TIE * abs(bound)).argmax())
            if best is None or float(lowest[s]) < best.cost - TIE * abs(best.cost):
                row = int(cost[:, s].argmin())
                return self._placed(task, row, world.time(first + s))
        return best

    def _exactly(
        self, task: Task, start_s: float, free: NDArray[np.bool_], low: int
    ) -> Placed | None:
        """The cheapest region for a start at this very moment."""
        a, b = self._touched(start_s, start_s + task.duration_s)
        if b - low > free.shape[1]:
            return None
        able = np.flatnonzero(free[:, a - low : b - low].all(axis=1))
        found = [self._placed(task, int(row), start_s) for row in able]
        return min(found, key=lambda placed: placed.cost, default=None)

    def _placed(self, task: Task, row: int, start_s: float) -> Placed:
        return self.priced(task, self._region(task, row), ((start_s, start_s + task.duration_s),))

    def priced(self, task: Task, region: int, spans: segments.Spans) -> Placed:
        """A place with its cost on what is known now."""
        row = region if task.regions is None else task.regions.index(region)
        kw, flat, once = (_of(x, row) for x in (task.kw, task.flat, task.once))
        run_s = sum(b - a for a, b in spans)
        cost = self.world.grams(region, kw, spans) + flat * run_s + once
        cost += task.delay * (spans[-1][1] - task.release_s)
        return Placed(region, spans, cost, max(0.0, spans[-1][1] - task.deadline_s))

    def _segments(self, task: Task, earliest_s: float, end_s: float) -> Placed | None:
        """The cheapest segments of each region, and of these the cheapest."""
        assert task.pausing is not None
        world = self.world
        low = max(0, world.at_or_before(earliest_s))
        high = min(world.cells, world.at_or_after(end_s))
        edges = world.start_s + world.step_s * np.arange(low, high + 1, dtype=np.float64)
        edges[0], edges[-1] = max(edges[0], earliest_s), min(edges[-1], end_s)
        barred = self._barred(task, low, high)
        best = self._window(task, earliest_s, end_s)
        for row in range(len(barred)):
            region = self._region(task, row)
            rates = world.g_per_kwh[region, low:high] * (_of(task.kw, row) / 3600.0)
            rates = np.where(barred[row], np.inf, rates + _of(task.flat, row))
            step = min(world.step_s, COARSEST_S)
            spans = segments.cheapest(edges, rates, task.duration_s, task.pausing, step)
            if spans is not None:
                found = self.priced(task, region, spans)
                if best is None or found.cost < best.cost - TIE * abs(best.cost):
                    best = found
        return best


def _column(figures: tuple[float, ...]) -> NDArray[np.float64] | float:
    return figures[0] if len(figures) == 1 else np.array(figures)[:, None]


def _of(figures: tuple[float, ...], row: int) -> float:
    return figures[0] if len(figures) == 1 else figures[row]


def free_runs(free: NDArray[np.bool_], cells: int) -> NDArray[np.bool_]:
    """Where a run of ``cells`` free cells begins: rows x (columns - cells + 1)."""
    if free.all():
        return np.ones((free.shape[0], max(0, free.shape[1] - cells + 1)), dtype=bool)
    taken = np.zeros((free.shape[0], free.shape[1] + 1), dtype=np.int32)
    np.cumsum(~free, axis=1, out=taken[:, 1:])
    starts: NDArray[np.bool_] = taken[:, cells:] == taken[:, :-cells]
    return starts
