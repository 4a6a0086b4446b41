"""The cheapest segments of a pausable job in one region: exact for step functions.

Two exact methods. Where pausing is free, the cheapest moments are filled until the work is done
(fractional at most in one step, so no lattice is needed). Where a resume costs time, segments
have a least length or a greatest number, a dynamic program runs over the cells of a lattice:
its states are (progress made, idle time, segments begun, running or not), its value the lowest
cost, and one cell of progress is a few vector operations over all other states.

On the lattice, durations are rounded up and the last segment is cut where the work is done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.arrays import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Spans = tuple[tuple[float, float], ...]

# Cells of the lattice at most: beyond it the step is coarsened and the plan only near-optimal.
# Eight days of 5 minutes, more than any forecast here; the time taken grows with its square.
MOST_CELLS = 2304
# A step finer than need be may have so many.
FINE_CELLS = 1152
PARTS = (60, 30, 20, 15, 12, 10, 6, 5, 4, 3, 2, 1)
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
    edges: NDArray[np.float64],
    rates: NDArray[np.float64],
    need_s: float,
    pausing: Pausing = FREE,
    step_s: float | None = None,
    *,
    held: NDArray[np.float64] | None = None,
    stopped: bool = False,
) -> Spans | None:
    """The cheapest spans with ``need_s`` seconds of progress; None where they do not fit.

    ``edges`` (n + 1, rising, s) bound n cells with a cost of ``rates`` (n) a second, infinite
    where the job may not run. Ties go to earlier cells. ``step_s`` is the lattice's where
    pausing is not free; None: as fine as edges and lengths need, within :data:`MOST_CELLS`.
    ``held`` (n) is what a second of pause costs in each cell for a job that goes on holding its
    hardware; for one that is ``stopped`` already the wait for its first span costs that as well.
    """
    if need_s > edges[-1] - edges[0] + INSTANT_S:
        return None
    if pausing.free and held is None:
        return _fill(edges, rates, need_s)
    step = step_s or _step(edges, need_s, pausing)
    return _on_lattice(edges, rates, need_s, pausing, step, held, stopped=stopped)


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
    widths = edges[1:] - edges[:-1]
    order = rates.argsort(kind="stable")
    if rates[order[-1]] == np.inf:
        order = order[: int(rates[order].searchsorted(np.inf))]
    done = widths[order].cumsum()
    if not len(done) or done[-1] < need_s - INSTANT_S:
        return None
    count = int(done.searchsorted(need_s - INSTANT_S)) + 1
    chosen = order[:count].copy()
    chosen.sort()
    partial = int(order[count - 1])
    spare = max(0.0, float(done[count - 1]) - need_s)
    return _merge(edges, chosen, partial, spare)


def _merge(
    edges: NDArray[np.float64], chosen: NDArray[np.intp], partial: int, spare_s: float
) -> Spans:
    """Cells joined to spans; the partial cell leaves out its end, or its start if that joins."""
    at = int(chosen.searchsorted(partial))
    follows = at > 0 and chosen[at - 1] == partial - 1
    leads = at + 1 < len(chosen) and chosen[at + 1] == partial + 1
    starts, ends = edges[chosen], edges[chosen + 1]
    if leads and not follows:
        starts[at] += spare_s
    else:
        ends[at] -= spare_s
    breaks = (starts[1:] - ends[:-1] > INSTANT_S).nonzero()[0]
    firsts, lasts = starts[[0, *breaks + 1]], ends[[*breaks, len(chosen) - 1]]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _on_lattice(
    edges: NDArray[np.float64],
    rates: NDArray[np.float64],
    need_s: float,
    pausing: Pausing,
    step: float,
    held: NDArray[np.float64] | None,
    *,
    stopped: bool,
) -> Spans | None:
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
    waits = None
    if held is not None:
        waits = _Waits(np.append(0.0, np.cumsum(_cells(edges, held, times)[0])), stopped)
    # Without a limit there are far fewer states; a plan that keeps to it anyway is the best.
    runs = _program(cost, barred, whole, lengths, None, waits)
    if runs is not None and len(runs) > (pausing.max_segments or len(runs)):
        runs = _program(cost, barred, whole, lengths, pausing.max_segments, waits)
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
    inner = (edges[1:-1] if len(edges) > 2 else edges).round().astype(int).tolist()
    lengths = [round(x) for x in (need_s, pausing.resume_s, pausing.min_run_s)]
    ends = [round(e) for e in edges[[0, -1]]]
    exact = float(math.gcd(*inner, *lengths, *ends)) or 1.0
    if span / exact <= MOST_CELLS:
        return exact
    # Else the ends of the range fall within a cell, or lengths are rounded up: the finer the less.
    common = [float(math.gcd(*numbers)) or 1.0 for numbers in ((*inner, *lengths), inner)]
    fine = [step / parts for step in common for parts in PARTS if step % parts == 0]
    return next((step for step in fine if span / step <= FINE_CELLS), span / MOST_CELLS)


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
class _Waits:
    """What not running between segments costs up to each moment; ``stopped``: before them too."""

    until: NDArray[np.float64]
    stopped: bool


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
    waits: _Waits | None,
) -> list[tuple[int, int]] | None:
    """Cells [a, b) of the cheapest segments with ``whole`` cells of progress.

    States are layers x idle cells, one row of them for each cell of progress: at time t with
    progress p, t - p cells were not progress. Layer k has k segments begun before the last one;
    without ``most`` the second layer holds every job that was resumed, however often.
    """
    layers = 2 if most is None else min(most, whole)
    areas = np.append(0.0, np.cumsum(np.where(barred, 0.0, cost)))
    closed = np.append(0, np.cumsum(barred))
    further = np.where(barred, np.inf, cost)
    first, again = (_stretches(areas, closed, n) for n in (lengths.least, lengths.again))
    if waits is not None and waits.stopped:
        first = first + waits.until[: len(first)]
    reload, gain = lengths.reload, lengths.again - lengths.reload
    idle = len(cost) - whole + 1
    shape = (layers, idle)
    on, off = np.full(shape, np.inf), np.full(shape, np.inf)
    past = [off if most is None else off[:-1]]
    # The choices made: a segment began with its least length, it paused, it had paused before.
    begun, paused, resumed = (np.zeros((whole + 1, *shape), dtype=bool) for _ in range(3))
    for p in range(1, whole + 1):
        on += further[p - 1 : p - 1 + idle]
        if p == lengths.least:
            fresh = first[:idle]
            np.less(fresh, on[0], out=begun[p, 0])
            np.minimum(on[0], fresh, out=on[0])
        if layers > 1 and p >= gain and reload < idle:
            before = past[p - gain][:, : idle - reload]
            if most is None:
                np.less(before[1], before[0], out=resumed[p, 1, reload:])
                before = before.min(axis=0, keepdims=True)
            fresh = before + again[p - gain : p - gain + idle - reload]
            np.less(fresh, on[1:, reload:], out=begun[p, 1:, reload:])
            np.minimum(on[1:, reload:], fresh, out=on[1:, reload:])
        # Who is in the last layer resumes no more: only at the end does it matter that it paused.
        rows = slice(layers if most is None or p == whole else layers - 1)
        # After the last segment nothing is held.
        held = None if waits is None or p == whole else waits.until[p : p + idle]
        left = on[rows] if held is None else on[rows] - held
        off = np.minimum.accumulate(left, axis=1)
        np.less(left[:, 1:], off[:, :-1], out=paused[p, rows, 1:])
        off = off if held is None else off + held
        paused[p, rows, 0] = np.isfinite(on[rows, 0])
        past.append(off)
        if p >= gain:
            past[p - gain] = off[:0]  # no longer looked at
    lowest = off[:, -1].min()
    if not np.isfinite(lowest):
        return None
    layer = int((off[:, -1] <= lowest + TIE * abs(lowest)).argmax())
    return _walk(begun, paused, resumed, layer, lengths)


def _stretches(
    areas: NDArray[np.float64], closed: NDArray[np.int64], cells: int
) -> NDArray[np.float64]:
    """What so many cells from each cell on cost together, infinite over a barred one."""
    low, high = max(0, len(areas) - cells), min(cells, len(areas))
    return np.where(closed[high:] == closed[:low], areas[high:] - areas[:low], np.inf)


def _walk(
    begun: NDArray[np.bool_],
    paused: NDArray[np.bool_],
    resumed: NDArray[np.bool_],
    layer: int,
    lengths: _Lengths,
) -> list[tuple[int, int]]:
    """Back from the end along the choices made."""
    runs: list[tuple[int, int]] = []
    progress, idle = len(begun) - 1, begun.shape[2] - 1
    while True:
        while not paused[progress, layer, idle]:
            idle -= 1
        end = progress + idle
        while not begun[progress, layer, idle]:
            progress -= 1
        if layer == 0:
            runs.append((progress + idle - lengths.least, end))
            return runs[::-1]
        layer -= 0 if resumed[progress, layer, idle] else 1
        progress, idle = progress - lengths.again + lengths.reload, idle - lengths.reload
        runs.append((progress + idle, end))
