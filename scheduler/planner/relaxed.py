"""Every task for itself, where slots have a price: exact, and vectorized over all tasks.

The cost of a contiguous run is piecewise linear in its start, so its minimum lies where the run
starts or ends on an edge of a cell, or at an end of the allowed range. Those candidates do not
depend on prices: they are listed once, for all tasks in one ragged array, and each evaluation
is a few gathers from cumulative sums. A pausable task takes its cheapest moments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner import segments
from scheduler.planner.task import INSTANT_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scheduler.planner.task import Task

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

# Of equal candidates the first is taken; equal is what float rounding can make.
TIE = 1e-12


class Relaxed:
    """Tasks on regions x cells of intensity (g/kWh, constant within a cell of ``step_s``)."""

    def __init__(
        self, tasks: Sequence[Task], start_s: float, step_s: float, g_per_kwh: Floats
    ) -> None:
        self._intensity = g_per_kwh
        kinds: dict[tuple[object, bool], list[int]] = {}
        for i, task in enumerate(tasks):
            kinds.setdefault((task.regions, task.pausing is not None), []).append(i)
        self._parts: list[_Windows | _Moments] = []
        for (_, pausable), members in kinds.items():
            made = _Moments if pausable else _Windows
            self._parts.append(
                made([tasks[i] for i in members], np.array(members), start_s, step_s, g_per_kwh)
            )
        emitted = [t.kw[0] / t.slots for t in tasks]
        known = g_per_kwh[np.isfinite(g_per_kwh)]
        # What one slot emits in one cell, for an ordinary task and an ordinary intensity.
        self.ordinary_price = (
            float(np.median(emitted)) * float(known.mean()) * step_s / 3600.0
            if len(emitted) and len(known)
            else 0.0
        )

    def solve(self, prices: Floats) -> tuple[float, Floats]:
        """The sum of each task's lowest cost with rent, and the slots held (regions x cells).

        ``prices`` (regions x cells) are per slot and cell, in the unit of the objective.
        """
        use = np.zeros_like(self._intensity)
        return sum(part.solve(prices, use) for part in self._parts), use

    def best(self, prices: Floats, count: int) -> tuple[Ints, Floats, Floats]:
        """Region, start (s) and cost of the best window of each of ``count`` tasks."""
        regions = np.zeros(count, dtype=np.intp)
        starts, costs = np.zeros(count), np.full(count, np.inf)
        for part in self._parts:
            if isinstance(part, _Windows):
                region, picked, cost = part.pick(prices)
                regions[part.members] = region
                starts[part.members] = part.starts[picked]
                costs[part.members] = cost
        return regions, starts, costs


class _Windows:
    """Tasks that run in one piece, all with the same allowed regions."""

    def __init__(
        self, tasks: list[Task], members: Ints, start_s: float, step_s: float, g_per_kwh: Floats
    ) -> None:
        self.members = members
        self._step_h = step_s / 3600.0
        first = tasks[0].regions
        self._regions = list(range(len(g_per_kwh)) if first is None else first)
        self._kw = _figures([t.kw for t in tasks], len(self._regions)) * self._step_h
        length = np.array([t.duration_s for t in tasks])
        self._slots = np.array([float(t.slots) for t in tasks])
        fixed = _figures([t.flat for t in tasks], len(self._regions)) * length[:, None]
        self._fixed = fixed + _figures([t.once for t in tasks], len(self._regions))
        release = np.array([t.release_s for t in tasks])
        latest = np.array([t.deadline_s for t in tasks]) - length
        latest = np.minimum(latest, start_s + step_s * g_per_kwh.shape[1] - length)
        latest = np.maximum(latest, release)
        self.task, self.starts = _candidates(release, latest, length, start_s, step_s)
        self._firsts = np.flatnonzero(np.append(True, np.diff(self.task) > 0))
        self._counts = np.diff(np.append(self._firsts, len(self.task)))
        cells = g_per_kwh.shape[1]
        self._from = _positions((self.starts - start_s) / step_s, cells)
        self._to = _positions((self.starts + length[self.task] - start_s) / step_s, cells)
        delay = np.array([t.delay for t in tasks])
        waits = self.starts + (length - release)[self.task]
        self._delay = delay[self.task] * waits if delay.any() else None
        self._areas = [_areas(np.nan_to_num(g_per_kwh[k])) for k in self._regions]
        # Windows over a hole are no candidates.
        self._holed = [self._between(_areas(np.isnan(g_per_kwh[k]) * 1.0)) for k in self._regions]

    def solve(self, prices: Floats, use: Floats) -> float:
        """The sum of the lowest costs; adds what is held to ``use``."""
        rows, picked, costs = self.pick(prices)
        for row in np.unique(rows):
            chosen = picked[rows == row]
            slots = self._slots[self.task[chosen]]
            use[row] += _held(self._from, chosen, -slots, use.shape[1])
            use[row] += _held(self._to, chosen, slots, use.shape[1])
        return float(costs[np.isfinite(costs)].sum())

    def pick(self, prices: Floats) -> tuple[Ints, Ints, Floats]:
        """Each task's region, candidate and cost."""
        lowest: Floats | None = None
        where = np.zeros(len(self.task), dtype=np.intp)
        for row, region in enumerate(self._regions):
            cost = self._kw[self.task, row] * self._between(self._areas[row])
            if prices[region].any():
                cost += self._slots[self.task] * self._between(_areas(prices[region]))
            cost += self._fixed[self.task, row]
            cost[self._holed[row] > INSTANT_S] = np.inf
            if lowest is None:
                lowest, where[:] = cost, region
            else:
                lower = cost < lowest
                lowest[lower] = cost[lower]
                where[lower] = region
        assert lowest is not None
        if self._delay is not None:
            lowest += self._delay
        costs = np.minimum.reduceat(lowest, self._firsts)
        bound = np.repeat(costs + TIE * np.abs(costs), self._counts)
        hits = np.flatnonzero(lowest <= bound)
        picked = hits[np.append(True, np.diff(self.task[hits]) > 0)]
        return where[picked], picked, costs

    def _between(self, areas: Floats) -> Floats:
        return _at(areas, self._to) - _at(areas, self._from)


