"""One plan over many regions against one numpy pass over the same array, in the same run."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers.base import Triple
from providers.series import Series
from scheduler.planner.choice import Place, Request
from scheduler.planner.window import decide

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_S = 300.0
RUNS = 31


def _median_ms(action: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


@pytest.mark.benchmark
@pytest.mark.parametrize(("regions", "days"), [(100, 7), (30, 4)])
@pytest.mark.parametrize("off_lattice_s", [0.0, 77.0])
def test_one_plan_over_many_regions(regions: int, days: int, off_lattice_s: float) -> None:
    count = int(days * 86400 / STEP_S)
    values = np.random.default_rng(1).uniform(50, 600, (regions, count))
    starts = 1.8e9 + STEP_S * np.arange(count)
    sources = np.array(["bench"] * count)
    issued = datetime(2026, 1, 1, tzinfo=UTC)
    places = [
        Place(
            f"r{i}",
            Series("Z", "average", "forecast", issued, starts, starts + STEP_S, g, g, g, sources),
            Triple.exact(1.1),
        )
        for i, g in enumerate(values)
    ]
    hours = 6 * 3600.0
    request = Request(hours, 1.8e9 + off_lattice_s, float(starts[-1]) - hours, Triple.exact(300))
    assert decide(places, request).chosen is not None
    ours = _median_ms(lambda: decide(places, request))
    one_pass = _median_ms(lambda: np.cumsum(values, axis=1))
    print(
        f"\n{regions} regions x {days} days x 5 min, start {off_lattice_s:g} s off the lattice: "
        f"{ours:.2f} ms, {ours / one_pass:.1f} x one np.cumsum ({one_pass:.2f} ms)"
    )
