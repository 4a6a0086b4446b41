"""RAPL on a powercap tree of our own: sums, wraps, gaps, and the job's share."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Reading, Scope, Usage
from providers.meters import rapl
from providers.meters.powercap import SMALLEST_RANGE_J
from providers.meters.rapl import RaplMeter
from providers.runner.metering import Metering
from scheduler.testing import FakePowercap
from scheduler.testing.powercap import RANGE_UJ, put

CPUS = os.cpu_count() or 1
# What one tick of busy time may cost of a span of 1 s.
TICK = 0.02


@dataclass
class Machine(FakePowercap):
    """Counters that are moved by hand, and one job that has used ``cpu_s``."""

    watts: float = 0.0
    dram_w: float = 0.0
    cpu_s: float = 0.0
    slots: int = 1

    def pass_s(self, span_s: float, busy_s: float = 0.0, cpu_s: float = 0.0) -> None:
        self.advance(span_s, busy_s)
        self.cpu_s += cpu_s

    def start(self, slots: int = 1) -> RaplMeter:
        self.advance(0.0)
        self.slots = slots
        return self.meter(Scope(slots))

    def sample(self, meter: RaplMeter) -> dict[str, Reading]:
        elapsed_s = self.now.awake_s - 1000.0
        share_s = elapsed_s * self.slots / CPUS
        found = meter.sample(Usage(elapsed_s, self.cpu_s, 0.0, cpu_share_s=share_s))
        return {reading.component: reading for reading in found}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def _add(counter: Path, joules: float) -> None:
    put(counter, int(counter.read_text()) + int(joules * 1e6))


def test_a_job_alone_on_all_cpus_is_charged_the_whole_package(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0")
    meter = machine.start(slots=CPUS)
    _add(package, 500)
    machine.pass_s(10, busy_s=10 * CPUS, cpu_s=10 * CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.energy_j.value == pytest.approx(500, rel=TICK)
    assert cpu.energy_j.low == pytest.approx(475, rel=TICK)
    assert cpu.energy_j.high == pytest.approx(525, rel=TICK)
    assert 0 < cpu.active_j.value < 500
    assert cpu.covered_s == pytest.approx(10)


def test_sockets_are_summed_and_core_and_twin_are_never_added(machine: Machine) -> None:
    counters = [
        machine.zone("intel-rapl:0", "package-0"),
        machine.zone("intel-rapl:1", "package-1"),
        machine.zone("intel-rapl:0:0", "core"),
        machine.zone("intel-rapl:0:1", "uncore"),
        machine.zone("intel-rapl-mmio:0", "package-0"),
        machine.zone("intel-rapl:2", "psys"),
    ]
    memory = [machine.zone(f"intel-rapl:{i}:2", "dram") for i in range(2)]
    meter = machine.start(slots=CPUS)
    for counter in counters:
        _add(counter, 100)
    for counter in memory:
        _add(counter, 3.5)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    found = machine.sample(meter)
    assert found["cpu"].energy_j.value == pytest.approx(200, rel=TICK)
    assert found["dram"].energy_j.value == pytest.approx(7, rel=TICK)
    assert [c.name for c in meter.components()] == ["cpu", "dram"]
    assert {c.method for c in meter.components()} == {"measured"}


def test_the_memory_mapped_counter_serves_where_there_is_no_other(machine: Machine) -> None:
    package = machine.zone("intel-rapl-mmio:0", "package-0")
    meter = machine.start(slots=CPUS)
    _add(package, 30)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].energy_j.value == pytest.approx(30, rel=TICK)


def test_an_idle_job_on_a_busy_machine_is_charged_no_active_energy(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0")
    meter = machine.start()
    _add(package, 500)
    machine.pass_s(10, busy_s=10 * CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.active_j.value == 0
    assert 0 < cpu.energy_j.value < 500


def test_a_wrap_is_unrolled_where_that_is_plausible(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0", uj=RANGE_UJ - 1_000_000)
    meter = machine.start(slots=CPUS)
    put(package, 49_000_000)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].energy_j.value == pytest.approx(50, rel=TICK)


@pytest.mark.parametrize("range_uj", [RANGE_UJ, None])
def test_a_counter_that_was_reset_is_a_gap_and_never_a_phantom(
    machine: Machine, range_uj: int | None
) -> None:
    package = machine.zone("intel-rapl:0", "package-0", uj=5_000_000_000, range_uj=range_uj)
    meter = machine.start(slots=CPUS)
    put(package, 0)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.energy_j.value == 0
    assert cpu.covered_s == 0
    _add(package, 20)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.energy_j.value == pytest.approx(20, rel=TICK)
    assert cpu.covered_s == pytest.approx(1)


@pytest.mark.parametrize("fault", ["", "rubbish", None])
def test_a_failed_read_is_a_gap_and_metering_goes_on_after_it(
    machine: Machine, fault: str | None
) -> None:
    package = machine.zone("intel-rapl:0", "package-0", uj=1_000_000_000)
    meter = machine.start(slots=CPUS)
    if fault is None:
        package.unlink()
    else:
        package.write_text(fault)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].covered_s == 0
    put(package, 1_100_000_000)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].covered_s == 0
    _add(package, 40)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.energy_j.value == pytest.approx(40, rel=TICK)
    assert cpu.covered_s == pytest.approx(1)


def test_one_socket_that_fails_leaves_the_sum_uncovered(machine: Machine) -> None:
    good = machine.zone("intel-rapl:0", "package-0")
    bad = machine.zone("intel-rapl:1", "package-1")
    meter = machine.start(slots=CPUS)
    _add(good, 10)
    bad.unlink()
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].covered_s == 0


def test_no_busy_time_no_reading(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0")
    meter = machine.start(slots=CPUS)
    _add(package, 10)
    machine.pass_s(1, busy_s=CPUS, cpu_s=CPUS)
    machine.stat.unlink()
    assert machine.sample(meter)["cpu"].covered_s == 0


def test_a_machine_without_rapl_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no RAPL domains"):
        Machine(tmp_path).start()


def test_counters_that_may_not_be_read_name_the_remedy() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        machine = Machine(Path(folder))
        machine.build()
        machine.forbid()
        with machine.reader(), pytest.raises(OSError, match=r"chmod a\+r .*docs/metering.md"):
            machine.meter(Scope(1))


def test_a_tree_that_may_not_be_listed_is_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "glob", refuse)
    with pytest.raises(OSError, match="no RAPL domains"):
        machine.start()


@pytest.mark.parametrize("fault", ["absent", "rubbish"])
def test_one_socket_that_cannot_be_read_leaves_no_half_of_a_machine(
    machine: Machine, fault: str
) -> None:
    machine.zone("intel-rapl:0", "package-0")
    broken = machine.zone("intel-rapl:1", "package-1")
    if fault == "absent":
        broken.unlink()
    else:
        broken.write_text("rubbish")
    with pytest.raises(OSError, match=r"cannot be read: .*(No such file|no number)"):
        machine.start()


def test_a_whole_of_the_platform_is_no_package(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "psys")
    with pytest.raises(OSError, match="psys"):
        machine.start()


@pytest.mark.parametrize("sockets", [1, 2])
def test_memory_is_left_to_the_next_meter_where_not_every_socket_tells_it(
    machine: Machine, sockets: int
) -> None:
    """An AMD has no dram domain at all."""
    for socket in range(sockets):
        machine.zone(f"intel-rapl:{socket}", f"package-{socket}")
    if sockets == 2:
        machine.zone("intel-rapl:0:0", "dram")
    assert [c.name for c in machine.start().components()] == ["cpu"]


@pytest.mark.parametrize(
    ("range_uj", "poll_s"),
    [(RANGE_UJ, 65.5), (65_532_610_987, 16.4), (None, SMALLEST_RANGE_J / 4000), (0, 16.4)],
)
def test_the_smallest_counter_says_how_often_it_must_be_read(
    machine: Machine, range_uj: int | None, poll_s: float
) -> None:
    """Four times while a part that draws all it can goes once round: range / (4 x 1000 W)."""
    machine.zone("intel-rapl:0", "package-0")
    machine.zone("intel-rapl:1", "package-1", range_uj=range_uj)
    assert machine.start().components()[0].poll_s == pytest.approx(poll_s, abs=0.1)


def test_each_socket_and_the_whole_device_are_told(machine: Machine) -> None:
    counters = [machine.zone(f"intel-rapl:{i}", f"package-{i}") for i in range(2)]
    meter = machine.start()
    for joules, counter in zip((100, 30), counters, strict=True):
        _add(counter, joules)
    machine.pass_s(1, busy_s=1)
    facts = machine.sample(meter)["cpu"].facts
    assert facts == pytest.approx(
        {"device_j": 130, "gap_count": 0, "socket_0_j": 100, "socket_1_j": 30}
    )


def test_a_device_that_is_gone_is_noted_once(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0")
    meter = machine.start()
    package.unlink()
    for _ in range(3):
        machine.pass_s(1)
        machine.sample(meter)
    assert meter.notes() == (
        "RAPL intel-rapl:0 cannot be read, its energy is a gap: No such file or directory",
    )


spans = st.tuples(
    st.floats(0.01, 1000), st.integers(0, RANGE_UJ), st.floats(0, 1e5), st.floats(0, 1e5)
)


@given(st.integers(1, 64), st.lists(spans, min_size=1, max_size=8))
def test_whatever_the_counter_tells_energy_never_falls_nor_leaps(
    tmp_path_factory: pytest.TempPathFactory,
    slots: int,
    steps: list[tuple[float, int, float, float]],
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    package = machine.zone("intel-rapl:0", "package-0")
    meter = machine.start(slots)
    last = 0.0
    for span_s, counter, busy_s, cpu_s in steps:
        put(package, counter)
        machine.pass_s(span_s, busy_s, cpu_s)
        cpu = machine.sample(meter)["cpu"]
        awake_s = machine.now.awake_s - 1000.0
        assert 0 <= cpu.active_j.value <= cpu.energy_j.value * (1 + 1e-9)
        assert last <= cpu.energy_j.value <= 1000 * awake_s * (1 + 1e-9)
        assert cpu.covered_s <= awake_s
        last = cpu.energy_j.value


def test_a_counter_that_stands_still_under_load_is_a_gap_and_not_zero(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0", 5_000_000)
    meter = machine.start(slots=CPUS)
    _add(package, 500)
    machine.pass_s(10, busy_s=10 * CPUS, cpu_s=10 * CPUS)
    machine.sample(meter)
    machine.pass_s(10, busy_s=10 * CPUS, cpu_s=10 * CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.covered_s == 10
    assert cpu.energy_j.value == pytest.approx(500, rel=TICK)
    assert cpu.facts["gap_count"] == 1
    assert meter.notes() == ("RAPL intel-rapl:0: the counter stood still, its energy is a gap",)
    _add(package, 300)
    machine.pass_s(10, busy_s=10 * CPUS, cpu_s=10 * CPUS)
    assert machine.sample(meter)["cpu"].covered_s == 20


def test_a_counter_that_never_moves_is_left_to_the_model(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At zero, or at whatever a hypervisor has put there."""
    monkeypatch.setattr(rapl, "POWERCAP", machine.powercap)
    machine.zone("intel-rapl:0", "package-0", 5_000_000)
    probe = rapl.KIND.probe()
    assert not probe.available
    assert "stands still" in probe.detail
    metering = Metering(("rapl", "model"), Scope(1))
    assert {c.name: c.method for c in metering.components} == {
        "cpu": "modelled", "dram": "modelled",
    }  # fmt: skip
    assert "meter rapl is not used" in metering.notes[0]
    assert "stands still" in metering.notes[0]


def test_memory_whose_counter_never_moves_is_left_to_the_model(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = machine.zone("intel-rapl:0", "package-0", 5_000_000)
    machine.zone("intel-rapl:0:0", "dram", 0)
    monkeypatch.setattr(rapl, "POWERCAP", machine.powercap)
    over = threading.Event()

    def count() -> None:
        while not over.wait(0.001):
            _add(package, 0.1)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        metering = Metering(("rapl", "model"), Scope(1))
    finally:
        over.set()
        counting.join()
    assert {c.name: c.method for c in metering.components} == {
        "cpu": "measured", "dram": "modelled",
    }  # fmt: skip
