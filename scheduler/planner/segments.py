"""The cheapest segments of a pausable job in one region: exact for step functions.

Two exact methods. Where pausing is free, the cheapest moments are filled until the work is done
(fractional at most in one step, so no lattice is needed). Where a resume costs time, segments
have a least length or a greatest number, a dynamic program runs over the cells of a lattice:
its states are (time, segments begun, progress made, running or not), its value the lowest cost,
and one step of time is a few vector operations over all states.

On the lattice, durations are rounded up and the last segment is cut where the work is done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Spans = tuple[tuple[float, float], ...]

# Cells of the lattice at most: beyond it the step is coarsened and the plan only near-optimal.
MOST_CELLS = 4096
# Two costs are equal when they differ by less than float rounding can make.
TIE = 1e-9
# Times nearer than this (s) are one: the rounding of Unix times in float64 is 1e-7.
INSTANT_S = 1e-6


@dataclass(frozen=True, slots=True)
class Pausing:
    """What pausing costs a job.

    ``resume_s``: each resume repeats or reloads this many seconds, at the job's power, before
    it makes progress. ``min_run_s``: no segment is shorter, its reload included.
    ``max_segments`` None: as many as pay.
    """

    resume_s: float = 0.0
    min_run_s: float = 0.0
    max_segments: int | None = None

    def __post_init__(self) -> None:
        if self.resume_s < 0 or self.min_run_s < 0 or not (self.max_segments or 1) >= 1:
            raise ValueError(f"no way to pause: {self}")

    @property
    def free(self) -> bool:
        """Whether any moment may be used at no cost of its own."""
        return self.resume_s == 0 and self.min_run_s == 0 and self.max_segments is None


FREE = Pausing()


def cheapest(
    edges: NDArray[np.float64], rates: NDArray[np.float64], need_s: float, pausing: Pausing = FREE
) -> Spans | None:
    """The cheapest spans with ``need_s`` seconds of progress; None where they do not fit.

    ``edges`` (n + 1, rising, s) bound n cells with a cost of ``rates`` (n) a second, infinite
    where the job may not run. Ties go to earlier cells.
    """
    if need_s > edges[-1] - edges[0] + INSTANT_S:
        return None
    if pausing.free:
        return _fill(edges, rates, need_s)
    return _on_lattice(edges, rates, need_s, pausing)


def cost_of(edges: NDArray[np.float64], rates: NDArray[np.float64], spans: Spans) -> float:
    """The integral of ``rates`` over ``spans``."""
    starts, ends = edges[:-1], edges[1:]
    total = 0.0
    for a, b in spans:
        first = max(0, int(np.searchsorted(ends, a, side="right")))
        last = int(np.searchsorted(starts, b, side="left"))
        width = np.minimum(ends[first:last], b) - np.maximum(starts[first:last], a)
        total += float(width @ rates[first:last])
    return total


def _fill(edges: NDArray[np.float64], rates: NDArray[np.float64], need_s: float) -> Spans | None:
    """The cheapest cells, the last of them in part."""
    widths = np.diff(edges)
    order = np.argsort(rates, kind="stable")
    order = order[: int(np.searchsorted(rates[order], np.inf))]
    done = np.cumsum(widths[order])
    if not len(done) or done[-1] < need_s - INSTANT_S:
        return None
    count = int(np.searchsorted(done, need_s - INSTANT_S)) + 1
    chosen = np.sort(order[:count])
    partial = int(order[count - 1])
    spare = max(0.0, float(done[count - 1]) - need_s)
    return _merge(edges, chosen, partial, spare)


def _merge(
    edges: NDArray[np.float64], chosen: NDArray[np.intp], partial: int, spare_s: float
) -> Spans:
    """Cells joined to spans; the partial cell leaves out its end, or its start if that joins."""
    at = int(np.searchsorted(chosen, partial))
    follows = at > 0 and chosen[at - 1] == partial - 1
    leads = at + 1 < len(chosen) and chosen[at + 1] == partial + 1
    starts, ends = edges[chosen].copy(), edges[chosen + 1].copy()
    if leads and not follows:
        starts[at] += spare_s
    else:
        ends[at] -= spare_s
    breaks = np.flatnonzero(starts[1:] - ends[:-1] > INSTANT_S)
    firsts, lasts = np.append(0, breaks + 1), np.append(breaks, len(chosen) - 1)
    return tuple((float(starts[i]), float(ends[j])) for i, j in zip(firsts, lasts, strict=True))


def _on_lattice(
    edges: NDArray[np.float64], rates: NDArray[np.float64], need_s: float, pausing: Pausing
) -> Spans | None:
    step = _step(edges, need_s, pausing)
    first = math.ceil((edges[0] - INSTANT_S) / step)
    cells = math.floor((edges[-1] + INSTANT_S) / step) - first
    whole = math.ceil(need_s / step - INSTANT_S)
    if cells < whole:
        return None
    times = step * (first + np.arange(cells + 1))
    cost, barred = _cells(edges, rates, times)
    reload = math.ceil(pausing.resume_s / step - INSTANT_S)
    # A job shorter than the least segment is one segment.
    least = min(math.ceil(pausing.min_run_s / step - INSTANT_S), whole)
    lengths = _Lengths(max(1, least), max(1, least, reload + 1), reload)
    # Without a limit there are far fewer states; a plan that keeps to it anyway is the best.
    runs = _program(cost, barred, whole, lengths, None)
    if runs is not None and len(runs) > (pausing.max_segments or len(runs)):
        runs = _program(cost, barred, whole, lengths, pausing.max_segments)
    if runs is None:
        return None
    spans = [(float(times[a]), float(times[b])) for a, b in runs]
    # What rounding added is cut from the end, where the work is done earlier.
    begun, ended = spans[-1]
    extra = sum(b - a for a, b in spans) - need_s - pausing.resume_s * (len(spans) - 1)
    spans[-1] = (begun, max(ended - extra, begun + INSTANT_S))
    return tuple(spans)


def _step(edges: NDArray[np.float64], need_s: float, pausing: Pausing) -> float:
    """The widest step on which every edge and length lies; coarser where that is too fine."""
    span = float(edges[-1] - edges[0])
    inner = edges[1:-1] if len(edges) > 2 else edges
    numbers = [*np.rint(inner).astype(int).tolist(), round(need_s)]
    numbers += [round(pausing.resume_s), round(pausing.min_run_s)]
    step = float(math.gcd(*numbers, *(round(e) for e in edges[[0, -1]]))) or 1.0
    if span / step > MOST_CELLS:
        # The ends of the range may fall within a cell, lengths are rounded up.
        step = float(math.gcd(*(round(e) for e in inner))) or 1.0
        for parts in (60, 30, 20, 15, 12, 10, 6, 5, 4, 3, 2):
            if step % parts == 0 and span / (step / parts) <= MOST_CELLS:
                return step / parts
    return max(step, span / MOST_CELLS)


def _cells(
    edges: NDArray[np.float64], rates: NDArray[np.float64], times: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cost of each whole cell of the lattice, and whether the job may not run in it."""
    infinite = ~np.isfinite(rates)
    areas = np.append(0.0, np.cumsum(np.where(infinite, 0.0, rates) * np.diff(edges)))
    closed = np.append(0.0, np.cumsum(infinite * np.diff(edges)))
    cost = np.diff(np.interp(times, edges, areas))
    return cost, np.diff(np.interp(times, edges, closed)) > INSTANT_S


