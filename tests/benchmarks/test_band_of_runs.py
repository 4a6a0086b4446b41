"""How many planned runs come inside their band, zone by zone, over years not learned from.

Each zone is walked forward on its own past: every six hours a run is planned on the forecast of
that hour, at the lowest window within its slack, and its actual mean is looked up. ``before`` is
what the mean of the hourly bands would have held.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers import registry
from providers.surroundings import Surroundings
from scheduler.backtest import replay
from scheduler.backtest.run import hourly_of
from scheduler.backtest.scoring import coverage, runs_inside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from scheduler.backtest import Replay

pytestmark = pytest.mark.benchmark
# Job and slack (h): short and long, with no choice, a day's and four days'.
CELLS = [(job, slack) for job in (1, 4, 12, 24) for slack in (0, 24, 96)]
# Trace, and the span that is judged; what lies before is learned from.
CASES = {
    "8 zones 2022": ("em-cloud-2021-2022", "2022-01-01", "2023-01-01"),
    "3 US areas 2021 and 2022": ("us-ba-2019-2022", "2021-01-01", "2023-01-01"),
    "7 grids 2021": ("carboncast-actual-2020-2021", "2021-01-01", "2022-01-01"),
}


def _before(found: Replay, job: int, slack: int) -> float | None:
    def means(hours: NDArray[np.float64]) -> NDArray[np.float64]:
        windows = np.lib.stride_tricks.sliding_window_view(hours[:, : job + slack], job, axis=1)
        return np.asarray(windows.mean(axis=2))

    low, value, high, came = map(means, (found.low, found.value, found.high, found.actual))
    rows, at = np.arange(len(value)), value.argmin(axis=1)
    return coverage(*(side[rows, at] for side in (low, high, came)))


@pytest.mark.parametrize("name", CASES)
def test_as_many_runs_come_inside_their_band_as_is_said(
    name: str, shared: Callable[[str], Path]
) -> None:
    trace, *span = CASES[name]
    path = shared(f"traces/{trace}.csv.gz")
    source = registry.load("intensity", "trace")({"path": str(path)}, Surroundings.at(path.parent))
    since, until = (datetime.fromisoformat(d).replace(tzinfo=UTC).timestamp() for d in span)
    print(f"\n{name}: planned runs inside their 80 % band, %, by job/slack in h; before")
    print(" " * 14 + "".join(f"{f'{job}/{slack}':>6}" for job, slack in CELLS) + "  mean  before")
    shares = []
    for zone in source.in_order():
        found = replay(*hourly_of(source.whole(zone)), since, until)
        assert found is not None
        inside = np.array([runs_inside(found, *cell) for cell in CELLS], np.float64)
        before = np.array([_before(found, *cell) for cell in CELLS], np.float64)
        shares.append(inside)
        cells = "".join(f"{share:6.1f}" for share in inside)
        print(
            f"{zone:14}{cells}{inside.mean():6.1f}  {before.mean():.1f} "
            f"({before.min():.0f} to {before.max():.0f})",
            flush=True,
        )
    means = np.array(shares).mean(axis=1)
    print(f"zones {means.min():.1f} to {means.max():.1f}, cells {np.min(shares):.1f} to "
          f"{np.max(shares):.1f}")  # fmt: skip
    assert np.all(np.abs(means - 80) <= 5)
