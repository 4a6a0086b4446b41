"""A backtest of the forecaster on the regions of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from providers import registry
from providers.errors import BadData, NoData
from providers.series import from_unix, hourly_means
from providers.surroundings import Surroundings
from scheduler.backtest.replay import AHEAD_H, HOUR_S, replay
from scheduler.backtest.scoring import CELLS, coverage, mape_by_day, savings, share
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from providers.series import Series


def hourly_of(series: Series) -> tuple[NDArray[np.float64], float]:
    """Hourly means in g/kWh, NaN for an hour that is not wholly known, and the first one's start.

    :class:`BadData` where values stand for more than an hour.
    """
    longest = float(np.max(series.ends - series.starts))
    if longest > HOUR_S:
        raise BadData(
            f"trace of {series.zone} has steps of {longest / HOUR_S:g} h: a backtest needs values "
            "of an hour or less"
        )
    start = float(series.starts[0] // HOUR_S * HOUR_S)
    hours = int(-(-(float(series.ends[-1]) - start) // HOUR_S))
    return hourly_means(series, start, hours), start


def run(
    trace: Path,
    regions: Sequence[str] = (),
    from_s: float | None = None,
    to_s: float | None = None,
    on_region: Callable[[str, int, int], None] = lambda region, done, every: None,
) -> dict[str, Any]:
    """Scores of all ``regions`` (none: all of the file) between two times (Unix seconds).

    ``on_region`` hears the region, its number and how many there are before each is begun.
    :class:`providers.errors.ProviderError` for a trace that is faulty, too short, or has no such
    region; :class:`UsageError` where the times do not leave any span.
    """
    if from_s is not None and to_s is not None and from_s >= to_s:
        raise UsageError(f"--from {_shown(from_s)} is not before --to {_shown(to_s)}")
    source = registry.load("intensity", "trace")(
        {"path": str(trace.absolute())}, Surroundings.at(trace.parent)
    )
    names = tuple(dict.fromkeys(regions or source.in_order()))
    series = [source.whole(name) for name in names]
    rows: list[dict[str, Any]] = []
    saved: list[dict[str, tuple[float, float] | None]] = []
    for n, one in enumerate(series):
        on_region(one.zone, n, len(series))
        row, gains = _region(one, from_s, to_s)
        rows.append(row)
        saved.append(gains)
    return {
        "file": trace.name,
        "from": min(row["from"] for row in rows),
        "to": max(row["to"] for row in rows),
        "regions": rows,
        "mean": {
            "mape_percent_by_day": [
                _mean([row["mape_percent_by_day"][day] for row in rows]) for day in range(4)
            ],
            "captured_share_percent": {
                cell: share([gains[cell] for gains in saved]) for cell in saved[0]
            },
            "band_coverage_percent": _mean([row["band_coverage_percent"] for row in rows]),
        },
    }


def _region(
    series: Series, from_s: float | None, to_s: float | None
) -> tuple[dict[str, Any], dict[str, tuple[float, float] | None]]:
    hourly, start = hourly_of(series)
    found = replay(hourly, start, from_s, to_s)
    if found is None:
        raise NoData(
            f"trace has {series.zone} from {_shown(start)} to {_shown(float(series.ends[-1]))}: no "
            f"issue there has 14 days of history before it and {AHEAD_H} h of actuals after it, "
            "within --from and --to"
        )
    mape, zeros = mape_by_day(found.value[found.midnight], found.actual[found.midnight])
    gains = {f"{j}/{s}": savings(found.value, found.actual, j, s) for j, s in CELLS}
    row = {
        "region": series.zone,
        "from": _shown(start + float(found.issues[0]) * HOUR_S),
        "to": _shown(start + float(found.issues[-1] + AHEAD_H) * HOUR_S),
        "issues": len(found.issues),
        "methods": dict(found.methods),
        "mape_percent_by_day": mape,
        "zero_actuals_excluded": zeros,
        "captured_share_percent": {cell: share([gain]) for cell, gain in gains.items()},
        "band_coverage_percent": coverage(found.low, found.high, found.actual),
        "fit_seconds": found.fit_seconds,
        "predict_ms": found.predict_ms,
    }
    return row, gains


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _shown(seconds: float) -> str:
    return f"{from_unix(seconds):%Y-%m-%dT%H:%M:%SZ}"
