"""What every meter of the registry must keep, and the shipped fakes with it."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from support.boards import OnFakeBoards

from providers import registry
from providers.base import MeterKind, Method, Probe, Scope, Usage
from providers.meters.nvml import idle_boards
from scheduler.testing import FakeMeter

FAKES: dict[str, MeterKind] = {"fake": FakeMeter(), "nvml on fake boards": OnFakeBoards()}
KINDS = [*sorted(registry.targets("meters")), *FAKES]
USAGES = [Usage(0.0, 0.0, 0.0), Usage(1.0, 0.5, 0.1), Usage(1.0, 0.5, 0.1), Usage(60.0, 200.0, 9.0)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> MeterKind:
    fake = FAKES.get(request.param)
    found: MeterKind = fake if fake is not None else registry.load("meters", request.param)
    return found


def test_a_probe_says_why_in_one_line(kind: MeterKind) -> None:
    probe = kind.probe()
    assert isinstance(probe, Probe)
    assert probe.detail
    assert "\n" not in probe.detail


def test_an_unavailable_meter_meters_nothing(kind: MeterKind) -> None:
    if kind.probe().available:
        pytest.skip("this meter works here")
    try:
        offered = kind.open(Scope(1)).components()
    except OSError:
        offered = ()
    assert offered == ()


def test_readings_are_cumulative_bounded_and_of_known_components(kind: MeterKind) -> None:
    if not kind.probe().available:
        pytest.skip(kind.probe().detail)
    meter = kind.open(Scope(2, idle_boards()[:1]))
    components = meter.components()
    names = [c.name for c in components]
    assert len(names) == len(set(names))
    assert all(c.source and c.method in get_args(Method) for c in components)
    samples = [{r.component: r for r in meter.sample(usage)} for usage in USAGES]
    assert meter.components() == components
    assert isinstance(meter.notes(), tuple)
    meter.close()
    for before, after in pairwise(samples):
        assert set(after) <= set(names)
        for name, new in after.items():
            assert 0 <= new.active_j.low <= new.active_j.high
            assert 0 <= new.energy_j.low <= new.energy_j.high
            assert new.active_j.value <= new.energy_j.value * (1 + 1e-9)
            if name in before:
                old = before[name]
                assert old.energy_j.low <= new.energy_j.low
                assert old.energy_j.value <= new.energy_j.value
                assert old.energy_j.high <= new.energy_j.high
                assert old.covered_s <= new.covered_s
