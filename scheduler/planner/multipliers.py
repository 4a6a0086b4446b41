"""Tasks that compete for slots, placed by the method of multipliers.

Greedy placing fills the cleanest region with whatever comes first. Here capacity may at first be
overrun, at a price: each slot of each region and cell has a multiplier (the rent), and going
over the capacity costs its square on top (Hestenes, J. Optim. Theory Appl. 4, 1969; Bertsekas,
Constrained Optimization and Lagrange Multiplier Methods, 1982). Each pass lays down every task
in turn where cost, rent and square are lowest, then raises the multiplier where capacity is
overrun and lowers it where it is idle, then makes the square stiffer: many tasks find by and
by a common arrangement, much as the wires of a chip do by negotiating for its channels
(McMurchie and Ebeling, FPGA 1995). The last pass is one of rounding: the largest first, each
where it fits beside those already rounded, while the smaller ones still only cost it a price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner.board import free_runs
from scheduler.planner.bound import ascend
from scheduler.planner.relaxed import Relaxed
from scheduler.planner.task import INSTANT_S, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scheduler.planner.task import Task

    Floats = NDArray[np.float64]

# What a slot-cell costs that overruns capacity by the width of an ordinary task, in prices of
# an ordinary slot-cell: in the first pass and in the last. Tried on a month of five regions of
# 60 slots: (0.03, 10) and (0.01, 3) end within 0.4 % of this, as much as chance moves a month.
STIFFNESS = (0.01, 10.0)
# How much of stiffness times overrun goes to the multiplier, in the first pass and in the last.
# 1 or 0.5 throughout end within 0.1 % of this on the same month.
STEP = (1.0, 0.5)
# The smallest tasks, up to this share of all slot-seconds, are laid down in every third pass
# only: most tasks are small, and they follow the large ones soon enough.
SMALL, EVERY = 0.05, 3
# The first multipliers are prices of the lower bound on cells of this length (s), after as many
# steps as there are passes.
COARSE_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A task on the lattice: its first and last start, its length in cells, and its weights."""

    index: int
    first: int
    last: int
    cells: int
    slots: int
    rows: list[int] | None
    # Unit cost of the integral of intensity; what else a start costs, None: nothing.
    kw: float | Floats
    extra: Floats | None


class Multipliers:
    """The tasks that can be moved freely: ``members`` are their indices, the largest first."""

    def __init__(self, tasks: Sequence[Task], world: World, now_s: float) -> None:
        self._tasks = tasks
        self._low, self._high = _reach(tasks, world, now_s)
        # What lies beyond the tasks' reach only costs time.
        self._world = world = _part(world, self._low, self._high)
        pieces = (_piece(i, task, world, now_s) for i, task in enumerate(tasks))
        found = [piece for piece in pieces if piece is not None]
        # Largest first: what is laid down late adapts to what was laid down early.
        self._pieces = sorted(found, key=lambda piece: -tasks[piece.index].area)
        self.members = [piece.index for piece in self._pieces]
        areas = np.array([tasks[i].area for i in self.members])
        self._large = int((np.cumsum(areas[::-1])[::-1] > SMALL * areas.sum()).sum())
        self._slots = np.array([piece.slots for piece in self._pieces], dtype=np.float64)
        self._cells = np.array([piece.cells for piece in self._pieces])
        # Half of all slot-seconds are in tasks about as wide as this.
        self._width = float((self._slots * areas).sum() / max(areas.sum(), 1.0))
        self._at: list[tuple[int, int] | None] = [None] * len(found)

    def run(self, slots: NDArray[np.int32], passes: int) -> list[tuple[int, float] | None]:
        """Region and start (s) of each of ``members`` on ``slots``, what they may hold in all.

        None: there was no room left for it. An empty list: they do not compete.
        """
        if not self._pieces:
            return []
        free = np.where(self._world.holes, 0.0, slots[:, self._low : self._high])
        rent, price = self._first_rent(free, passes)
        if not rent.any():
            return []
        unit, stiff = price / max(self._width, 1.0), 1.0
        for n in range(passes):
            part = n / max(1, passes - 1)
            stiff = unit * STIFFNESS[0] * (STIFFNESS[1] / STIFFNESS[0]) ** part
            some = len(self._pieces) if n % EVERY == 0 or n == passes - 1 else self._large
            self._pass(rent + stiff * (self._used() - free), stiff, some)
            step = STEP[0] + (STEP[1] - STEP[0]) * part
            rent = np.maximum(0.0, rent + step * stiff * (self._used() - free))
        self._pass(rent + stiff * (self._used() - free), stiff, len(self._pieces), free)
        world = self._world
        return [None if at is None else (at[0], world.time(at[1])) for at in self._at]

    def _pass(self, slope: Floats, stiff: float, some: int, free: Floats | None = None) -> None:
        """Lay down the first ``some``; ``slope`` is what one more slot costs in each cell.

        With ``free``, which is left with what no one took, each goes where there is room, if
        anywhere. One more slot costs max(0, slope) and makes the slope rise by ``stiff``, so a
        task that makes it rise from a to b pays (max(0, b)**2 - max(0, a)**2) / (2 stiff).
        """
        areas, places = self._world.areas, self._at
        # Twice the stiffness as the unit of cost spares a division of every cell.
        double = 2.0 * stiff
        for n, piece in enumerate(self._pieces[:some]):
            rise, place = stiff * piece.slots, places[n]
            first, last, cells, rows = piece.first, piece.last, piece.cells, piece.rows
            if place is not None:
                slope[place[0], place[1] : place[1] + cells] -= rise
            low, high = slice(first, last + cells), slice(first, last + cells + 1)
            before = slope[:, low] if rows is None else slope[rows, low]
            after = before + rise
            np.maximum(after, 0.0, out=after)
            after *= after
            before = np.maximum(before, 0.0)
            before *= before
            after -= before
            sums = (areas[:, high] if rows is None else areas[rows, high]) * (double * piece.kw)
            sums[:, 1:] += after.cumsum(axis=1)
            costs = sums[:, cells:] - sums[:, :-cells]
            if piece.extra is not None:
                costs += double * piece.extra
            if free is not None:
                left = free[:, low] if rows is None else free[rows, low]
                costs[~free_runs(left >= piece.slots, cells)] = np.inf
            best = int(costs.argmin())
            if costs.item(best) == np.inf:
                places[n] = None
                continue
            row, start = divmod(best, last - first + 1)
            start += first
            region = row if rows is None else rows[row]
            places[n] = (region, start)
            slope[region, start : start + cells] += rise
            if free is not None:
                free[region, start : start + cells] -= piece.slots

    def _used(self) -> Floats:
        """Slots held by all that are laid down (regions x cells)."""
        steps = np.zeros((self._world.regions, self._world.cells + 1))
        down = np.array([at is not None for at in self._at])
        places = np.array([at for at in self._at if at is not None], dtype=np.intp).reshape(-1, 2)
        region, start = places[:, 0], places[:, 1]
        np.add.at(steps, (region, start), self._slots[down])
        np.add.at(steps, (region, start + self._cells[down]), -self._slots[down])
        return np.cumsum(steps, axis=1)[:, :-1]

    def _first_rent(self, free: Floats, steps: int) -> tuple[Floats, float]:
        """Prices of the relaxed problem on a coarser lattice, and that of an ordinary slot-cell."""
        world = self._world
        times = _times(world)
        problem = Relaxed(
            [self._tasks[i] for i in sorted(self.members)],
            world.start_s,
            times * world.step_s,
            _means(world.g_per_kwh, times),
        )
        prices = ascend(problem, _means(free, times), iterations=steps).prices
        fine: Floats = np.repeat(prices / times, times, axis=1)[:, : world.cells]
        return fine, problem.ordinary_price / times


