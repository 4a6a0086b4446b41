"""A backtest of the forecaster on the regions of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers import registry
from providers.arrays import np
from providers.errors import BadData, NoData, ProviderError
from providers.series import from_unix, hourly_means
from providers.surroundings import Surroundings
from scheduler.backtest import nulls
from scheduler.backtest.replay import AHEAD_H, HOUR_S, replay
from scheduler.backtest.scoring import (
    CELLS,
    DAYS,
    coverage,
    mape_by_day,
    runs_inside,
    savings,
    share,
)
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from providers.series import Series

Gains = dict[str, tuple[float, float] | None]


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

    ``on_region`` hears the region, its number and how many there are before each is begun. A region
    that cannot be scored (too short, steps too long) has no figures but its reason, and counts in
    no mean. :class:`providers.errors.ProviderError` where none can, and for a trace that is faulty
    or has no such region; :class:`UsageError` where the times do not leave any span.
    """
    if from_s is not None and to_s is not None and from_s >= to_s:
        raise UsageError(f"--from {_shown(from_s)} is not before --to {_shown(to_s)}")
    source = registry.load("intensity", "trace")(
        {"path": str(trace.absolute()), "kind": "actual"}, Surroundings.at(trace.parent)
    )
    names = tuple(dict.fromkeys(regions or source.in_order()))
    series = [source.whole(name) for name in names]
    notes = [note for name in names for note in source.notes(name)]
    rows: list[dict[str, Any]] = []
    saved: list[Gains] = []
    faults: list[ProviderError] = []
    for n, one in enumerate(series):
        on_region(one.zone, n, len(series))
        try:
            row, gains = _region(one, from_s, to_s)
        except (BadData, NoData) as e:
            faults.append(e)
            row, gains = _unscored(one.zone, e), dict.fromkeys(_cells())
        rows.append(row)
        saved.append(gains)
    scored = [row for row in rows if row["issues"]]
    if not scored:
        raise faults[0]
    mean = {
        "mape_percent_by_day": [
            _mean([row["mape_percent_by_day"][day] for row in scored]) for day in range(DAYS)
        ],
        "captured_share_percent": {
            cell: share([gains[cell] for gains in saved]) for cell in _cells()
        },
        "band_coverage_percent": _mean([row["band_coverage_percent"] for row in scored]),
        "runs_inside_band_percent": {
            cell: _mean([row["runs_inside_band_percent"][cell] for row in scored])
            for cell in _cells()
        },
    }
    return {
        "file": trace.name,
        "from": min(row["from"] for row in scored),
        "to": max(row["to"] for row in scored),
        "regions": rows,
        "mean": mean | {"null_reasons": _mean_nulls(mean, saved)},
    } | ({"notes": notes} if notes else {})


def _region(
    series: Series, from_s: float | None, to_s: float | None
) -> tuple[dict[str, Any], Gains]:
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
        "runs_inside_band_percent": {f"{j}/{s}": runs_inside(found, j, s) for j, s in CELLS},
        "fit_seconds": found.fit_seconds,
        "predict_ms": found.predict_ms,
    }
    return row | {"null_reasons": nulls.of_region(row, found.actual)}, gains


def _unscored(zone: str, why: ProviderError) -> dict[str, Any]:
    row: dict[str, Any] = {
        "region": zone,
        "from": None,
        "to": None,
        "issues": 0,
        "methods": {},
        "mape_percent_by_day": [None] * DAYS,
        "zero_actuals_excluded": 0,
        "captured_share_percent": dict.fromkeys(_cells()),
        "band_coverage_percent": None,
        "runs_inside_band_percent": dict.fromkeys(_cells()),
        "fit_seconds": None,
        "predict_ms": None,
    }
    return row | {"null_reasons": dict.fromkeys(nulls.paths(row), str(why))}


def _mean_nulls(mean: dict[str, Any], saved: Sequence[Gains]) -> dict[str, str]:
    """A mean is null where no region counts, or where they have nothing to capture together."""
    found = dict.fromkeys(nulls.paths(mean), nulls.NO_REGION)
    for cell in _cells():
        path = f"captured_share_percent.{cell}"
        if path in found and any(gains[cell] is not None for gains in saved):
            found[path] = nulls.SMALL
    return found


def _cells() -> list[str]:
    return [f"{job_h}/{slack_h}" for job_h, slack_h in CELLS]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _shown(seconds: float) -> str:
    return f"{from_unix(seconds):%Y-%m-%dT%H:%M:%SZ}"
