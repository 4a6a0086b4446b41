"""A meter on boards that do not exist, and a while of their work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import Scope, Usage
from providers.meters.nvml.meter import NvmlMeter
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
