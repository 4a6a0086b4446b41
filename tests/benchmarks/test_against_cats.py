"""The window search against that of climate-aware-task-scheduler, on the same arrays.

Its search is given all it could ask for: points already built, and one more that closes the
last step. It joins points by straight lines; what either plan emits is the integral of the step
function that the values are, from the start to the end of the job.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers.base import Triple
from providers.series import Series
from scheduler.planner.choice import Place, Request
from scheduler.planner.window import decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

pytestmark = pytest.mark.benchmark

EPOCH = datetime(2026, 3, 2, tzinfo=UTC)
REGIONS = 100
WATTS = 300.0
# Name, days, step (s), where the jobs are submitted after the first value (s).
HORIZONS = [("48 h at 30 min", 2, 1800.0), ("7 days at 5 min", 7, 300.0)]
TARGET = 1000


def _intensity(days: int, step_s: float) -> NDArray[np.float64]:
    """Regions x steps: a daily wave, a slow walk and noise, as grids have them."""
    rng = np.random.default_rng(7)
    steps = int(days * 86400 / step_s)
    hours = np.arange(steps) * step_s / 3600.0
    ranges = ((100, 600), (5, 80), (0, 24))
    level, wave, phase = (rng.uniform(*ends, (REGIONS, 1)) for ends in ranges)
    walk = np.cumsum(rng.normal(0, 60 * np.sqrt(step_s / 86400), (REGIONS, steps)), axis=1)
    noise = rng.normal(0, 4, (REGIONS, steps))
    values = level + wave * np.cos((hours - phase) * 2 * np.pi / 24) + walk + noise
    return np.asarray(np.maximum(values, 5.0), dtype=np.float64)


def _places(values: NDArray[np.float64], step_s: float) -> list[Place]:
    starts = EPOCH.timestamp() + step_s * np.arange(values.shape[1])
    sources = np.array(["bench"] * len(starts))
    return [
        Place(
            f"r{i}",
            Series("Z", "average", "forecast", EPOCH, starts, starts + step_s, g, g, g, sources),
            Triple.exact(1.0),
        )
        for i, g in enumerate(values)
    ]


@pytest.mark.parametrize("late_s", [0.0, 600.0], ids=["on", "off"])
@pytest.mark.parametrize(("name", "days", "step_s"), HORIZONS, ids=["48h", "7d"])
def test_time_and_grams_of_the_window(
    name: str, days: int, step_s: float, late_s: float, seconds: Callable[..., float]
) -> None:
    """``late_s``: the job comes in after the first value (within a step of half an hour)."""
    cats = pytest.importorskip("cats.forecast", reason="needs climate-aware-task-scheduler")
    values = _intensity(days, step_s)
    places = _places(values, step_s)
    end_s = EPOCH.timestamp() + days * 86400
    begin = EPOCH + timedelta(seconds=late_s)
    print(f"\n{name}, submitted {late_s / 60:g} min after the first value, per region:")
    for hours in (0.5, 1, 3, 6, 12, 24):
        d = hours * 3600.0
        request = Request(d, begin.timestamp(), end_s - d, Triple.exact(WATTS))
        many_s = seconds(lambda r=request: decide(places, r), runs=15) / REGIONS
        one_s = seconds(lambda r=request: decide(places[:1], r), runs=31)
        ours = decide(places, request).per_place
        theirs_s, extra = [], []
        for i in range(0, REGIONS, 10):
            points = [
                cats.PointEstimate(float(v), EPOCH + timedelta(seconds=n * step_s))
                for n, v in enumerate([*values[i], values[i, -1]])
            ]

            def search(points: list[object] = points, minutes: int = round(d / 60)) -> float:
                return float(min(cats.WindowedForecast(points, minutes, begin)).start.timestamp())

            theirs_s.append(seconds(search, runs=1))
            # One that reaches beyond the last value cannot be told in grams.
            start_s = min(search(), end_s - d)
            grams = [WATTS / 3.6e6 * d * _mean(places[i], s, d) for s in (start_s, _of(ours[i]))]
            assert grams[1] <= grams[0] * (1 + 1e-9)
            extra.append(100 * (grams[0] - grams[1]) / grams[1])
        theirs = float(np.median(theirs_s))
        print(
            f"{hours:4g} h: theirs {1000 * theirs:8.3f} ms; ours {1e6 * many_s:6.1f} us of "
            f"{REGIONS} together, {theirs / many_s:6.0f} x (aim {TARGET}); alone "
            f"{1e6 * one_s:6.1f} us, {theirs / one_s:5.0f} x; grams of theirs "
            f"+{np.mean(extra):.2f} % (most +{max(extra):.2f} %)"
        )


def _of(choice: object) -> float:
    return float(choice.start_s)  # type: ignore[attr-defined]


def _mean(place: Place, start_s: float, d: float) -> float:
    assert place.series is not None
    mean = place.series.mean(start_s, start_s + d)
    assert mean is not None
    return mean.value
