"""What many jobs are charged of one machine: never more than it drew, and no job less than 0."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Scope, Usage
from providers.meters.rapl import RaplMeter
from providers.runner.holdings import Held
from providers.runner.shares import part
from scheduler.testing import FakePowercap

CPUS = 8
# Slots that a job holds, and for each of three spans the CPUs that it uses.
jobs = st.lists(
    st.tuples(st.integers(1, 2 * CPUS), st.lists(st.floats(0, 4), min_size=3, max_size=3)),
    min_size=1,
    max_size=6,
)
others = st.lists(st.floats(0, 4), min_size=3, max_size=3)


@given(jobs, others, st.floats(0, 900))
def test_the_jobs_and_the_rest_are_the_device(
    tmp_path_factory: pytest.TempPathFactory,
    jobs: list[tuple[int, list[float]]],
    others: list[float],
    watts: float,
) -> None:
    machine = FakePowercap(tmp_path_factory.mktemp("machine"), watts=watts)
    machine.build()
    with patch.object(os, "cpu_count", lambda: CPUS):
        meters: list[RaplMeter] = [machine.meter(Scope(slots)) for slots, _ in jobs]
    held = sum(slots for slots, _ in jobs)
    used, shares = [0.0] * len(jobs), [0.0] * len(jobs)
    for span in range(3):
        machine.advance(1.0, sum(cpus[span] for _, cpus in jobs) + others[span])
        busy = sum(cpus[span] for _, cpus in jobs) + others[span]
        for i, (slots, cpus) in enumerate(jobs):
            used[i] += cpus[span]
            of = Held(1.0, slots / max(CPUS, held), max(0, CPUS - held) / CPUS)
            shares[i] += part(of, uses=cpus[span] / CPUS, others=(busy - cpus[span]) / CPUS)
        usages = [
            Usage(span + 1.0, cpu_s, 0.0, cpu_share_s=share_s)
            for cpu_s, share_s in zip(used, shares, strict=True)
        ]
        found = [
            {r.component: r for r in meter.sample(usage)}
            for meter, usage in zip(meters, usages, strict=True)
        ]
        for name in ("cpu", "dram"):
            parts = [readings[name] for readings in found]
            device_j = parts[0].facts["device_j"]
            assert all(0 <= p.active_j.value <= p.energy_j.value * (1 + 1e-9) for p in parts)
            assert sum(p.energy_j.value for p in parts) <= device_j * (1 + 1e-9) + 1e-6
            assert all(p.facts["device_j"] == device_j for p in parts)
