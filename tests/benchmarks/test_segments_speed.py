"""At most four segments of a pausable job over four days at five minutes, resumes paid for.

Beside them the times published for the two-segment form of WattTime's optimizer on as many
points (its variable-contiguous dynamic program, on two cores): another machine, so no ratio of
this run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scheduler.planner.segments import Pausing, cheapest, cost_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.benchmark

POINTS, STEP_S = 1152, 300.0
PUBLISHED_S = {6: 16.324, 24: 340.458}
AIM_MS = 100


@pytest.mark.parametrize("hours", [6, 24])
def test_at_most_four_segments(hours: int, seconds: Callable[..., float]) -> None:
    rng = np.random.default_rng(3)
    at = np.arange(POINTS + 1) * STEP_S
    rates = 300 + 80 * np.cos(at[:-1] * 2 * np.pi / 86400) + np.cumsum(rng.normal(0, 6, POINTS))
    edges = 1.8e9 + at
    need = hours * 3600.0
    areas = np.append(0.0, np.cumsum(rates * STEP_S))
    cells = round(need / STEP_S)
    window = float((areas[cells:] - areas[:-cells]).min())
    one_pass = seconds(lambda: np.cumsum(rates), runs=101)
    print()
    for resume_s in (0.0, 180.0, 300.0):
        worse = window * (1 + 1e-9)
        for most in (1, 2, 4, None):
            pausing = Pausing(resume_s, 0.0, most)
            spans = cheapest(edges, rates, need, pausing)
            assert spans is not None
            assert most is None or len(spans) <= most
            run_s = sum(b - a for a, b in spans)
            assert run_s == pytest.approx(need + resume_s * (len(spans) - 1), abs=1e-3)
            cost = cost_of(edges, rates, spans)
            # Where no resume is rounded up to the lattice, more segments never cost more.
            assert cost <= worse or resume_s % STEP_S
            worse = min(worse, cost * (1 + 1e-9))
            took = seconds(lambda p=pausing: cheapest(edges, rates, need, p), runs=7)
            beside = f"; published for two: {PUBLISHED_S[hours]:.0f} s" if most == 2 else ""
            aim = f" (aim {AIM_MS} ms)" if most == 4 else ""
            print(
                f"{hours:2d} h, resume {resume_s / 60:g} min, at most {most or 'any'}: "
                f"{1000 * took:6.2f} ms{aim}, {took / one_pass:6.0f} x one np.cumsum; "
                f"{len(spans)} segments, {100 * (window - cost) / window:.2f} % under the "
                f"window{beside}"
            )
