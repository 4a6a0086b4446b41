"""Real forecasts against what came: CarbonCast's of the second half of 2021, issued at 00:00 UTC.

A job comes in at each issue. What a plan captures of the perfect one is told without planning
anew and with it, on the months on which rules may be tuned and on the held-out ones. Beside
them stands what a window picked once from these forecasts is known to save, over all months.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from scheduler.simulate import LogJob, Rules, read, simulate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scheduler.simulate.knowledge import Knowledge

pytestmark = pytest.mark.benchmark

# Job and slack (h); all end within the 96 h of the issue at which they come in.
CELLS = [(job, slack) for job in (1, 4, 12, 24) for slack in (24, 48, 72)]
# Percent saved, mean over the seven grids: CarbonCast's forecast and perfect foresight.
KNOWN = [(12.98, 15.86), (14.28, 19.60), (15.05, 22.27), (13.37, 15.14), (14.70, 18.84),
         (15.41, 21.56), (8.40, 9.54), (9.82, 12.92), (10.51, 15.44), (2.06, 3.55),
         (3.67, 6.21), (4.92, 8.32)]  # fmt: skip
FIRST_HELD_OUT_S = datetime(2021, 10, 1, tzinfo=UTC).timestamp()
HALVES = ("July to September", "October to December")
ZONES = ("US-CAL-CISO", "US-MIDA-PJM", "US-NY-NYIS", "ES", "DE", "SE", "AU-QLD")
# Grams of each half and cell: run now, perfect, planned once, planned anew.
WAYS = ("run-now", "perfect", "once", "anew")


def _log(knowledge: Knowledge) -> list[LogJob]:
    return [
        LogJob(f"{c}/{n}", at, job * 3600.0, at + (job + slack) * 3600.0, 1, 1000.0)
        for n, at in enumerate(knowledge.moments)
        for c, (job, slack) in enumerate(CELLS)
        if at + (job + slack) * 3600.0 <= knowledge.end_s
    ]


def _grams(knowledge: Knowledge) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Ways x halves x cells. Nothing limits the jobs, so all cells are replayed together."""
    log = _log(knowledge)
    came = {job.id: job.submitted_s for job in log}
    perfect = replace(knowledge, issued=())
    runs = (
        (perfect, Rules(policy="run-now")),
        (perfect, Rules(policy="window")),
        (knowledge, Rules(policy="window", replans=False)),
        (knowledge, Rules(policy="window")),
    )
    found = np.zeros((len(WAYS), len(HALVES), len(CELLS)))
    for way, (known, rules) in enumerate(runs):
        made = simulate(log, known, rules)
        assert made.jobs == len(log)
        assert made.missed_deadlines == 0
        for part in made.schedule:
            cell = int(part.job_id.split("/")[0])
            found[way, int(came[part.job_id] >= FIRST_HELD_OUT_S), cell] += part.grams
    return found


def test_what_planning_anew_captures(shared: Callable[[str], Path]) -> None:
    trace = shared("traces/carboncast-actual-2020-2021.csv.gz")
    forecast = shared("traces/carboncast-forecast-2021h2.csv.gz")
    grams = np.array([_grams(read(trace, forecast, [zone])) for zone in ZONES])
    now, best, once, anew = np.moveaxis(grams, 1, 0)
    # Nobody does better than who knows all.
    assert (best <= now * (1 + 1e-9)).all()
    assert (best <= np.minimum(once, anew) * (1 + 1e-9)).all()
    captured = [100 * (now - made) / (now - best) for made in (once, anew)]

    def whole(made: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray:
        """Percent saved over both halves, mean over the zones."""
        return np.asarray((100 * (1 - made.sum(axis=1) / now.sum(axis=1))).mean(axis=0))

    print("\npercent saved, mean over the zones, all months (known: planned once / perfect):")
    for c, ((job, slack), known) in enumerate(zip(CELLS, KNOWN, strict=True)):
        print(
            f"{job:3d} h, slack {slack} h: once {whole(once)[c]:6.2f}, anew {whole(anew)[c]:6.2f}, "
            f"perfect {whole(best)[c]:6.2f} (known {known[0]:6.2f} / {known[1]:6.2f})"
        )
    print("percent captured, once -> anew; ! where planning anew lowers it:")
    for h, half in enumerate(HALVES):
        print(f"{half}:")
        print("          zone" + "".join(f"{f'{j} h +{s} h':>16}" for j, s in CELLS))
        for z, zone in enumerate(ZONES):
            cells = [(captured[0][z, h, c], captured[1][z, h, c]) for c in range(len(CELLS))]
            texts = [f"{a:.1f} -> {b:.1f}{'!' if b < a - 1e-9 else ' '}" for a, b in cells]
            print(f"{zone:>14}" + "".join(f"{text:>16}" for text in texts))
        lowered = int((captured[1][:, h] < captured[0][:, h] - 1e-9).sum())
        means = [float(one[:, h].mean()) for one in captured]
        print(
            f"{half}: mean {means[0]:.2f} -> {means[1]:.2f} %, lowered in {lowered} of "
            f"{len(ZONES) * len(CELLS)} cells"
        )
