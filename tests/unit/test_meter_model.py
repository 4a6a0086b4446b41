"""The model of CPU and memory, and the table behind it."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Reading, Scope, Triple, Usage
from providers.meters import microarchitecture, model
from providers.meters.model import ModelMeter
from providers.meters.power import full_load_w

steps = st.lists(
    st.tuples(st.floats(0, 1e5), st.floats(0, 1e7), st.floats(0, 1e7)), min_size=1, max_size=10
)


def _usages(spans: list[tuple[float, float, float]]) -> list[Usage]:
    usages = [Usage(0.0, 0.0, 0.0)]
    for elapsed, cpu, rss in spans:
        last = usages[-1]
        usages.append(
            Usage(
                last.elapsed_s + elapsed,
                last.cpu_s + cpu,
                last.rss_gb_s + rss,
                cpu_share_s=last.cpu_share_s + elapsed / 4,
                memory_share_s=last.memory_share_s + elapsed / 2,
                unseen_cpu_s=last.unseen_cpu_s + cpu / 8,
            )
        )
    return usages


def _ends(reading: Reading) -> tuple[float, ...]:
    energy, active = reading.energy_j, reading.active_j
    return (energy.low, energy.value, energy.high, active.low, active.value, active.high)


@given(st.integers(1, 512), steps)
def test_energies_never_fall_and_active_is_part_of_energy(
    slots: int, spans: list[tuple[float, float, float]]
) -> None:
    meter = ModelMeter(Scope(slots))
    samples = [meter.sample(usage) for usage in _usages(spans)]
    for before, after in pairwise(samples):
        for old, new in zip(before, after, strict=True):
            assert all(a <= b for a, b in zip(_ends(old), _ends(new), strict=True))
    for reading in samples[-1]:
        assert 0 <= reading.active_j.value <= reading.energy_j.value * (1 + 1e-12)
    assert all(end == 0 for reading in samples[0] for end in _ends(reading))


CPUS = os.cpu_count() or 1


def test_a_busy_slot_draws_full_load_and_an_idle_one_idle() -> None:
    watts, share_s = microarchitecture.here(), 100.0 / CPUS
    busy, _ = ModelMeter(Scope(1)).sample(Usage(100.0, 100.0, 0.0, cpu_share_s=share_s))
    idle, _ = ModelMeter(Scope(1)).sample(Usage(100.0, 0.0, 0.0, cpu_share_s=share_s))
    assert busy.energy_j.value == pytest.approx(100 * watts.full.value)
    assert idle.energy_j.value == pytest.approx(100 * watts.idle.value)
    assert idle.active_j.value == 0


def test_what_no_look_met_is_in_the_upper_bound() -> None:
    watts = microarchitecture.here()
    cpu, _ = ModelMeter(Scope(1)).sample(Usage(100.0, 2.0, 0.0, cpu_share_s=1.0, unseen_cpu_s=90.0))
    assert cpu.energy_j.high == pytest.approx(max(92.0, CPUS) * watts.full.high)
    assert cpu.active_j.high == pytest.approx(92 * (watts.full.high - watts.idle.low))


def _hardware(monkeypatch: pytest.MonkeyPatch, cpuinfo: str, memory: float) -> None:
    watts = microarchitecture.identify(cpuinfo)
    monkeypatch.setattr(microarchitecture, "here", lambda: watts)
    monkeypatch.setattr(model, "memory_gb", lambda: memory)


def _chips(count: int, flags: str = "fpu") -> str:
    each = _amd(25, 17) + f"flags : {flags}\nphysical id : {{}}\n"
    return "\n".join(each.format(n) for n in range(count))


def _dram_w(read: frozenset[str] = frozenset()) -> Triple:
    """Of a job that holds the memory of the whole machine (W)."""
    held = Usage(10.0, 0.0, 1e9, memory_share_s=10.0)
    _, dram = ModelMeter(Scope(1, read=read)).sample(held)
    return dram.energy_j.scaled(0.1)


def test_memory_draws_what_was_measured_and_is_no_more_than_the_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dodge et al. 2022, table 1: 23.0 and 9.3 W of DRAM for 256 GB."""
    _hardware(monkeypatch, _chips(1, "fpu hypervisor"), 256.0)
    watts = _dram_w()
    assert (watts.low, watts.value) == (0, pytest.approx(32.3))
    assert watts.high == pytest.approx(0.4083 * 256)


def test_memory_that_the_watts_of_the_cpu_hold_is_not_counted_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SPECpower's servers with EPYC of the 4th generation have 152 GB for each chip."""
    _hardware(monkeypatch, _chips(2), 1024.0)
    assert _dram_w().value == pytest.approx((1024 - 2 * 152.195) * 32.3 / 256)
    _hardware(monkeypatch, _chips(2), 256.0)
    assert _dram_w().value == 0


def test_beside_a_counter_of_the_cpu_all_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    _hardware(monkeypatch, _chips(2), 256.0)
    watts = _dram_w(read=frozenset({"cpu"}))
    assert watts.low == pytest.approx(2 * 9.3)
    assert watts.value == pytest.approx(32.3)


def _amd(family: int, model: int) -> str:
    return f"processor: 0\nvendor_id : AuthenticAMD\ncpu family : {family}\nmodel\t: {model}\n"


def _intel(model: int, stepping: int = 1) -> str:
    return f"vendor_id : GenuineIntel\ncpu family : 6\nmodel : {model}\nstepping : {stepping}\n"


@pytest.mark.parametrize(
    ("cpuinfo", "architecture"),
    [
        (_amd(23, 1), "EPYC 1st Gen"),
        (_amd(23, 49), "EPYC 2nd Gen"),
        (_amd(25, 1), "EPYC 3rd Gen"),
        (_amd(25, 17), "EPYC 4th Gen"),
        (_amd(25, 160), "EPYC 4th Gen"),
        (_intel(79), "Broadwell"),
        (_intel(85, 4), "Skylake"),
        (_intel(85, 7), "Cascade Lake"),
        (_intel(106), "Ice Lake"),
        (_intel(143), "Sapphire Rapids"),
        (_intel(173), "Granite Rapids"),
    ],
)
def test_cpuid_names_the_microarchitecture(cpuinfo: str, architecture: str) -> None:
    found = microarchitecture.identify(cpuinfo)
    assert f"= {architecture};" in found.source
    assert found.idle.high < found.full.low


def test_zen_5_takes_the_row_of_zen_4_and_says_why() -> None:
    zen5, zen4 = (microarchitecture.identify(_amd(f, m)) for f, m in ((26, 2), (25, 17)))
    assert (zen5.idle, zen5.full) == (zen4.idle, zen4.full)
    assert "stands in for Zen 5, whose row is wrong" in zen5.source


@pytest.mark.parametrize(
    "cpuinfo",
    [
        "",
        "rubbish",
        _intel(9999),
        _amd(99, 1),
        "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd40\n\nprocessor : 1\n",
    ],
)
def test_an_unknown_processor_gets_the_extremes_and_says_so(cpuinfo: str) -> None:
    found = microarchitecture.identify(cpuinfo)
    known = microarchitecture.identify(_amd(25, 1))
    assert "the mean of all rows" in found.source
    assert found.idle.low <= known.idle.low
    assert known.full.high <= found.full.high


def test_full_load_of_more_slots_is_more_and_names_its_source() -> None:
    one, source = full_load_w(1)
    four, _ = full_load_w(4)
    assert four.value == pytest.approx(4 * one.value)
    assert one.value > microarchitecture.here().full.value
    assert "Cloud Carbon Footprint" in source
