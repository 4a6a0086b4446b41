"""What really was, and what had been issued of it at each moment, on one grid of cells."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from providers import registry
from providers.arrays import np
from providers.errors import SettingsError
from providers.intensity import stamps
from providers.intensity.points import impossible
from providers.series import Series, from_unix
from providers.surroundings import Surroundings
from scheduler.errors import UsageError
from scheduler.simulate.grid import Grid, fill_short_holes, grid_of, on_grid
from scheduler.simulate.log import moment_s, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from providers.series import Factors

FORECAST_COLUMNS = ("issued_utc", "target_utc", "region", "forecast_g_per_kwh")
# Beyond a forecast's horizon stands the mean of the same time of day over so many days before
# (hod7: the best of the simple forecasts that need no fitting).
DAYS_BEFORE = 7
DAY_S = 86400.0
# The moment of issue (Unix seconds), and of each region that it is for the first cell and values.
Issue = tuple[float, tuple[tuple[int, int, "NDArray[np.float64]"], ...]]


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
    issued: tuple[Issue, ...] = ()
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


def read(
    trace: Path,
    forecast: Path | None,
    regions: Sequence[str],
    factors: Factors | None = None,
) -> Knowledge:
    """Read a trace and, where given, a file of forecasts; the first region is home.

    ``factors`` are those of the values where a file has both; of forecasts the lifecycle ones
    count otherwise. Raises :class:`providers.errors.ProviderError` for a faulty trace, and
    :class:`UsageError` for a faulty file of forecasts or where ``factors`` are needed.
    """
    settings = {"path": str(trace.absolute()), "kind": "actual", "factors": factors}
    source = registry.load("intensity", "trace")(settings, Surroundings.at(trace.parent))
    try:
        names = tuple(dict.fromkeys(regions or source.in_order()))
        series = [source.whole(name) for name in names]
    except SettingsError as e:
        raise UsageError(str(e)) from e
    grid, said = grid_of(series)
    notes = [*(note for name in names for note in source.notes(name)), *said]
    rows = [on_grid(one, grid) for one in series]
    for name, row in zip(names, rows, strict=True):
        notes += fill_short_holes(name, row, grid)
    issued: tuple[Issue, ...] = ()
    if forecast is not None:
        issued = _issues(forecast, names, grid, factors or "lifecycle")
        notes.append(
            f"beyond a forecast's horizon: mean of the same time of day, {DAYS_BEFORE} days before"
        )
    return Knowledge(names, grid.start_s, grid.step_s, np.array(rows), issued, tuple(notes))


def _by_time_of_day(past: NDArray[np.float64], day: int, ahead: int) -> NDArray[np.float64]:
    """The mean of each time of day over the last days, repeated; NaN without a day of past."""
    whole = min(len(past) // max(day, 1), DAYS_BEFORE) * day
    if not whole or not ahead:
        return np.full(ahead, np.nan)
    means = past[-whole:].reshape(-1, day).mean(axis=0)
    return np.resize(means, ahead)


def _issues(path: Path, regions: Sequence[str], grid: Grid, factors: Factors) -> tuple[Issue, ...]:
    """Forecasts by issue; a target holds until the next one of the same issue."""
    index = {name: i for i, name in enumerate(regions)}
    told: dict[float, dict[int, dict[float, float]]] = {}
    for number, row in rows_of(path, FORECAST_COLUMNS, "a file of forecasts"):
        if row["region"] not in index or (row.get("factors") or factors) != factors:
            continue
        try:
            issued, target = moment_s(row["issued_utc"]), moment_s(row["target_utc"])
            value = _intensity(row["forecast_g_per_kwh"])
        except ValueError as e:
            raise UsageError(f"{path}, row {number}: {e}") from e
        told.setdefault(issued, {}).setdefault(index[row["region"]], {})[target] = value
    if not told:
        raise UsageError(
            f"{path}: no forecast for {', '.join(regions)}: it has other regions, or none with "
            f"{factors} factors"
        )
    targets = [t for rows in told.values() for values in rows.values() for t in values]
    end_s = grid.start_s + grid.cells * grid.step_s
    if max(targets) <= grid.start_s - grid.step_s or min(targets) >= end_s:
        raise UsageError(
            f"{path}: its forecasts are for {_day(min(targets))} to {_day(max(targets))}, and "
            f"the trace has {_day(grid.start_s)} to {_day(end_s)}: they do not overlap"
        )
    return tuple(
        (
            at,
            tuple(
                (region, *_told(regions[region], at, values, grid))
                for region, values in sorted(rows.items())
            ),
        )
        for at, rows in sorted(told.items())
    )


def _day(time_s: float) -> str:
    return f"{from_unix(time_s):%Y-%m-%d}"


def _intensity(text: str) -> float:
    """g/kWh as a grid may have it; :class:`ValueError` for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ValueError(f"forecast_g_per_kwh {text!r} is not a number")
    if fault := impossible(value):
        raise ValueError(f"forecast_g_per_kwh {text!r} is an intensity {fault}")
    return value


def _told(
    region: str, issued_s: float, values: dict[float, float], grid: Grid
) -> tuple[int, NDArray[np.float64]]:
    """The first cell of one issue for one region, and its values from there on."""
    told = sorted(values)
    targets = stamps.snapped(np.array(told))
    ends = targets + (stamps.lengths(targets) if len(targets) > 1 else grid.step_s)
    figures = np.array([values[target] for target in told])
    issued_at, sources = from_unix(issued_s), np.broadcast_to(np.array("file"), len(told))
    series = Series(
        region, "average", "forecast", issued_at, targets, ends, figures, figures, figures, sources
    )
    first, part = grid.cut(float(targets[0]), float(ends[-1]))
    return first, on_grid(series, part)
