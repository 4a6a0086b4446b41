"""What many jobs are charged of one machine: never more than it drew, and no job less than 0."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Scope, Usage
from providers.meters.rapl import RaplMeter, idle_share
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
    used = [0.0] * len(jobs)
    for span in range(3):
        machine.advance(1.0, sum(cpus[span] for _, cpus in jobs) + others[span])
        for i, (_, cpus) in enumerate(jobs):
            used[i] += cpus[span]
        found = [
            {r.component: r for r in meter.sample(Usage(span + 1.0, cpu_s, 0.0, held_slots=held))}
            for meter, cpu_s in zip(meters, used, strict=True)
        ]
        for name in ("cpu", "dram"):
            parts = [readings[name] for readings in found]
            device_j = parts[0].facts["device_j"]
            assert all(0 <= p.active_j.value <= p.energy_j.value * (1 + 1e-9) for p in parts)
            assert sum(p.energy_j.value for p in parts) <= device_j * (1 + 1e-9) + 1e-6
            assert all(p.facts["device_j"] == device_j for p in parts)


@given(jobs, others)
def test_shares_of_idle_are_shares_of_one(
    jobs: list[tuple[int, list[float]]], others: list[float]
) -> None:
    held = sum(slots for slots, _ in jobs)
    busy = sum(cpus[0] for _, cpus in jobs) + others[0]
    shares = [
        idle_share(slots=slots, used_cpus=cpus[0], busy_cpus=busy, held_slots=held, cpus=CPUS)
        for slots, cpus in jobs
    ]
    assert all(share >= 0 for share in shares)
    assert sum(shares) <= 1 + 1e-9
    if held >= CPUS:  # all of the machine is held: nothing of its idle power is left over
        assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("slots", "used", "busy", "held", "share"),
    [
        (2, 1.0, 8.0, 2, 2 / 8),  # what it holds, however busy the rest is
        (2, 1.0, 1.0, 16, 2 / 16),  # more is held than there is
        (1, 8.0, 8.0, 1, 1.0),  # alone, it uses all that nobody holds
        (1, 8.0, 8.0, 8, 1 / 8),  # others hold all of that
        (1, 3.0, 7.0, 1, 1 / 8 + 7 / 8 * 2 / 7),  # shared with strangers, by use
    ],
)
def test_the_rule_of_idle(slots: int, used: float, busy: float, held: int, share: float) -> None:
    found = idle_share(slots=slots, used_cpus=used, busy_cpus=busy, held_slots=held, cpus=8)
    assert found == pytest.approx(share)
