"""The cells of time that a replay counts in, and a series put on them.

The cells are the finest step that all stamps have in common, where that is not much finer than the
rows; else they are as long as a row usually holds, with the mean over time in each, so that the
cost of a replay follows the number of rows and not their finest difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.intensity.stamps import JITTER, ROUND_S, usual_step
from providers.series import from_unix, means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from providers.series import Series

# So many cells a row are fine enough: quarters of an hour beside hours, hours beside half hours
# with an offset.
CELLS_A_ROW = 4
# A cell of which less than this share is known has no mean.
LEAST_KNOWN = 0.5
# A hole no longer than this (s) is filled with the value before it, and said so.
SHORT_HOLE_S = 2 * 3600.0
# So many holes of a zone are named one by one.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """``cells`` of ``step_s`` from ``start_s`` (Unix seconds) on."""

    start_s: float
    step_s: float
    cells: int

    def cut(self, start_s: float, end_s: float) -> tuple[int, Grid]:
        """The cells within which ``[start, end)`` lies, and the first one's index.

        A stamp within :data:`~providers.intensity.stamps.JITTER` of a line is on it.
        """
        first = math.floor((start_s - self.start_s) / self.step_s + JITTER)
        last = math.ceil((end_s - self.start_s) / self.step_s - JITTER)
        first, last = (min(max(n, 0), self.cells) for n in (first, last))
        return first, Grid(self.start_s + first * self.step_s, self.step_s, last - first)


def grid_of(series: Sequence[Series]) -> tuple[Grid, tuple[str, ...]]:
    """The cells for all of the series, and what is to be said of them."""
    start = min(float(s.starts[0]) for s in series)
    end = max(float(s.ends[-1]) for s in series)
    longest = max(series, key=len)
    widths = longest.ends - longest.starts
    fewest_s = float(widths.sum()) / (CELLS_A_ROW * len(longest))
    exact = _common_step(series)
    if exact is not None and exact >= fewest_s:
        return Grid(start, exact, round((end - start) / exact)), ()
    step = _round_step(max(usual_step(widths), fewest_s))
    first, last = np.floor(start / step), np.ceil(end / step)
    said = (
        f"the trace's time stamps have no common step near that of its rows: cells of {step:g} s "
        "hold the mean over time"
    )
    return Grid(float(first * step), step, int(last - first)), (said,)


def on_grid(series: Series, grid: Grid) -> NDArray[np.float64]:
    """The series' value of each cell, its mean where values change within cells; NaN in holes."""
    edges = np.concatenate((series.starts, series.ends))
    if np.any((edges - grid.start_s) % grid.step_s):
        return means(series, grid.start_s, grid.step_s, grid.cells, LEAST_KNOWN)
    at = grid.start_s + grid.step_s * (np.arange(grid.cells) + 0.5)
    inside = np.searchsorted(series.starts, at, side="right") - 1
    known = (inside >= 0) & (at < series.ends[np.maximum(inside, 0)])
    return np.where(known, series.g_per_kwh[np.maximum(inside, 0)], np.nan)


def fill_short_holes(zone: str, row: NDArray[np.float64], grid: Grid) -> tuple[str, ...]:
    """Fill the short holes of a row in place; what is said of them."""
    steps = np.diff(np.concatenate(([0], np.isnan(row).astype(np.int8), [0])))
    holes = zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True)
    short = [
        (int(a), (b - a) * grid.step_s)
        for a, b in holes
        if a > 0 and b < len(row) and (b - a) * grid.step_s <= SHORT_HOLE_S
    ]
    for a, length_s in short:
        row[a : a + round(length_s / grid.step_s)] = row[a - 1]
    if len(short) > NAMED:
        longest = max(length_s for _, length_s in short)
        return (f"{zone}: {len(short)} holes of {longest:.0f} s at most hold the value before",)
    return tuple(
        f"{zone}: {length_s:.0f} s missing at {_iso(grid.start_s + a * grid.step_s)} hold the "
        "value before"
        for a, length_s in short
    )


def _common_step(series: Sequence[Series]) -> float | None:
    """The widest step of whole seconds that all stamps lie on; None where there is none."""
    edges = np.concatenate([part for s in series for part in (s.starts, s.ends)])
    lengths = edges - edges[0]
    whole = np.rint(lengths)
    step = int(np.gcd.reduce(whole.astype(np.int64)))
    return float(step) if step and np.array_equal(whole, lengths) else None


def _round_step(step_s: float) -> float:
    """The shortest round step that is not shorter by more than stamps jitter."""
    fitting = (r for r in reversed(ROUND_S) if r * (1 + JITTER) >= step_s)
    return next(fitting, ROUND_S[0] * np.ceil(step_s / ROUND_S[0] - JITTER))


def _iso(time_s: float) -> str:
    return f"{from_unix(time_s):%Y-%m-%dT%H:%M:%SZ}"
