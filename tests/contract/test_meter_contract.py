"""What every meter of the registry must keep, and the shipped fakes with it."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from support.boards import OnFakeBoards

from providers import registry
from providers.base import MeterKind, Method, Probe, Scope, Usage
from providers.meters.nvml import idle_boards
from providers.meters.powercap import PLAUSIBLE_W
from providers.meters.rapl import COUNTER_ERROR
from providers.runner.journal import JournalWriter
from scheduler.testing import FakeMeter, FakePowercap
from scheduler.testing.powercap import FAULTS, RANGE_UJ

CPUS = os.cpu_count() or 1
# What one tick of busy time may cost of a span of 1 s.
TICK = 0.02
FAULTY = [f"rapl with {fault}" for fault in FAULTS]
KINDS = [
    *sorted(registry.targets("meters")),
    "fake",
    "nvml on fake boards",
    "replay of a record",
    "rapl without faults",
    *FAULTY,
]
USAGES = [Usage(0.0, 0.0, 0.0), Usage(1.0, 0.5, 0.1), Usage(1.0, 0.5, 0.1), Usage(60.0, 200.0, 9.0)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> MeterKind:
    name: str = request.param
    if name == "fake":
        return FakeMeter()
    if name == "nvml on fake boards":
        return OnFakeBoards()
    if name == "replay of a record":
        record = JournalWriter(tmp_path, FakeMeter().components(), {}, 1000.0)
        record.sample(1010.0, 5.0, FakeMeter().sample(Usage(10.0, 5.0, 0.0)))
        record.close()
        return registry.meter(f"replay:{tmp_path}")
    if name.startswith("rapl with"):
        fault = name.removeprefix("rapl with ")
        return FakePowercap(tmp_path, fault=fault if fault in FAULTS else None)
    found: MeterKind = registry.load("meters", name)
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


# A wrap and a stepped clock lose nothing; all else is a gap, and none is more than one note.
LOSSLESS = {"wrap", "clock step"}
LASTING = {"vanishing device", "permission lost", "frozen counter"}


@pytest.mark.parametrize("uj", [0, RANGE_UJ // 2, RANGE_UJ - 150_000_000])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_a_counter_makes_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, uj: int
) -> None:
    """A job that holds the whole machine is never charged more than the machine drew."""
    machine = FakePowercap(tmp_path, uj=uj, fault=fault, fault_at_s=3.5)
    monkeypatch.setattr(time, "time", lambda: machine.wall_s)
    meter = machine.open(Scope(CPUS))
    begun, last = machine.now, None
    for second in range(1, 11):
        found = {r.component: r for r in meter.sample(Usage(second, second, 0.0))}
        cpu = found["cpu"]
        awake_s, _ = machine.now.since(begun)
        assert 0 <= cpu.active_j.value <= cpu.energy_j.value * (1 + 1e-9)
        if fault != "reset" or uj < RANGE_UJ // 2:  # near its end, no one can tell it from a wrap
            assert cpu.energy_j.value <= machine.drawn_j * (1 + 1e-9)
        assert cpu.energy_j.high <= PLAUSIBLE_W * awake_s * (1 + COUNTER_ERROR)
        assert cpu.covered_s <= awake_s
        if last is not None:
            assert last.energy_j.value <= cpu.energy_j.value
            assert last.covered_s <= cpu.covered_s
        last = cpu
    assert last is not None
    lost = last.facts["gap_count"]
    if fault in LOSSLESS:
        assert lost == 0
        assert last.energy_j.value == pytest.approx(machine.drawn_j, rel=TICK)
    elif fault in LASTING:
        assert lost == 7
        assert last.covered_s == 3
        assert last.energy_j.value == pytest.approx(3 * machine.watts, rel=TICK)
    elif fault != "reset":
        assert 1 <= lost <= 2
        assert last.energy_j.value == pytest.approx((10 - lost) * machine.watts, rel=TICK)
    assert len(meter.notes()) == (
        2 if fault in {"vanishing device", "frozen counter"} else fault in LASTING
    )
    if fault == "permission lost":
        assert "chmod a+r" in meter.notes()[0]
