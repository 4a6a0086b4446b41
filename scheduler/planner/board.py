"""Who holds what, where and when: the free capacity of a world, and the cheapest place in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner import segments
from scheduler.planner.ledger import Ledger
from scheduler.planner.task import COARSEST_S, INSTANT_S, Placed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scheduler.planner.task import Task, World

# Two costs are equal when they differ by less than float rounding can make.
TIE = 1e-9
# So many places between what is held are looked at, the likeliest first, where another is known.
TRIES = 2


class Board:
    """Capacity left of a world, and the cheapest or soonest place in it.

    Starts are the points of the lattice, the task's own release, and the moments at which what
    is held ends or begins, so that one task follows another without a gap. Capacity and costs
    are exact, whatever the lengths of tasks.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._ledger = Ledger(world)
        self._holed = bool(world.holes.any())

    def see(self, world: World) -> None:
        """Another forecast for the same lattice; what is held stays held."""
        self.world = world
        self._holed = bool(world.holes.any())

    def slots(self) -> NDArray[np.int32] | None:
        """The least left in each cell (regions x cells), not to be written to; None: no limit."""
        return self._ledger.left[0]

    def hold(self, task: Task, placed: Placed, *, times: int = 1) -> None:
        """Take the capacity of a placed task; ``times`` -1 gives it back."""
        self.take(placed.region, placed.spans, task.slots, task.gpus, times=times)

    def take(
        self, region: int, spans: segments.Spans, slots: int, gpus: int, *, times: int = 1
    ) -> None:
        """Take slots and GPUs of a region over ``spans``; ``times`` -1 gives them back."""
        for a, b in spans:
            self._ledger.hold(region, a, b, (slots, gpus), times)

    def lacking(self) -> NDArray[np.int64]:
        """How much more is held of slots and GPUs than there is, by region and cell."""
        lacks = [
            np.maximum(0, -left.astype(np.int64)) for left in self._ledger.left if left is not None
        ]
        return np.array(lacks)

    def release(self, task: Task, placed: Placed) -> None:
        """Give the capacity of a placed task back."""
        self.hold(task, placed, times=-1)

    def fits(self, task: Task, placed: Placed) -> bool:
        """Whether what a place needs is free, and the intensity there known."""
        for a, b in placed.spans:
            low, high = self._touched(a, b)
            if self.world.holes[placed.region, max(low, 0) : high].any():
                return False
            if not self._ledger.fits(placed.region, a, b, (task.slots, task.gpus)):
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

    def first_done(self, task: Task, earliest_s: float) -> Placed | None:
        """The earliest end from a start at ``earliest_s`` on; one that pauses may pause for it."""
        whole = self.soonest(task, earliest_s)
        if task.pausing is None or (whole and whole.start_s <= earliest_s + INSTANT_S):
            return whole
        latest_s = self.world.end_s if whole is None else whole.end_s
        parts = self._segments(task, earliest_s, latest_s, sooner=True)
        if parts is None or (whole is not None and whole.end_s <= parts.end_s + INSTANT_S):
            return whole
        return parts

    def soonest(self, task: Task, earliest_s: float) -> Placed | None:
        """The earliest start of a run in one piece from ``earliest_s`` on, of equal ones the first
        region.

        Where only holes in the intensity are in the way, it runs in them.
        """
        found = self._soonest(task, earliest_s, holes=False)
        return found or (self._soonest(task, earliest_s, holes=True) if self._holed else None)

    def _soonest(self, task: Task, earliest_s: float, *, holes: bool) -> Placed | None:
        found = self._soonest_cell(task, earliest_s, holes=holes)
        if self._ledger.whole or (found is not None and found.start_s <= earliest_s + INSTANT_S):
            return found
        # A part of a cell may be free before.
        until_s = self.world.end_s if found is None else found.end_s
        low = max(0, self.world.at_or_before(earliest_s))
        high = min(self.world.cells, self.world.at_or_after(until_s))
        barred = self._barred(task, low, high, holes=holes)
        chances = np.argwhere(self._chances(task, barred, low, holes=holes).T)
        for k, row in chances.tolist():
            if found is not None and found.start_s <= self.world.time(low + k):
                break
            for begin, _ in self._between(task, row, barred, low, k, earliest_s, until_s):
                if found is None or begin < found.start_s - INSTANT_S:
                    found = self._placed(task, row, begin)
        return found

    def _soonest_cell(self, task: Task, earliest_s: float, *, holes: bool) -> Placed | None:
        """The soonest place of which every cell that it touches is free."""
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
        """Allowed regions x cells in not all of which the task can run; ``holes``: where it may."""
        rows = self._rows(task)
        barred = self._ledger.barred(rows, low, high, (task.slots, task.gpus))
        return barred if holes else barred | self.world.holes[rows, low:high]

    def _chances(
        self, task: Task, barred: NDArray[np.bool_], low: int, *, holes: bool = False
    ) -> NDArray[np.bool_]:
        """Rows x cells from ``low`` on in which a start may be possible though no start at their
        beginning is: of the first cell or the last one a part is held.
        """
        whole, cells = int(task.duration_s / self.world.step_s + INSTANT_S), barred.shape[1]
        if self._ledger.whole or cells <= whole:
            return np.zeros((len(barred), 0), dtype=bool)
        open_ = ~barred | self._partly(task, low, low + cells, holes=holes)
        first, last = slice(0, cells - whole), slice(whole, cells)
        found = open_[:, first] & open_[:, last] & (barred[:, first] | barred[:, last])
        if whole > 1 and found.any():
            found &= free_runs(~barred[:, 1:], whole - 1)[:, first]
        return found

    def _partly(self, task: Task, low: int, high: int, *, holes: bool) -> NDArray[np.bool_]:
        """Allowed regions x cells of which a part may be free though another is held."""
        rows = self._rows(task)
        partly = self._ledger.partly(rows, low, high)
        return partly if holes or not self._holed else partly & ~self.world.holes[rows, low:high]

    def _between(
        self,
        task: Task,
        row: int,
        barred: NDArray[np.bool_],
        low: int,
        k: int,
        earliest_s: float,
        end_s: float,
    ) -> list[tuple[float, float]]:
        """From when to when the task can start about the ``k``-th cell from ``low`` on."""
        reach = k + int(task.duration_s / self.world.step_s + INSTANT_S) + 2
        found = []
        for a, b in self._gaps(task, row, barred[row, k:reach], low + k):
            begin, latest = max(a, earliest_s), min(b, end_s) - task.duration_s
            if latest >= begin - INSTANT_S:
                found.append((begin, max(begin, latest)))
        return found

    def _gaps(
        self, task: Task, row: int, barred: NDArray[np.bool_], low: int
    ) -> list[tuple[float, float]]:
        """Where the task can run in a region, exactly."""
        return self._ledger.gaps(self._region(task, row), low, barred, (task.slots, task.gpus))

    def _window(self, task: Task, earliest_s: float, end_s: float) -> Placed | None:
        world, step = self.world, self.world.step_s
        rows, cells, length = self._rows(task), self._length(task), task.duration_s / step
        first = max(0, world.at_or_after(earliest_s))
        last = min(world.at_or_before(end_s - task.duration_s), world.cells - cells)
        low = max(0, world.at_or_before(earliest_s))
        high = min(world.cells, max(last + cells, world.at_or_after(end_s)))
        barred = self._barred(task, low, high)
        chances = self._chances(task, barred, low)
        best, lowest = None, np.zeros((len(barred), 0))
        if first > low or last < first:
            best = self._exactly(task, earliest_s, ~barred, low)
        if last >= first:
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
            free = np.where(starts, cost, np.inf)
            least = free.min(axis=0)
            bound = float(least.min())
            if bound < np.inf:
                s = int((least <= bound + TIE * abs(bound)).argmax())
                if best is None or float(least[s]) < best.cost - TIE * abs(best.cost):
                    row = int(free[:, s].argmin())
                    best = self._placed(task, row, world.time(first + s))
            lowest = cost
        if not chances.any():
            return best
        return self._squeezed(
            task, chances, lowest, first - low, barred, low, earliest_s, end_s, best
        )

    def _squeezed(
        self,
        task: Task,
        chances: NDArray[np.bool_],
        cost: NDArray[np.float64],
        skipped: int,
        barred: NDArray[np.bool_],
        low: int,
        earliest_s: float,
        end_s: float,
        best: Placed | None,
    ) -> Placed | None:
        """A place between what is held, where that is cheaper than the best at a cell's beginning.

        ``cost`` is that of a start at each cell's beginning, from the ``skipped``-th on. What a
        start within a cell costs is taken to lie between that of its two ends.
        """
        about = np.full(chances.shape, -np.inf)
        known = min(cost.shape[1], chances.shape[1] - skipped)
        if known > 0:
            after = np.append(cost[:, 1:], cost[:, -1:], axis=1)
            about[:, skipped : skipped + known] = np.minimum(cost, after)[:, :known]
            about[:, skipped + known :] = np.inf
        about[~chances] = np.inf
        limit = np.inf if best is None else best.cost + TIE * abs(best.cost)
        likely = np.argwhere((about <= limit).T & chances.T)
        order = np.argsort(about.T[likely[:, 0], likely[:, 1]], kind="stable")
        for tries, (k, row) in enumerate(likely[order].tolist()):
            if best is not None and (
                tries >= TRIES or about[row, k] > best.cost + TIE * abs(best.cost)
            ):
                break
            point = self.world.time(low + k)
            for begin, latest in self._between(task, row, barred, low, k, earliest_s, end_s):
                for at in {begin, latest, min(max(begin, point), latest)}:
                    there = self._placed(task, row, at)
                    if best is None or _before(there, best):
                        best = there
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

    def _segments(
        self, task: Task, earliest_s: float, end_s: float, *, sooner: bool = False
    ) -> Placed | None:
        """The cheapest segments of each region, and of these the cheapest.

        ``sooner``: those that end first instead, in more than one piece.
        """
        assert task.pausing is not None
        world = self.world
        low = max(0, world.at_or_before(earliest_s))
        high = min(world.cells, world.at_or_after(end_s))
        edges = world.start_s + world.step_s * np.arange(low, high + 1, dtype=np.float64)
        barred = self._barred(task, low, high)
        partly = barred & self._partly(task, low, high, holes=False)
        best = None if sooner else self._window(task, earliest_s, end_s)
        for row in range(len(barred)):
            region, at, shut, of = self._region(task, row), edges, barred[row], slice(None)
            if partly[row].any():
                gaps = np.array(self._gaps(task, row, barred[row], low)).reshape(-1, 2)
                at = np.unique(np.concatenate([edges, gaps.ravel()]))
                middle = (at[:-1] + at[1:]) / 2
                gap = np.searchsorted(gaps[:, 0], middle) - 1
                shut = (gap < 0) | (middle > np.append(gaps[:, 1], -np.inf)[gap])
                of = ((middle - edges[0]) / world.step_s).astype(np.intp)
            rates = world.g_per_kwh[region, low:high] * (_of(task.kw, row) / 3600.0)
            rates = np.where(shut, np.inf, (rates + _of(task.flat, row))[of])
            if sooner:
                rates = np.where(shut, np.inf, np.arange(len(shut)) * 1.0)
            inside = np.clip(at, earliest_s, end_s)
            keep = np.diff(inside) > 0
            inside = np.append(inside[:-1][keep], inside[-1])
            step = min(world.step_s, COARSEST_S)
            spans = segments.cheapest(inside, rates[keep], task.duration_s, task.pausing, step)
            if spans is not None:
                found = self.priced(task, region, spans)
                if best is None or (
                    found.end_s < best.end_s - INSTANT_S
                    if sooner
                    else found.cost < best.cost - TIE * abs(best.cost)
                ):
                    best = found
        return best


def _before(one: Placed, other: Placed) -> bool:
    """Whether it is cheaper, or as cheap and earlier."""
    margin = TIE * abs(other.cost)
    if one.cost < other.cost - margin:
        return True
    return one.cost <= other.cost + margin and one.start_s < other.start_s - INSTANT_S


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
