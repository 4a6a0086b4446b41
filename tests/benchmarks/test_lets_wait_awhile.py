"""The workload of "Let's Wait Awhile" (Wiesner et al., Middleware 2021): 3,387 trainings of 2020.

The savings stand beside the exact optimum known for these files; the planning time beside the
7 s that the paper's own simulator is known to need for a case (another machine, so that the
factor is an estimate, not a ratio of this run).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scheduler.simulate import Policy, Rules, read, read_jobs, simulate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark

PUBLISHED_S = 7.0
AIM = 20
RUNS = 3
# Percent saved: the exact optimum of window and segments, and what the paper's simulator finds.
SAVED = {
    ("next-workday", "GB"): (6.657, 9.228, 6.571, 9.229),
    ("semi-weekly", "GB"): (14.852, 20.088, 14.751, 20.005),
    ("next-workday", "DE"): (5.921, 8.040, 5.926, 8.156),
    ("semi-weekly", "DE"): (14.148, 18.481, 14.130, 18.498),
}


@pytest.mark.parametrize(("deadlines", "zone"), SAVED, ids=lambda x: x)
def test_planning_seconds_and_savings(
    deadlines: str, zone: str, shared: Callable[[str], Path]
) -> None:
    jobs = read_jobs(shared(f"workloads/lwa-{deadlines}.csv"))
    knowledge = read(shared("traces/lwa-2020-gb-de.csv.gz"), None, [zone])
    found: dict[str, float] = {}
    print()
    policies: tuple[Policy, ...] = ("window", "segments")
    for n, policy in enumerate(policies):
        outcomes = [simulate(jobs, knowledge, Rules(policy=policy)) for _ in range(RUNS)]
        took = min(outcome.planning_s for outcome in outcomes)
        saved = outcomes[0].saved_percent
        assert saved is not None
        assert outcomes[0].jobs == len(jobs)
        assert outcomes[0].missed_deadlines == 0
        assert saved == pytest.approx(SAVED[deadlines, zone][n], abs=0.001)
        found[policy] = saved
        print(
            f"{zone} {deadlines}, {policy}: {saved:.3f} % saved, the optimum "
            f"{SAVED[deadlines, zone][n]:.3f}, the paper's {SAVED[deadlines, zone][n + 2]:.3f}; "
            f"planned in {took:.3f} s, published 7 s / ours {PUBLISHED_S / took:.0f} x (aim {AIM})"
        )
    assert found["segments"] >= found["window"]
