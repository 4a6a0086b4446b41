"""A meter on boards that do not exist, and a while of their work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import Probe, Scope, Usage
from providers.meters.nvml.meter import NvmlMeter
from scheduler.testing.boards import FakeBoard, FakeSlice
from scheduler.testing.nvml import FakeNvml

if TYPE_CHECKING:
    from providers.base import Reading

NOTHING = Usage(0.0, 0.0, 0.0)


def opened(nvml: FakeNvml, *uuids: str) -> NvmlMeter:
    """Open it; the pause in which a living counter moves passes at once."""
    scope = Scope(1, uuids or tuple(b.uuid for b in nvml.boards))
    return NvmlMeter(scope, nvml, nvml.clock, nvml.advance)


def run(nvml: FakeNvml, meter: NvmlMeter, power_w: float, seconds: int) -> None:
    """All boards draw so much; a look each second, and ten glances where they are due."""
    for board in nvml.boards:
        board.power_w = power_w
    for _ in range(seconds):
        second(nvml, meter)


def second(nvml: FakeNvml, meter: NvmlMeter) -> None:
    """One second as the meter's thread spends it."""
    for _ in range(10):
        nvml.advance(0.1)
        meter.glance()
    meter.look()


def only(meter: NvmlMeter, usage: Usage = NOTHING) -> Reading:
    """The reading of the one board."""
    (found,) = meter.sample(usage)
    return found


class OnFakeBoards:
    """The NVML meter as a kind of its own: a board, a slice of another, and one that is silent."""

    def probe(self) -> Probe:
        return Probe(True, "boards that do not exist")

    def open(self, scope: Scope) -> NvmlMeter:
        boards = [
            FakeBoard("GPU-a", counter_mj=None),
            FakeBoard("GPU-b", slices=[FakeSlice("MIG-b", 2)]),
            FakeBoard("GPU-c", counter_mj=None, tells=frozenset()),
        ]
        return _Moving(FakeNvml(boards), Scope(scope.slots, ("GPU-a", "MIG-b", "GPU-c")))


class _Moving(NvmlMeter):
    """Its clock follows what it is told of the job."""

    def __init__(self, nvml: FakeNvml, scope: Scope) -> None:
        super().__init__(scope, nvml, nvml.clock, nvml.advance)
        self._nvml, self._begun_s = nvml, nvml.now_s

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        while self._nvml.now_s < self._begun_s + usage.elapsed_s:
            second(self._nvml, self)
        return super().sample(usage)
