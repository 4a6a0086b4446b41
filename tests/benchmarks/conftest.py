"""What the benchmarks share: the folder of traces and job logs, and a clock."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """The path of a trace or job log beside the repository; skips where it is not there."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        return path

    return find


@pytest.fixture
def seconds() -> Callable[..., float]:
    """The median time of an action (s) over ``runs``."""

    def clock(action: Callable[[], object], runs: int = 5) -> float:
        times = []
        for _ in range(runs):
            begun = time.perf_counter()
            action()
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    return clock
