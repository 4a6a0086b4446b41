"""What forecasts were worth: error by day, the share of the possible saving, and the band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.arrays import np
from providers.base import Triple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scheduler.backtest.replay import Replay

HOUR_S = 3600.0
DAYS = 4
DAY_H = 24
# Job and slack (h): the longest needs 120 h of forecast.
CELLS = tuple((job, slack) for job in (1, 4, 12, 24) for slack in (24, 48, 96))
# Under so much of run-now (%) there is nothing to capture.
LEAST_PERCENT = 0.1
# Means (g/kWh) that differ by rounding alone are equal, so that the earliest is chosen.
DECIMALS = 6


def mape_by_day(
    value: NDArray[np.float64], actual: NDArray[np.float64]
) -> tuple[list[float | None], int]:
    """Mean absolute error in % of the actual for days 1 to 4, and how many zeros were left out.

    Both are issues x hours, at least 96; unknown actuals count nowhere. A day without any hour
    to count is None.
    """
    actual = actual[:, : DAYS * DAY_H]
    zero = actual == 0
    use = ~zero & ~np.isnan(actual)
    error = np.abs(value[:, : DAYS * DAY_H] - actual) / np.where(use, actual, 1.0)
    found: list[float | None] = []
    for day in range(DAYS):
        hours = slice(day * DAY_H, (day + 1) * DAY_H)
        counted = error[:, hours][use[:, hours]]
        found.append(100 * float(counted.mean()) if len(counted) else None)
    return found, int(zero.sum())


def savings(
    value: NDArray[np.float64], actual: NDArray[np.float64], job_h: int, slack_h: int
) -> tuple[float, float] | None:
    """What a window saves that is chosen by forecast, and by perfect foresight, in % of run-now.

    Both are issues x hours, at least ``job_h + slack_h``. The start is 0 to ``slack_h`` hours after
    the issue, the earliest of the cheapest. Issues with unknown actuals in reach count nowhere;
    None where none is left, or running now emits nothing.
    """
    reach = job_h + slack_h
    known = ~np.isnan(actual[:, :reach]).any(axis=1)
    came = _windows(actual[known, :reach], job_h)
    told = _windows(value[known, :reach], job_h)
    now = float(came[:, 0].sum()) if len(came) else 0.0
    if now <= 0:
        return None
    at = np.argmin(np.round(told, DECIMALS), axis=1)
    chosen = float(came[np.arange(len(came)), at].sum())
    return 100 * (now - chosen) / now, 100 * (now - float(came.min(axis=1).sum())) / now


def runs_inside(found: Replay, job_h: int, slack_h: int) -> float | None:
    """How many of the windows that :func:`savings` chooses came inside their band, in %.

    Those whose band is not calibrated, or whose actual is not known, count nowhere; None where
    none counts.
    """
    reach = job_h + slack_h
    columns = (found.low, found.value, found.high, found.actual)
    low, value, high, came = (_windows(hours[:, :reach], job_h) for hours in columns)
    starts = np.argmin(np.round(value, DECIMALS), axis=1).tolist()
    inside = []
    for n, (at, calibration) in enumerate(zip(starts, found.calibrations, strict=True)):
        start_s, run_s = calibration.from_s + at * HOUR_S, job_h * HOUR_S
        lowest, mean_g, highest = (float(windows[n, at]) for windows in (low, value, high))
        # Sums in another order: equal ones may differ by rounding.
        mean = Triple(min(lowest, mean_g), mean_g, max(highest, mean_g))
        band = calibration.band(mean, start_s, start_s + run_s, run_s, slack_h * HOUR_S)
        if band is not None and not np.isnan(came[n, at]):
            inside.append(band.low <= came[n, at] <= band.high)
    return 100 * float(np.mean(inside)) if inside else None


def _windows(hours: NDArray[np.float64], job_h: int) -> NDArray[np.float64]:
    """Means of all windows of ``job_h`` hours: issues x starts."""
    sums = np.concatenate((np.zeros((len(hours), 1)), np.cumsum(hours, axis=1)), axis=1)
    return np.asarray((sums[:, job_h:] - sums[:, :-job_h]) / job_h)


def share(saved: Sequence[tuple[float, float] | None]) -> float | None:
    """Captured share in % over zones: savings are averaged first, then divided.

    None where perfect foresight would save under 0.1 % of run-now, or no zone counts.
    """
    counted = [one for one in saved if one is not None]
    if not counted:
        return None
    chosen, perfect = np.mean(counted, axis=0)
    return float(100 * chosen / perfect) if perfect >= LEAST_PERCENT else None


def coverage(
    low: NDArray[np.float64], high: NDArray[np.float64], actual: NDArray[np.float64]
) -> float | None:
    """How many known actuals lie within the band, in %; None where none is known."""
    known = ~np.isnan(actual)
    if not known.any():
        return None
    # Ends are squares of roots: a value on an end may miss it by rounding.
    slack = 1e-9 * high
    inside = (actual >= low - slack) & (actual <= high + slack)
    return 100 * float(inside[known].mean())
