"""What really was, and what had been issued of it at each moment, on one grid of cells."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from providers import registry
from providers.series import from_unix
from providers.surroundings import Surroundings
from scheduler.errors import UsageError
from scheduler.simulate.log import moment_s, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from providers.series import Series

FORECAST_COLUMNS = ("issued_utc", "target_utc", "region", "forecast_g_per_kwh")
# A hole no longer than this (s) is filled with the value before it, and said so.
SHORT_HOLE_S = 2 * 3600.0
# Beyond a forecast's horizon stands the mean of the same time of day over so many days before
# (hod7: the best of the simple forecasts that need no fitting).
DAYS_BEFORE = 7
DAY_S = 86400.0


@dataclass(frozen=True)
class Knowledge:
    """Actual intensity of regions x cells (g/kWh, NaN: hole), and forecasts by issue time.

    ``issued`` holds, for each moment of issue (s), the rows of the regions that were told anew:
    region, first cell, values. Empty: the actual values are known beforehand.
    """

    regions: tuple[str, ...]
    start_s: float
    step_s: float
    actual: NDArray[np.float64]
    issued: tuple[tuple[float, tuple[tuple[int, int, NDArray[np.float64]], ...]], ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def end_s(self) -> float:
        """The end of the last cell."""
        return self.start_s + int(self.actual.shape[1]) * self.step_s

    @cached_property
    def moments(self) -> tuple[float, ...]:
        """When anything was issued, in order."""
        return tuple(at for at, _ in self.issued)

    def believed(self, now_s: float) -> NDArray[np.float64]:
        """What was known at ``now_s`` of every cell: regions x cells, NaN where nothing was.

        The past is as it was; ahead stands the newest forecast, and beyond its horizon the
        mean of the same time of day over the week before.
        """
        if not self.issued:
            return self.actual
        cells = self.actual.shape[1]
        now = min(max(int((now_s - self.start_s) // self.step_s), 0), cells)
        known = np.full_like(self.actual, np.nan)
        known[:, :now] = self.actual[:, :now]
        told: set[int] = set()
        day = round(DAY_S / self.step_s)
        for region in range(len(self.regions)):
            known[region, now:] = _by_time_of_day(self.actual[region, :now], day, cells - now)
        for at, rows in reversed(self.issued[: bisect_right(self.moments, now_s)]):
            for region, first, values in rows:
                if region not in told:
                    told.add(region)
                    low, high = max(first, now), min(first + len(values), cells)
                    if low < high:
                        part = values[low - first : high - first]
                        known[region, low:high] = np.where(
                            np.isnan(part), known[region, low:high], part
                        )
            if len(told) == len(self.regions) or at < now_s - DAYS_BEFORE * DAY_S:
                break
        return known


def read(trace: Path, forecast: Path | None, regions: Sequence[str]) -> Knowledge:
    """Read a trace and, where given, a file of forecasts; the first region is home.

    Raises :class:`providers.errors.ProviderError` for a faulty trace and :class:`UsageError`
    for a faulty file of forecasts.
    """
    source = registry.load("intensity", "trace")(
        {"path": str(trace.absolute())}, Surroundings.at(trace.parent)
    )
    names = tuple(dict.fromkeys(regions or source.in_order()))
    series = [source.whole(name) for name in names]
    step = _common_step(series)
    start = min(float(s.starts[0]) for s in series)
    end = max(float(s.ends[-1]) for s in series)
    cells = round((end - start) / step)
    rows, notes = [], []
    for one in series:
        row, filled = _row(one, start, step, cells)
        rows.append(row)
        notes += filled
    made = Knowledge(names, start, step, np.array(rows), notes=tuple(notes))
    if forecast is None:
        return made
    issued = _issues(forecast, made)
    said = f"beyond a forecast's horizon: mean of the same time of day, {DAYS_BEFORE} days before"
    return Knowledge(names, start, step, made.actual, issued, (*notes, said))


def _common_step(series: Sequence[Series]) -> float:
    edges = [np.concatenate((s.starts, s.ends)) for s in series]
    origin = edges[0][0]
    lengths = np.rint(np.concatenate(edges) - origin).astype(np.int64)
    return float(np.gcd.reduce(lengths))


def _row(
    series: Series, start_s: float, step_s: float, cells: int
) -> tuple[NDArray[np.float64], list[str]]:
    """The series on the grid; short holes are filled, and each is told."""
    at = start_s + step_s * (np.arange(cells) + 0.5)
    inside = np.searchsorted(series.starts, at, side="right") - 1
    known = (inside >= 0) & (at < series.ends[np.maximum(inside, 0)])
    row = np.where(known, series.g_per_kwh[np.maximum(inside, 0)], np.nan)
    notes = []
    for low, high in series.gaps(float(series.starts[0]), float(series.ends[-1])):
        if high - low <= SHORT_HOLE_S:
            a, b = round((low - start_s) / step_s), round((high - start_s) / step_s)
            row[a:b] = row[a - 1]
            said = np.datetime64(round(low), "s")
            notes.append(
                f"{series.zone}: {high - low:.0f} s missing at {said}Z hold the value before"
            )
    return row, notes


def _by_time_of_day(past: NDArray[np.float64], day: int, ahead: int) -> NDArray[np.float64]:
    """The mean of each time of day over the last days, repeated; NaN without a day of past."""
    whole = min(len(past) // max(day, 1), DAYS_BEFORE) * day
    if not whole or not ahead:
        return np.full(ahead, np.nan)
    means = past[-whole:].reshape(-1, day).mean(axis=0)
    return np.resize(means, ahead)


def _issues(
    path: Path, grid: Knowledge
) -> tuple[tuple[float, tuple[tuple[int, int, NDArray[np.float64]], ...]], ...]:
    """Forecasts by issue; a target holds until the next one of the same issue."""
    index = {name: i for i, name in enumerate(grid.regions)}
    told: dict[float, dict[int, dict[float, float]]] = {}
    factors: set[str] = set()
    for number, row in rows_of(path, FORECAST_COLUMNS, "a file of forecasts"):
        if row["region"] not in index:
            continue
        try:
            issued, target = moment_s(row["issued_utc"]), moment_s(row["target_utc"])
            value = float(row["forecast_g_per_kwh"])
        except ValueError as e:
            raise UsageError(f"{path}, row {number}: {e}") from e
        if row.get("factors"):
            factors.add(row["factors"])
        if (row.get("factors") or "lifecycle") != "lifecycle":
            continue
        told.setdefault(issued, {}).setdefault(index[row["region"]], {})[target] = value
    if not told:
        raise UsageError(
            f"{path}: no forecast for {', '.join(grid.regions)}: other regions, or only direct "
            "factors"
        )
    targets = [t for rows in told.values() for values in rows.values() for t in values]
    if max(targets) <= grid.start_s - grid.step_s or min(targets) >= grid.end_s:
        raise UsageError(
            f"{path}: its forecasts are for {_day(min(targets))} to {_day(max(targets))}, and "
            f"the trace has {_day(grid.start_s)} to {_day(grid.end_s)}: they do not overlap"
        )
    return tuple(
        (at, tuple(_told(region, values, grid) for region, values in sorted(rows.items())))
        for at, rows in sorted(told.items())
    )


def _day(time_s: float) -> str:
    return f"{from_unix(time_s):%Y-%m-%d}"


def _told(
    region: int, values: dict[float, float], grid: Knowledge
) -> tuple[int, int, NDArray[np.float64]]:
    targets = np.array(sorted(values))
    steps = np.diff(targets)
    step = float(steps.min()) if len(steps) else grid.step_s
    first = round((targets[0] - grid.start_s) / grid.step_s)
    cells = round((targets[-1] + step - targets[0]) / grid.step_s)
    row = np.full(cells, np.nan)
    width = max(1, round(step / grid.step_s))
    for target in targets:
        a = round((target - targets[0]) / grid.step_s)
        row[a : a + width] = values[target]
    return region, first, row