class _Moments:
    """Pausable tasks, pausing for free: never dearer than what pausing really costs."""

    def __init__(
        self, tasks: list[Task], members: Ints, start_s: float, step_s: float, g_per_kwh: Floats
    ) -> None:
        self.members = members
        self._tasks, self._start, self._step = tasks, start_s, step_s
        self._intensity = g_per_kwh

    def solve(self, prices: Floats, use: Floats) -> float:
        """The sum of the lowest costs; adds what is held to ``use``."""
        return sum(self._solve(task, prices, use) for task in self._tasks)

    def _solve(self, task: Task, prices: Floats, use: Floats) -> float:
        cells = self._intensity.shape[1]
        low = max(0, int((task.release_s - self._start) // self._step))
        high = min(cells, -int((self._start - task.deadline_s) // self._step))
        edges = self._start + self._step * np.arange(low, high + 1)
        edges[0] = max(edges[0], task.release_s)
        edges[-1] = min(edges[-1], task.deadline_s)
        best, best_region, best_spans = np.inf, 0, None
        every = range(len(self._intensity)) if task.regions is None else task.regions
        for row, region in enumerate(every):
            kw, flat, once = (_of(x, row) for x in (task.kw, task.flat, task.once))
            rates = self._intensity[region, low:high] * (kw / 3600.0)
            rates = rates + prices[region, low:high] * (task.slots / self._step) + flat
            rates = np.where(np.isnan(rates), np.inf, rates)
            spans = segments.cheapest(edges, rates, task.duration_s)
            if spans is None:
                continue
            cost = segments.cost_of(edges, rates, spans) + once
            if cost < best:
                best, best_region, best_spans = cost, region, spans
        if best_spans is None:
            return 0.0
        for a, b in best_spans:
            edge = np.clip((edges - a) / (b - a), 0.0, 1.0)
            held = np.diff(edge) * (b - a) / self._step
            use[best_region, low:high] += task.slots * held
        return float(best) + task.delay * task.duration_s


def _figures(given: list[tuple[float, ...]], regions: int) -> Floats:
    """Tasks x regions; one figure stands for all."""
    return np.array([f * regions if len(f) == 1 else f for f in given], dtype=np.float64)


def _of(figures: tuple[float, ...], row: int) -> float:
    return figures[0] if len(figures) == 1 else figures[row]


def _candidates(
    release: Floats, latest: Floats, length: Floats, start_s: float, step_s: float
) -> tuple[Ints, Floats]:
    """Task and start (s) of every candidate, by task and time."""
    every = np.arange(len(release))
    tasks, starts = [every, every], [release, latest]
    for offset in (np.zeros_like(length), length):
        low = np.ceil((release + offset - start_s) / step_s)
        high = np.floor((latest + offset - start_s) / step_s)
        counts = np.maximum(0, high - low + 1).astype(np.intp)
        task = np.repeat(every, counts)
        nth = np.arange(len(task)) - np.repeat(np.cumsum(counts) - counts, counts)
        tasks.append(task)
        starts.append(start_s + (low[task] + nth) * step_s - offset[task])
    task, start = np.concatenate(tasks), np.concatenate(starts)
    order = np.lexsort((start, task))
    return task[order], start[order]


def _positions(at: Floats, cells: int) -> tuple[NDArray[np.int32], Floats]:
    """Cell and fraction of it."""
    cell = np.clip(np.floor(at), 0, cells - 1).astype(np.int32)
    return cell, np.clip(at - cell, 0.0, 1.0)


def _areas(heights: Floats) -> Floats:
    """Cumulative sums (n + 1)."""
    sums = np.zeros(len(heights) + 1)
    np.cumsum(heights, out=sums[1:])
    return sums


def _at(areas: Floats, positions: tuple[NDArray[np.int32], Floats]) -> Floats:
    cell, part = positions
    steps = np.diff(areas)
    found: Floats = areas[cell]
    found += part * steps[cell]
    return found


def _held(
    positions: tuple[NDArray[np.int32], Floats], chosen: Ints, slots: Floats, cells: int
) -> Floats:
    """Slots held up to each chosen position, as the mean over each cell."""
    cell, part = positions[0][chosen], positions[1][chosen]
    wholly: Floats = np.bincount(cell, slots, cells).astype(np.float64)
    partly: Floats = np.bincount(cell, slots * part, cells).astype(np.float64)
    partly[:-1] += np.cumsum(wholly[::-1])[::-1][1:]
    return partly
