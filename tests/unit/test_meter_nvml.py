"""NVIDIA boards by a library of our own: counters, power, faults. No board is needed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from providers.base import Scope, Usage
from providers.meters.nvml import NvmlMeter

NOTHING = Usage(0.0, 0.0, 0.0)


class NVMLError(Exception):
    """The library's fault."""


@dataclass
class FakeBoard:
    """Draws ``power_w`` by the clock; each witness can be broken."""

    uuid: str
    power_w: float = 100.0
    counter_mj: float | None = 5_000_000.0
    counts: bool = True
    tells_power: bool = True
    busy: bool = False
    limit_w: float = 400.0


@dataclass
class FakeNvml:
    """As much of pynvml as the meter asks for, with a clock that is moved by hand."""

    boards: list[FakeBoard]
    now_s: float = 0.0
    hangs: threading.Event | None = None
    shut: bool = False
    NVMLError: type[Exception] = field(default=NVMLError)

    def clock(self) -> float:
        return self.now_s

    def advance(self, span_s: float) -> None:
        self.now_s += span_s
        for board in self.boards:
            if board.counter_mj is not None and board.counts:
                board.counter_mj += board.power_w * span_s * 1000

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeBoard:  # noqa: N802
        return self.boards[index]

    def nvmlDeviceGetUUID(self, board: FakeBoard) -> str:  # noqa: N802
        return board.uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, board: FakeBoard) -> float:  # noqa: N802
        if self.hangs is not None:
            self.hangs.wait(30)
        if board.counter_mj is None:
            raise NVMLError("Not Supported")
        return round(board.counter_mj)

    def nvmlDeviceGetPowerUsage(self, board: FakeBoard) -> float:  # noqa: N802
        if not board.tells_power:
            raise NVMLError("Not Supported")
        return round(board.power_w * 1000)

    def nvmlDeviceGetEnforcedPowerLimit(self, board: FakeBoard) -> float:  # noqa: N802
        return board.limit_w * 1000

    def nvmlDeviceGetComputeRunningProcesses(self, board: FakeBoard) -> list[int]:  # noqa: N802
        return [1] if board.busy else []

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.shut = True


def _open(nvml: FakeNvml, *uuids: str) -> NvmlMeter:
    """Open it; the pause in which a living counter moves passes at once."""
    scope = Scope(1, uuids or tuple(b.uuid for b in nvml.boards))
    return NvmlMeter(scope, nvml, nvml.clock, nvml.advance)


def _run(nvml: FakeNvml, meter: NvmlMeter, power_w: float, seconds: int) -> None:
    for board in nvml.boards:
        board.power_w = power_w
    for _ in range(seconds):
        nvml.advance(1.0)
        meter.look()


def test_the_counter_is_read_and_idle_power_is_not_active() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=60.0)])
    meter = _open(nvml)
    assert [(c.name, c.method, c.max_w) for c in meter.components()] == [
        ("gpu:GPU-a", "measured", 400.0)
    ]
    _run(nvml, meter, 300.0, 10)
    (gpu,) = meter.sample(NOTHING)
    assert gpu.energy_j.value == pytest.approx(3000, rel=1e-3)
    assert gpu.active_j.value == pytest.approx(2400, rel=1e-3)
    assert gpu.energy_j.low == pytest.approx(0.95 * 3000, rel=1e-3)
    assert gpu.energy_j.high == pytest.approx(1.05 * 3000, rel=1e-3)
    assert gpu.covered_s == pytest.approx(10)


def test_only_assigned_boards_are_metered() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a"), FakeBoard("GPU-b"), FakeBoard("GPU-c")])
    meter = _open(nvml, "GPU-b")
    assert [c.name for c in meter.components()] == ["gpu:GPU-b"]


@pytest.mark.parametrize("board", [{"counter_mj": None}, {"counts": False}, {"counter_mj": 0.0}])
def test_without_a_living_counter_power_is_integrated(board: dict[str, float]) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", **{"counts": False, **board})])
    meter = _open(nvml)
    assert meter.components()[0].method == "integrated"
    _run(nvml, meter, 100.0, 10)
    (gpu,) = meter.sample(NOTHING)
    assert gpu.energy_j.value == pytest.approx(1000)


