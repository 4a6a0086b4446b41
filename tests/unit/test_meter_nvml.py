"""NVIDIA boards by a library of our own: counters, power, bounds, threads. No board is needed."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from support.boards import NOTHING, only, opened, run, second
from support.fleet import until

from providers.base import Scope
from providers.meters import nvml as meters_nvml
from providers.meters.nvml.kind import KIND, OPENER
from scheduler.testing.boards import FakeBoard, FakeSlice
from scheduler.testing.nvml import GPU_IS_LOST, FakeNvml

HANDLE = "nvmlDeviceGetHandleByIndex"


def test_the_counter_is_read_and_idle_power_is_not_active() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=60.0)])
    meter = opened(nvml)
    (component,) = meter.components()
    assert (component.name, component.method, component.max_w) == ("gpu:GPU-a", "measured", 400.0)
    assert component.source.startswith("NVML energy counter; mean power of 1 s")
    assert "100 % of the time (arXiv 2312.02741)" in component.source
    run(nvml, meter, 300.0, 10)
    gpu = only(meter)
    assert gpu.energy_j.value == pytest.approx(3000, rel=1e-3)
    assert gpu.active_j.value == pytest.approx(2400, rel=1e-3)
    edge = 0.1 * (60 + 300)  # a renewal at either end
    assert gpu.energy_j.low == pytest.approx(0.95 * 3000 - edge, rel=1e-3)
    assert gpu.energy_j.high == pytest.approx(1.05 * 3000 + edge, rel=1e-3)
    assert gpu.active_j.low == pytest.approx(0.95 * 3000 - 600 - edge, rel=1e-3)
    assert gpu.covered_s == pytest.approx(10)
    assert gpu.facts["mean_utilisation_percent"] == pytest.approx(50)
    assert gpu.facts["mean_sm_clock_mhz"] == pytest.approx(1500)
    assert gpu.facts["power_limit_w"] == 400
    assert gpu.facts["shared_samples_percent"] == 0
    assert meter.notes() == ()


def test_only_assigned_boards_are_metered() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a"), FakeBoard("GPU-b"), FakeBoard("GPU-c")])
    assert [c.name for c in opened(nvml, "GPU-b").components()] == ["gpu:GPU-b"]


@pytest.mark.parametrize("board", [{"counter_mj": None}, {"counts": False}, {"counter_mj": 0.0}])
def test_without_a_living_counter_power_is_integrated(board: dict[str, Any]) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", **{"counts": False, **board})])
    meter = opened(nvml)
    (component,) = meter.components()
    assert component.method == "integrated"
    assert "read at 10 Hz" in component.source
    run(nvml, meter, 100.0, 10)
    gpu = only(meter)
    assert gpu.energy_j.value == pytest.approx(1000)
    assert gpu.covered_s == pytest.approx(10)


@pytest.mark.parametrize(
    ("name", "seen"), [("NVIDIA H100 80GB HBM3", 0.25), ("NVIDIA GH200 480GB", 0.2)]
)
def test_what_the_sensor_does_not_see_widens_the_bounds(name: str, seen: float) -> None:
    board = FakeBoard("GPU-a", power_w=100.0, counter_mj=None, name=name, architecture=9)
    nvml = FakeNvml([board])
    meter = opened(nvml)
    assert f"{100 * seen:.0f} % of the time" in meter.components()[0].source
    run(nvml, meter, 100.0, 100)
    gpu = only(meter)
    edge, unseen = 0.1 * 200, 1 - seen
    assert gpu.energy_j.value == pytest.approx(10_000)
    assert gpu.energy_j.high == pytest.approx(1.05 * (1e4 * seen + 400 * 100 * unseen) + edge)
    # Nobody was on the board, so that what it drew at first is its idle power.
    assert gpu.energy_j.low == pytest.approx(0.95 * 1e4 - edge)


def test_power_between_two_looks_is_taken_as_a_trapezoid() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=100.0, counter_mj=None)])
    meter = opened(nvml)
    nvml.boards[0].power_w = 300.0
    nvml.advance(1.0)
    meter.look()
    assert only(meter).energy_j.value == pytest.approx(200)


def test_the_drivers_samples_lose_nothing_between_two_looks() -> None:
    """A square wave of 0.2 s: read once a second, it would look like one of its two levels."""

    def wave(at_s: float) -> float:
        return 350.0 if at_s % 0.2 < 0.1 else 50.0

    boards = [
        FakeBoard("GPU-a", load=wave, counter_mj=None, tells=frozenset({"samples"})),
        FakeBoard("GPU-b", load=wave, counter_mj=None, tells=frozenset({"usage"})),
    ]
    nvml = FakeNvml(boards, now_s=0.0)
    nvml.advance(1.01)
    meter = opened(nvml)
    assert "power samples of the driver read at 1 Hz" in meter.components()[0].source
    for _ in range(20):
        nvml.advance(1.0)
        meter.look()
    kept, polled = meter.sample(NOTHING)
    assert kept.energy_j.value == pytest.approx(20 * 200, rel=0.05)
    assert abs(polled.energy_j.value - 20 * 200) > 0.5 * 20 * 200


def test_a_board_that_others_use_has_no_known_idle_power() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", pids={1: 10})])
    meter = opened(nvml)
    run(nvml, meter, 300.0, 10)
    gpu = only(meter)
    assert gpu.active_j.low == 0
    assert gpu.active_j.high == gpu.energy_j.high


@pytest.mark.parametrize("power_w", [100.0, 200.0])
def test_where_the_witnesses_disagree_the_bounds_span_both(power_w: float) -> None:
    """Power is told at half, or double, of what the counter counts."""
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=power_w, gain=100.0 / power_w * 1.5)])
    meter = opened(nvml)
    run(nvml, meter, power_w, 9)
    assert meter.notes() == ()  # too short to tell
    run(nvml, meter, power_w, 101)
    gpu = only(meter)
    counted, integrated = 110 * power_w, 110 * 150.0
    assert gpu.energy_j.value == pytest.approx(counted)
    assert gpu.energy_j.low < min(counted, integrated)
    assert gpu.energy_j.high > max(counted, integrated)
    assert gpu.facts["witness_difference_percent"] == pytest.approx(
        100 * (integrated / counted - 1), abs=1
    )
    assert len(meter.notes()) == 1
    assert "differ by more than 10 %" in meter.notes()[0]


def test_a_device_that_tells_nothing_is_missing_with_its_reason() -> None:
    boards = [
        FakeBoard("GPU-a", counter_mj=None, tells=frozenset()),
        FakeBoard("GPU-v", counter_mj=None, tells=frozenset(), vgpu=True),
        FakeBoard("GPU-b"),
    ]
    meter = opened(FakeNvml(boards), "GPU-a", "GPU-v", "GPU-x", "GPU-b")
    found = {c.name: (c.method, c.source) for c in meter.components()}
    assert found["gpu:GPU-b"][0] == "measured"
    assert found["gpu:GPU-a"] == ("missing", "NVML tells neither energy nor power: Not Supported")
    assert found["gpu:GPU-v"][1].startswith("a vGPU")
    assert found["gpu:GPU-x"][1].startswith("assigned, but NVML knows no such board")
    assert [r.component for r in meter.sample(NOTHING)] == ["gpu:GPU-b"]


@pytest.mark.parametrize(("count", "compute"), [(3, 1), (3, 2), (4, 1)])
def test_a_compute_instance_gets_its_own_slices_and_not_those_of_its_gpu_instance(
    count: int, compute: int
) -> None:
    names = ("MIG-a", "MIG-b", "MIG-c")
    slices = [FakeSlice(name, count, compute=compute) for name in names]
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=350.0, slices=slices)])
    meter = opened(nvml, *names)
    run(nvml, meter, 350.0, 10)
    for component, reading in zip(meter.components(), meter.sample(NOTHING), strict=True):
        assert component.source.endswith(f"MIG slice, {compute} of 7 compute slices")
        assert component.share == pytest.approx(compute / 7)
        assert reading.energy_j.value == pytest.approx(3500 * compute / 7)


def test_a_slice_gets_its_share_of_the_board_and_bounds_from_nothing_to_all() -> None:
    slices = [FakeSlice("MIG-a", 3), FakeSlice("MIG-b", 1), FakeSlice("MIG-c", None)]
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=350.0, slices=slices)])
    meter = opened(nvml, "MIG-a", "MIG-c", "GPU-a")
    sources = {c.name: c.source for c in meter.components()}
    assert sources["gpu:MIG-a"].endswith("MIG slice, 3 of 7 compute slices")
    assert sources["gpu:MIG-c"].endswith("MIG slice of unknown size")
    assert "no such board" in sources["gpu:GPU-a"]  # CUDA runs on slices alone
    run(nvml, meter, 350.0, 10)
    part, unknown = meter.sample(NOTHING)
    assert part.energy_j.value == pytest.approx(1500)
    assert part.energy_j.low == 0
    assert part.energy_j.high > 3500
    assert unknown.energy_j.value == pytest.approx(3500)
    assert unknown.energy_j.low == 0
    assert "mean_utilisation_percent" not in part.facts


def test_a_hanging_driver_never_blocks_a_sample_for_long_nor_twice() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = opened(nvml).start()
    nvml.hangs = threading.Event()
    before = meter.sample(NOTHING)
    answers: list[object] = []

    def ask() -> None:
        answers.extend(meter.sample(NOTHING) for _ in range(50))

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    asker.join(10)  # fifty waits of half a second would last longer
    assert answers == [before] * 50
    assert len(meter.notes()) == 1
    assert "NVML did not answer" in meter.notes()[0]
    nvml.hangs.set()
    meter.close()
    assert nvml.inits == -1  # it was opened by the test


def test_the_thread_gives_a_fresh_look_when_sampled() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = opened(nvml).start()
    nvml.advance(7.0)
    gpu = only(meter)
    meter.close()
    assert gpu.energy_j.value == pytest.approx(700)


def test_an_answer_that_makes_no_sense_ends_neither_thread_nor_record() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = opened(nvml).start()
    nvml.boards[0].limit_w = float("nan")
    nvml.advance(1.0)
    meter.sample(NOTHING)
    nvml.boards[0].limit_w = 400.0
    nvml.advance(1.0)
    gpu = only(meter)
    meter.close()
    assert gpu.energy_j.value == pytest.approx(200)
    assert "cannot be understood" in meter.notes()[0]


def test_a_slow_reading_is_left_out() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = opened(nvml)
    second(nvml, meter)
    answer = nvml.nvmlDeviceGetTotalEnergyConsumption

    def slow(handle: FakeBoard) -> int:
        found = answer(handle)  # as of the beginning
        nvml.advance(5.0)
        return found

    nvml.nvmlDeviceGetTotalEnergyConsumption = slow  # type: ignore[method-assign]
    meter.look()
    nvml.nvmlDeviceGetTotalEnergyConsumption = answer  # type: ignore[method-assign]
    second(nvml, meter)
    gpu = only(meter)
    assert gpu.energy_j.value == pytest.approx(700)  # the counter tells it later
    assert gpu.covered_s == pytest.approx(7)
    assert "NVML took long" in meter.notes()[0]


def test_the_kind_tells_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert KIND.probe().detail == "1 NVIDIA board(s)"
    meter = KIND.open(Scope(1, ("GPU-a",)))
    assert [c.method for c in meter.components()] == ["integrated"]  # its clock stands
    meter.close()
    assert nvml.inits == 0


def test_a_job_without_boards_does_not_wait_for_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")], hangs=threading.Event())
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter = KIND.open(Scope(1))
    assert meter.components() == meter.sample(NOTHING) == meter.notes() == ()
    meter.close()
    assert "NVML did not answer" in meter.notes()[0]
    assert nvml.hangs is not None
    nvml.hangs.set()


def test_a_machine_without_a_driver_has_nothing_to_say_of_boards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    meter = KIND.open(Scope(1))
    until(lambda: not any(t.name == OPENER for t in threading.enumerate()))
    meter.close()
    assert meter.components() == meter.notes() == ()


def test_a_driver_that_hangs_at_the_start_is_gone_without(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")], hangs=threading.Event())
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr("providers.meters.nvml.library.OPEN_PATIENCE_S", 0.1)
    with pytest.raises(OSError, match="did not answer within"):
        KIND.open(Scope(1, ("GPU-a",)))
    assert nvml.hangs is not None
    nvml.hangs.set()


def test_limits_are_told_of_boards_and_of_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    boards = [
        FakeBoard("GPU-a", limit_w=300.0),
        FakeBoard("GPU-b", limit_w=None),
        FakeBoard("GPU-c", limit_w=700.0, slices=[FakeSlice("MIG-a", 2)]),
        FakeBoard("GPU-d", lost=True),
    ]
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(boards))
    assert meters_nvml.gpu_limits_w() == {"GPU-a": 300.0, "MIG-a": pytest.approx(200.0)}


@pytest.mark.parametrize(
    ("name", "architecture", "title", "seen"),
    [
        ("NVIDIA A100-SXM4-40GB", 7, "instantaneous power (nvmlDeviceGetPowerUsage)", 25),
        ("NVIDIA A30", 7, "instantaneous power (nvmlDeviceGetPowerUsage)", 20),
        ("NVIDIA A40", 7, "mean power of 1 s (nvmlDeviceGetPowerUsage)", 20),
        ("NVIDIA H100 PCIe", 9, "mean power of 1 s (nvmlDeviceGetPowerUsage)", 25),
        ("Tesla V100-SXM2-16GB", 5, "instantaneous power (nvmlDeviceGetPowerUsage)", 50),
        ("Tesla T4", 6, "instantaneous power (nvmlDeviceGetPowerUsage)", 100),
        ("NVIDIA New", 0xFFFFFFFF, "instantaneous or mean unknown", 20),
    ],
)
def test_the_source_says_which_power_was_integrated(
    name: str, architecture: int, title: str, seen: int
) -> None:
    board = FakeBoard("GPU-a", counter_mj=None, name=name, architecture=architecture)
    source = opened(FakeNvml([board])).components()[0].source
    assert title in source
    assert f"sees {seen} % of the time" in source


@pytest.mark.parametrize(
    ("tells", "title"),
    [
        ({"usage", "instant", "average"}, "(POWER_INSTANT)"),
        ({"usage", "average"}, "(POWER_AVERAGE)"),
    ],
)
def test_fields_that_say_what_they_are_come_before_the_one_that_does_not(
    tells: set[str], title: str
) -> None:
    board = FakeBoard("GPU-a", counter_mj=None, tells=frozenset(tells))
    nvml = FakeNvml([board])
    meter = opened(nvml)
    assert title in meter.components()[0].source
    run(nvml, meter, 100.0, 5)
    assert only(meter).energy_j.value == pytest.approx(500)


def test_boards_that_cannot_be_counted_are_an_error_of_the_system() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])

    def lost() -> int:
        raise nvml.NVMLError(GPU_IS_LOST)

    nvml.nvmlDeviceGetCount = lost  # type: ignore[method-assign]
    with pytest.raises(OSError, match="NVML: GPU is lost"):
        opened(nvml)


@pytest.mark.parametrize("fault", [{"lost": True}, {"denied": frozenset({HANDLE})}])
def test_a_board_that_cannot_be_read_takes_no_other_away(
    monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", **fault), FakeBoard("GPU-b", limit_w=None)])
    meter = opened(nvml, "GPU-a", "GPU-b")
    run(nvml, meter, 100.0, 2)
    found = {c.name: c for c in meter.components()}
    assert found["gpu:GPU-b"].method == "measured"
    assert found["gpu:GPU-a"].method == "missing"
    why = "GPU is lost" if "lost" in fault else "Insufficient Permissions"
    assert f"board 0: {why}" in found["gpu:GPU-a"].source
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    probe = KIND.probe()
    assert (probe.available, probe.detail) == (True, "2 NVIDIA board(s)")
    assert probe.troubles == (f"board 0 cannot be read: {why}",)
    assert meters_nvml.idle_boards() == ("GPU-b",)
    assert meters_nvml.board_count() == 2


def test_power_that_was_not_told_for_a_moment_is_a_gap() -> None:
    board = FakeBoard("GPU-a", counter_mj=None)
    nvml = FakeNvml([board])
    meter = opened(nvml)
    run(nvml, meter, 100.0, 2)
    board.denied = frozenset({"nvmlDeviceGetPowerUsage"})
    run(nvml, meter, 100.0, 1)
    board.denied = frozenset()
    run(nvml, meter, 100.0, 2)
    gpu = only(meter)
    assert gpu.covered_s == pytest.approx(3.9)  # from the first reading that came again
    assert gpu.energy_j.value == pytest.approx(390)
