"""The replay, event by event."""

from __future__ import annotations

import numpy as np

from scheduler.planner.segments import FREE, Pausing
from scheduler.simulate import Knowledge, LogJob, Rules, simulate

HOUR = 3600.0
START = 1_767_225_600.0


def test_one_that_is_paused_by_a_new_forecast_pays_for_its_resume() -> None:
    """It starts at once; two hours later it is told that four dirty hours come first."""
    first = np.arange(24, dtype=np.float64)
    second = np.array([900.0] * 4 + [100.0] * 18)
    issued = ((START, ((0, 0, first),)), (START + 2 * HOUR, ((0, 2, second),)))
    knowledge = Knowledge(("AA",), START, HOUR, np.full((1, 24), 100.0), issued)
    job = LogJob("j", START, 4 * HOUR, START + 24 * HOUR, 1, 1000.0, pausable=True)

    def spans(pausing: Pausing) -> list[tuple[float, float]]:
        made = simulate([job], knowledge, Rules("fleet", pausing=pausing)).schedule
        return [(s.start_s - START, s.end_s - START) for s in made]

    paused = [(0, 2 * HOUR), (6 * HOUR, 8 * HOUR)]
    assert spans(FREE) == paused
    assert spans(Pausing(900.0)) == [paused[0], (6 * HOUR, 8 * HOUR + 900)]
    for kept in (Pausing(0.0, 3 * HOUR), Pausing(0.0, 0.0, 1)):
        assert spans(kept) == [(0, 4 * HOUR)], "too short to be paused, or no pause is left"