def test_power_between_two_looks_is_taken_as_a_trapezoid() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=100.0, counter_mj=None)])
    meter = _open(nvml)
    _run(nvml, meter, 300.0, 1)
    assert meter.sample(NOTHING)[0].energy_j.value == pytest.approx(200)


def test_a_board_that_others_use_has_no_known_idle_power() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", busy=True)])
    meter = _open(nvml)
    _run(nvml, meter, 300.0, 10)
    (gpu,) = meter.sample(NOTHING)
    assert gpu.active_j.low == 0
    assert gpu.active_j.high == gpu.energy_j.high


def test_a_counter_that_falls_is_a_gap() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = _open(nvml)
    nvml.boards[0].counter_mj = 0.0
    nvml.advance(1.0)
    meter.look()
    assert meter.sample(NOTHING)[0].covered_s == 0
    _run(nvml, meter, 100.0, 1)
    (gpu,) = meter.sample(NOTHING)
    assert gpu.energy_j.value == pytest.approx(100)
    assert gpu.covered_s == pytest.approx(1)


def test_a_counter_that_leaps_is_a_gap() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = _open(nvml)
    nvml.boards[0].counter_mj = 1e12
    nvml.advance(1.0)
    meter.look()
    assert meter.sample(NOTHING)[0].energy_j.value == 0


def test_a_counter_that_freezes_under_load_is_a_gap_and_no_zero() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = _open(nvml)
    nvml.boards[0].counts = False
    _run(nvml, meter, 300.0, 10)
    (gpu,) = meter.sample(NOTHING)
    assert gpu.energy_j.value == 0
    assert gpu.covered_s == 0


def test_a_counter_renewed_seldom_loses_nothing() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = _open(nvml)
    board = nvml.boards[0]
    assert board.counter_mj is not None
    for second in range(10):
        board.counts = False
        nvml.advance(1.0)
        if second % 2:
            board.counter_mj += 2 * 100.0 * 1000
        meter.look()
    (gpu,) = meter.sample(NOTHING)
    assert gpu.energy_j.value == pytest.approx(1000)
    assert gpu.covered_s == pytest.approx(10)


def test_where_the_witnesses_disagree_the_bounds_span_both() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=200.0)])
    meter = _open(nvml)
    board = nvml.boards[0]
    assert board.counter_mj is not None
    board.counts = False
    for _ in range(110):
        nvml.advance(1.0)
        board.counter_mj += 100.0 * 1000
        meter.look()
    (gpu,) = meter.sample(NOTHING)
    assert gpu.energy_j.value == pytest.approx(11_000)
    assert gpu.energy_j.low == pytest.approx(11_000 * 0.95)
    assert gpu.energy_j.high == pytest.approx((10 * 100 + 100 * 200) * 1.05)


def test_a_slice_that_tells_nothing_is_not_metered() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", counter_mj=None, tells_power=False)])
    with pytest.raises(OSError, match="not a whole board"):
        _open(nvml)


def test_an_unknown_board_does_not_take_the_others_along() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    assert [c.name for c in _open(nvml, "MIG-x", "GPU-a").components()] == ["gpu:GPU-a"]
    with pytest.raises(OSError, match="MIG-x"):
        _open(nvml, "MIG-x")


def test_a_hanging_driver_never_blocks_a_sample_for_long_nor_twice() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = _open(nvml).start()
    nvml.hangs = threading.Event()
    before = meter.sample(NOTHING)
    answers: list[object] = []

    def ask() -> None:
        answers.extend(meter.sample(NOTHING) for _ in range(50))

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    asker.join(10)  # fifty waits of half a second would last longer
    assert answers == [before] * 50
    nvml.hangs.set()
    meter.close()
    assert nvml.shut


def test_the_thread_gives_a_fresh_look_when_sampled() -> None:
    nvml = FakeNvml([FakeBoard("GPU-a")])
    meter = _open(nvml).start()
    nvml.advance(7.0)
    (gpu,) = meter.sample(NOTHING)
    meter.close()
    assert gpu.energy_j.value == pytest.approx(700)