@dataclass(frozen=True, slots=True)
class _Lengths:
    """In cells: the first segment, a resumed one, and what of the latter is reload."""

    least: int
    again: int
    reload: int


def _program(
    cost: NDArray[np.float64],
    barred: NDArray[np.bool_],
    whole: int,
    lengths: _Lengths,
    most: int | None,
) -> list[tuple[int, int]] | None:
    """Cells [a, b) of the cheapest segments with ``whole`` cells of progress.

    States are layers x progress, layer k with k segments begun before the last one; without
    ``most`` the second layer holds every job that was resumed, however often.
    """
    layers = 2 if most is None else min(most, whole)
    areas = np.append(0.0, np.cumsum(np.where(barred, 0.0, cost)))
    closed = np.append(0, np.cumsum(barred))
    shape = (layers, whole + 1)
    on, off = np.full(shape, np.inf), np.full(shape, np.inf)
    past = [off]
    # The choices made: a segment began with its least length, it paused, it had paused before.
    begun, paused, resumed = (np.zeros((len(cost) + 1, *shape), dtype=bool) for _ in range(3))
    gain = lengths.again - lengths.reload
    for t in range(1, len(cost) + 1):
        further = np.full(shape, np.inf)
        if not barred[t - 1]:
            np.add(on[:, :-1], cost[t - 1], out=further[:, 1:])
        fresh = np.full(shape, np.inf)
        j = t - lengths.least
        if j >= 0 and closed[t] == closed[j]:
            fresh[0, lengths.least] = areas[t] - areas[j]
        j = t - lengths.again
        if layers > 1 and j >= 0 and gain <= whole and closed[t] == closed[j]:
            before = past[j][:-1]
            if most is None:
                resumed[t, 1, gain:] = past[j][1, :-gain] < before[0, :-gain]
                before = past[j].min(axis=0, keepdims=True)
            fresh[1:, gain:] = before[:, :-gain] + (areas[t] - areas[j])
        begun[t] = fresh < further
        on = np.minimum(further, fresh)
        paused[t] = on < off
        off = np.minimum(off, on)
        past.append(off)
        if t >= lengths.again:
            past[t - lengths.again] = off[:0]  # no longer looked at
    lowest = off[:, whole].min()
    if not np.isfinite(lowest):
        return None
    layer = int((off[:, whole] <= lowest + TIE * abs(lowest)).argmax())
    return _walk(begun, paused, resumed, layer, whole, lengths)


def _walk(
    begun: NDArray[np.bool_],
    paused: NDArray[np.bool_],
    resumed: NDArray[np.bool_],
    layer: int,
    progress: int,
    lengths: _Lengths,
) -> list[tuple[int, int]]:
    """Back from the end along the choices made."""
    runs: list[tuple[int, int]] = []
    t = len(begun) - 1
    while True:
        while not paused[t, layer, progress]:
            t -= 1
        end = t
        while not begun[t, layer, progress]:
            t, progress = t - 1, progress - 1
        if layer == 0:
            runs.append((t - lengths.least, end))
            return runs[::-1]
        layer -= 0 if resumed[t, layer, progress] else 1
        t, progress = t - lengths.again, progress - lengths.again + lengths.reload
        runs.append((t, end))
