"""RAPL on a powercap tree of our own: sums, wraps, gaps, and the job's share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Reading, Scope, Usage
from providers.meters.rapl import RaplMeter

CPUS = os.cpu_count() or 1
TICKS = os.sysconf("SC_CLK_TCK")
RANGE_UJ = 262_143_328_850


@dataclass
class Machine:
    """A fake machine: powercap zones, /proc/stat, and a clock that is moved by hand."""

    root: Path
    now_s: float = 0.0
    busy_s: float = 0.0
    cpu_s: float = 0.0

    def zone(self, folder: str, name: str, uj: int = 0, range_uj: int | None = RANGE_UJ) -> Path:
        path = self.root / "powercap" / folder
        path.mkdir(parents=True)
        (path / "name").write_text(name + "\n")
        (path / "energy_uj").write_text(f"{uj}\n")
        if range_uj is not None:
            (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
        return path / "energy_uj"

    def advance(self, span_s: float, busy_s: float = 0.0, cpu_s: float = 0.0) -> None:
        self.now_s += span_s
        self.busy_s += busy_s
        self.cpu_s += cpu_s
        self.write_stat()

    def write_stat(self) -> None:
        (self.root / "stat").write_text(f"cpu {round(self.busy_s * TICKS)} 0 0 777 7 0 0 9 0 0\n")

    def open(self, slots: int = 1) -> RaplMeter:
        self.write_stat()
        return RaplMeter(
            Scope(slots), self.root / "powercap", self.root / "stat", lambda: self.now_s
        )

    def sample(self, meter: RaplMeter) -> dict[str, Reading]:
        found = meter.sample(Usage(self.now_s, self.cpu_s, 0.0))
        return {reading.component: reading for reading in found}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def _add(counter: Path, joules: float) -> None:
    counter.write_text(str(int(counter.read_text()) + int(joules * 1e6)))


def test_a_job_alone_on_all_cpus_is_charged_the_whole_package(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0")
    meter = machine.open(slots=CPUS)
    _add(package, 500)
    machine.advance(10, busy_s=10 * CPUS, cpu_s=10 * CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.energy_j.value == pytest.approx(500)
    assert cpu.energy_j.low == pytest.approx(475)
    assert cpu.energy_j.high == pytest.approx(525)
    assert 0 < cpu.active_j.value < 500
    assert cpu.covered_s == 10


def test_sockets_are_summed_and_core_and_twin_are_never_added(machine: Machine) -> None:
    counters = [
        machine.zone("intel-rapl:0", "package-0"),
        machine.zone("intel-rapl:1", "package-1"),
        machine.zone("intel-rapl:0:0", "core"),
        machine.zone("intel-rapl:0:1", "uncore"),
        machine.zone("intel-rapl-mmio:0", "package-0"),
        machine.zone("intel-rapl:2", "psys"),
    ]
    memory = machine.zone("intel-rapl:0:2", "dram")
    meter = machine.open(slots=CPUS)
    for counter in counters:
        _add(counter, 100)
    _add(memory, 7)
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    found = machine.sample(meter)
    assert found["cpu"].energy_j.value == pytest.approx(200)
    assert found["dram"].energy_j.value == pytest.approx(7)
    assert [c.name for c in meter.components()] == ["cpu", "dram"]
    assert {c.method for c in meter.components()} == {"measured"}


def test_the_memory_mapped_counter_serves_where_there_is_no_other(machine: Machine) -> None:
    package = machine.zone("intel-rapl-mmio:0", "package-0")
    meter = machine.open(slots=CPUS)
    _add(package, 30)
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].energy_j.value == pytest.approx(30)


def test_an_idle_job_on_a_busy_machine_is_charged_no_active_energy(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0")
    meter = machine.open()
    _add(package, 500)
    machine.advance(10, busy_s=10 * CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.active_j.value == 0
    assert 0 < cpu.energy_j.value < 500


def test_a_wrap_is_unrolled_where_that_is_plausible(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0", uj=RANGE_UJ - 1_000_000)
    meter = machine.open(slots=CPUS)
    package.write_text("49000000")
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].energy_j.value == pytest.approx(50)


@pytest.mark.parametrize("range_uj", [RANGE_UJ, None])
def test_a_counter_that_was_reset_is_a_gap_and_never_a_phantom(
    machine: Machine, range_uj: int | None
) -> None:
    package = machine.zone("intel-rapl:0", "package-0", uj=5_000_000_000, range_uj=range_uj)
    meter = machine.open(slots=CPUS)
    package.write_text("0")
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.energy_j.value == 0
    assert cpu.covered_s == 0
    _add(package, 20)
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.energy_j.value == pytest.approx(20)
    assert cpu.covered_s == 1


@pytest.mark.parametrize("fault", ["", "rubbish", None])
def test_a_failed_read_is_a_gap_and_metering_goes_on_after_it(
    machine: Machine, fault: str | None
) -> None:
    package = machine.zone("intel-rapl:0", "package-0", uj=1_000_000_000)
    meter = machine.open(slots=CPUS)
    if fault is None:
        package.unlink()
    else:
        package.write_text(fault)
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].covered_s == 0
    package.write_text("1100000000")
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].covered_s == 0
    _add(package, 40)
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    cpu = machine.sample(meter)["cpu"]
    assert cpu.energy_j.value == pytest.approx(40)
    assert cpu.covered_s == 1


def test_one_socket_that_fails_leaves_the_sum_uncovered(machine: Machine) -> None:
    good = machine.zone("intel-rapl:0", "package-0")
    bad = machine.zone("intel-rapl:1", "package-1")
    meter = machine.open(slots=CPUS)
    _add(good, 10)
    bad.unlink()
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    assert machine.sample(meter)["cpu"].covered_s == 0


def test_no_busy_time_no_reading(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0")
    meter = machine.open(slots=CPUS)
    _add(package, 10)
    machine.advance(1, busy_s=CPUS, cpu_s=CPUS)
    (machine.root / "stat").unlink()
    assert machine.sample(meter)["cpu"].covered_s == 0


def test_a_machine_without_rapl_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no RAPL domains"):
        Machine(tmp_path).open()


def test_counters_that_may_not_be_read_name_the_remedy(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0")
    if os.geteuid() == 0:
        package.unlink()  # root may read anything: an absent counter is as unreadable
    else:
        package.chmod(0)
    with pytest.raises(OSError, match="chmod a\\+r"):
        machine.open()


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
    meter = machine.open(slots)
    last = 0.0
    for span_s, counter, busy_s, cpu_s in steps:
        package.write_text(str(counter))
        machine.advance(span_s, busy_s, cpu_s)
        cpu = machine.sample(meter)["cpu"]
        assert 0 <= cpu.active_j.value <= cpu.energy_j.value * (1 + 1e-9)
        assert last <= cpu.energy_j.value <= 1000 * machine.now_s * (1 + 1e-9)
        assert cpu.covered_s <= machine.now_s
        last = cpu.energy_j.value
