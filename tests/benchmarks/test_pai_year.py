"""A year of a GPU cluster (99,998 jobs of Alibaba PAI 2020) under capacity, on hourly intensities.

``fleet`` plans online, as jobs arrive; ``oracle`` plans all of them at once. A case takes minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scheduler.simulate import Policy, Rules, read, read_jobs, simulate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark

CASES = [(("DE",), 500), (("DE", "ES", "FI", "FR", "GB"), 60)]


@pytest.mark.parametrize("policy", ["fleet", "oracle"])
@pytest.mark.parametrize(("zones", "slots"), CASES, ids=["DE", "five"])
def test_a_year(
    zones: tuple[str, ...], slots: int, policy: Policy, shared: Callable[[str], Path]
) -> None:
    jobs = read_jobs(shared("workloads/pai-100k.csv.gz"))
    knowledge = read(shared("traces/em-2022.csv.gz"), None, zones)
    made = simulate(jobs, knowledge, Rules(policy=policy, capacity=slots))
    assert made.jobs + sum(made.refused.values()) == len(jobs)
    assert made.peak_slots <= slots * len(zones)
    # Weak duality: no schedule is below the bound.
    assert made.lower_bound_g <= made.emissions_g * (1 + 1e-9)
    assert made.oracle_g <= made.emissions_g * (1 + 1e-9)
    print(
        f"\n{' '.join(zones)}, {slots} slots each, {policy}: planned in {made.planning_s:.1f} s; "
        f"saved {made.saved_percent:.3f} %, captured {made.captured_percent or 100:.2f} %, "
        f"gap {made.gap_percent:.3f} %, missed {made.missed_deadlines}, "
        f"refused {dict(made.refused)}, peak {made.peak_slots}"
    )
