"""A replay on a trace whose stamps lie beside round times, against the same on even ones.

Each of half a year in hours: one stamp a second off, a sensor's seconds, a stamp that no round time
is near, and a log without any order. The cost of each follows its rows, so that the ratios are near
1 (`pytest -m benchmark -s`); cells are counted, since they do not depend on the machine.
"""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from providers.series import from_unix
from scheduler.simulate import LogJob, Outcome, Rules, read, simulate

pytestmark = pytest.mark.benchmark

START, HOUR, ROWS, JOBS = 1_767_225_600.0, 3600.0, 24 * 180, 200
AIM_X = 1.2
EVEN = START + HOUR * np.arange(ROWS)


def _stamps() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    at = np.arange(ROWS) == ROWS // 2
    return {
        "even": EVEN,
        "one a second off": np.where(at, EVEN + 1, EVEN),
        "seconds": EVEN + rng.integers(-20, 21, ROWS),
        "one far off": np.where(at, EVEN + 1007, EVEN),
        "no order": EVEN + rng.integers(0, 2400, ROWS),
    }


def _replay(path: Path, times: np.ndarray) -> tuple[Outcome, int]:
    values = 300 + 100 * np.sin(np.arange(ROWS) / 4)
    rows = zip(times.tolist(), values.tolist(), strict=True)
    text = "\n".join(f"{from_unix(t).isoformat()},DE,{value:.1f}" for t, value in rows)
    path.write_text(f"timestamp_utc,region,g_per_kwh\n{text}\n")
    jobs = [
        LogJob(str(n), at, 2 * HOUR, at + 26 * HOUR, 1, 100.0)
        for n, at in enumerate((START + 20 * HOUR * np.arange(1, JOBS + 1)).tolist())
    ]
    knowledge = read(path, None, ())
    return simulate(jobs, knowledge, Rules(policy="window")), knowledge.actual.size


def test_jittering_stamps_cost_what_even_ones_cost(tmp_path: Path) -> None:
    print()
    _replay(tmp_path / "t.csv", EVEN)
    even_s = even_bytes = 0.0
    for name, times in _stamps().items():
        begun = time.perf_counter()
        _, cells = _replay(tmp_path / "t.csv", times)
        took_s = time.perf_counter() - begun
        tracemalloc.start()
        outcome, _ = _replay(tmp_path / "t.csv", times)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        even_s, even_bytes = even_s or took_s, even_bytes or peak
        assert outcome.jobs == JOBS
        assert cells <= ROWS + 2
        print(
            f"{name:17s} {cells} cells, {took_s / even_s:4.2f} x the time and "
            f"{peak / even_bytes:4.2f} x the memory of even stamps (aim {AIM_X} x)"
        )