def _reach(tasks: Sequence[Task], world: World, now_s: float) -> tuple[int, int]:
    """The cells that may matter, from one edge of the coarser lattice on."""
    if not tasks:
        return 0, world.cells
    low = max(0, world.at_or_before(max(now_s, min(task.release_s for task in tasks))))
    high = world.at_or_after(min(world.end_s, max(task.deadline_s for task in tasks)))
    low -= low % _times(world)
    return min(low, world.cells - 1), min(max(high, low + 1), world.cells)


def _part(world: World, low: int, high: int) -> World:
    """Those cells only, without their limits."""
    return World(world.time(low), world.step_s, world.g_per_kwh[:, low:high])


def _times(world: World) -> int:
    return max(1, round(COARSE_S / world.step_s))


def _piece(index: int, task: Task, world: World, now_s: float) -> _Piece | None:
    """None for a task that waits for others, pauses, has GPUs, no start on the lattice, or is
    shorter than a cell, all of which it would hold here.
    """
    if task.after or task.pausing is not None or task.gpus:
        return None
    if task.duration_s < world.step_s - INSTANT_S:
        return None
    cells = max(1, int(np.ceil(task.duration_s / world.step_s - INSTANT_S)))
    first = max(0, world.at_or_after(max(task.release_s, now_s)))
    end_s = min(task.deadline_s, world.end_s)
    last = min(world.at_or_before(end_s - task.duration_s), world.cells - cells)
    if last < first:
        return None
    rows = None if task.regions is None else list(task.regions)
    # The lattice counts whole cells; the share of them in which the task runs is what emits.
    share = task.duration_s / (cells * world.step_s)
    extra = _column(task.flat) * task.duration_s + _column(task.once)
    extra = extra + task.delay * world.step_s * np.arange(last - first + 1)
    return _Piece(
        index,
        first,
        last,
        cells,
        task.slots,
        rows,
        task.kw[0] * share if len(task.kw) == 1 else _column(task.kw) * share,
        extra if extra.any() else None,
    )


def _column(figures: tuple[float, ...]) -> Floats:
    return np.array(figures)[:, None]


def _means(rows: Floats, times: int) -> Floats:
    """The mean of every ``times`` cells; the last may be shorter."""
    starts = np.arange(0, rows.shape[1], times)
    sizes = np.diff(np.append(starts, rows.shape[1]))
    found: Floats = np.add.reduceat(rows, starts, axis=1) / sizes
    return found
