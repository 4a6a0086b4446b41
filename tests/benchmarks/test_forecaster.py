"""The built-in forecaster against baselines, walked forward on recorded years.

Baselines: ``hod7decay`` (mean of each hour over 7 days, and the error of the last 6 h x 0.93^h)
and ``persist24`` (yesterday again), both on plain g/kWh. ``ridge before`` and ``CarbonCast`` are
known for these files and issues: a plain ridge of 48 lags, and CarbonCast's first tier with
weather.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers import registry
from providers.surroundings import Surroundings
from scheduler.backtest import CELLS, Replay, replay, savings, share
from scheduler.backtest.run import hourly_of
from scheduler.backtest.scoring import coverage, mape_by_day

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.benchmark

# Points of share within which two forecasts are as good.
SAME = 0.2


@dataclass(frozen=True)
class Case:
    """A trace, the span that is scored, and what must be reached; shares by job/slack (h)."""

    trace: str
    since: str
    until: str
    mape: float
    shares: dict[tuple[int, int], float]
    known: tuple[str, ...]


CASES = {
    "7 grids 2021": Case(
        "carboncast-actual-2020-2021",
        "2021-07-01",
        "2022-01-01",
        10.4,
        {},
        (
            "CarbonCast          10.3 |  5.9 10.0 12.1 13.2 |",
            "ridge before        10.4 |  6.9 10.6 11.9 12.4 |"
            "  80.8  74.6  70.2  85.9  78.3  72.6  78.8  70.9  65.7  46.6  45.9  46.1",
        ),
    ),
    "8 zones 2022": Case(
        "em-cloud-2021-2022",
        "2022-01-01",
        "2023-01-01",
        10.6,
        {(1, 24): 84.0, (1, 96): 69.0, (24, 24): 41.0},
        (
            "ridge before        10.6 |  7.1 10.9 12.0 12.5 |"
            "  83.5  75.4  69.1  86.9  77.8  70.9  79.5  69.8  63.2  42.3  40.3  37.8",
        ),
    ),
    "60 zones 2022": Case(
        "em-2022",
        "2022-03-01",
        "2023-01-01",
        14.3,
        {},
        (
            "ridge before        16.2 |                     |"
            "  67.0  60.0  54.7  71.4  62.8  56.3  65.0  54.7  48.1  25.7  24.3  24.3",
        ),
    ),
    "3 US areas 2021": Case("us-ba-2019-2022", "2021-01-01", "2022-01-01", 6.5, {}, ()),
    "GB and DE 2020": Case("lwa-2020-gb-de", "2020-02-01", "2021-01-09", 25.0, {}, ()),
}


def _hod7decay(hourly: NDArray[np.float64], found: Replay) -> NDArray[np.float64]:
    past = hourly[found.issues[:, None] + np.arange(-168, 0)]
    profile = np.nanmean(past.reshape(-1, 7, 24), axis=1)
    error = np.nanmean(past[:, -6:] - profile[:, -6:], axis=1)
    fading = error[:, None] * 0.93 ** np.arange(1, found.value.shape[1] + 1)
    return np.maximum(np.tile(profile, 5) + fading, 0.0)


def _persist24(hourly: NDArray[np.float64], found: Replay) -> NDArray[np.float64]:
    return np.tile(hourly[found.issues[:, None] + np.arange(-24, 0)], 5)


class Scores:
    """What one way of forecasting scored, region by region."""

    def __init__(self) -> None:
        self._days: list[list[float | None]] = []
        self._saved: list[list[tuple[float, float] | None]] = []

    def add(self, value: NDArray[np.float64], found: Replay) -> None:
        self._days.append(mape_by_day(value[found.midnight], found.actual[found.midnight])[0])
        self._saved.append([savings(value, found.actual, *cell) for cell in CELLS])

    @property
    def days(self) -> NDArray[np.float64]:
        return np.mean(np.array(self._days, dtype=np.float64), axis=0)

    @property
    def shares(self) -> NDArray[np.float64]:
        made = [share([row[n] for row in self._saved]) for n in range(len(CELLS))]
        return np.array(made, dtype=np.float64)

    def line(self, name: str) -> str:
        days = " ".join(f"{day:4.1f}" for day in self.days)
        shares = " ".join(f"{one:5.1f}" for one in self.shares)
        return f"{name:18s} {np.mean(self.days):5.1f} | {days} | {shares}"


@pytest.mark.parametrize("name", CASES)
def test_error_share_and_band(name: str, shared: Callable[[str], Path]) -> None:
    case = CASES[name]
    path = shared(f"traces/{case.trace}.csv.gz")
    source = registry.load("intensity", "trace")({"path": str(path)}, Surroundings.at(path.parent))
    span = [datetime.fromisoformat(d).replace(tzinfo=UTC).timestamp() for d in
            (case.since, case.until)]  # fmt: skip
    ours, decay, yesterday = Scores(), Scores(), Scores()
    covered, fits, predictions = [], [], []
    for zone in source.in_order():
        hourly, start = hourly_of(source.whole(zone))
        found = replay(hourly, start, *span)
        assert found is not None
        ours.add(found.value, found)
        decay.add(_hod7decay(hourly, found), found)
        yesterday.add(_persist24(hourly, found), found)
        covered.append(coverage(found.low, found.high, found.actual))
        fits.append(found.fit_seconds)
        predictions.append(found.predict_ms)
    band = np.array(covered, dtype=np.float64)
    print(f"\n{name}: MAPE % mean | days 1 to 4 | share captured % of job/slack h "
          + " ".join(f"{job}/{slack}" for job, slack in CELLS))  # fmt: skip
    print(ours.line("lowtide"))
    print(decay.line("hod7decay"))
    print(yesterday.line("persist24"))
    for line in case.known:
        print(line)
    print(f"band covers {band.mean():.1f} % (zones {band.min():.1f} to {band.max():.1f}, "
          f"{np.mean(np.abs(band - 80) <= 5):.0%} of them within 75 to 85); "
          f"a fit {np.mean(fits):.2f} s, a prediction {np.mean(predictions):.2f} ms")  # fmt: skip
    assert np.mean(ours.days) <= case.mape
    assert np.mean(ours.days) <= np.mean(decay.days)
    assert np.all(ours.shares >= decay.shares - SAME)
    for cell, least in case.shares.items():
        assert ours.shares[CELLS.index(cell)] >= least
    assert 75 <= band.mean() <= 85
