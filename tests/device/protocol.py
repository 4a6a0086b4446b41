"""How a board's readings are measured; by a real driver, or by a played one in the tests.

Every function takes the module ``pynvml`` (initialised) and a board's handle. Time comes from
``clock`` and passes by ``sleep`` (seconds), so that a played board can be measured at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from providers.meters.nvml import power
from providers.meters.nvml.library import Driver

# Periods of the square wave (s): shorter than, near and longer than what a sensor averages.
PERIODS_S = (0.08, 0.2, 0.5, 1.3, 4.0)
CALLS = (
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetComputeRunningProcesses",
)
Clock = Callable[[], float]
Sleep = Callable[[float], object]
Load = Callable[[float], AbstractContextManager[object]]


@dataclass(frozen=True)
class Wave:
    """Energy of one load by each witness (J); None where the board does not give it."""

    period_s: float
    counter_j: float | None
    polled_j: float
    samples_j: float | None

    def row(self) -> Sequence[object]:
        def against(joules: float | None) -> str:
            if joules is None or not self.counter_j:
                return "-"
            return f"{100 * (joules / self.counter_j - 1):+.1f} %"

        counter = "-" if self.counter_j is None else f"{self.counter_j:.0f} J"
        return (f"{self.period_s:g} s", counter, against(self.polled_j), against(self.samples_j))


def cost_us(nvml: Any, handle: Any, calls: int = 200) -> dict[str, float]:
    """Median microseconds of each question that the meter asks; refused ones are left out."""
    driver, found = Driver(nvml), {}
    for name in CALLS:
        times = []
        for _ in range(calls):
            begun = time.perf_counter()
            answer = driver.ask(name, handle)
            times.append(time.perf_counter() - begun)
            if answer is None:
                break
        else:
            found[name] = 1e6 * statistics.median(times)
    return found


def renewal_s(
    nvml: Any, handle: Any, name: str, clock: Clock, sleep: Sleep, for_s: float = 5.0
) -> float | None:
    """Median seconds between two different answers; None where fewer than three come."""
    driver, changes = Driver(nvml), []
    end, last = clock() + for_s, driver.ask(name, handle)
    while clock() < end:
        sleep(0.001)
        now = driver.ask(name, handle)
        if now != last:
            changes.append(clock())
            last = now
    if len(changes) < 3:
        return None
    return statistics.median(b - a for a, b in pairwise(changes))


def square_wave(
    nvml: Any, handle: Any, load: Load, period_s: float, clock: Clock, sleep: Sleep,
    for_s: float = 20.0,
) -> Wave:  # fmt: skip
    """Counter, power read at 10 Hz, and the driver's samples over the same load."""
    driver = Driver(nvml)
    buffer, polled, kept = power.buffer(driver, handle), power.Integral(), power.Integral()
    with load(period_s):
        sleep(2.0)  # it has begun
        buffer()
        before, end = _counter_j(driver, handle), clock() + for_s
        while clock() < end:
            watts = driver.thousandths("nvmlDeviceGetPowerUsage", handle)
            polled.add([] if watts is None else [(clock(), watts)], float("inf"))
            kept.add(buffer(), float("inf"))
            sleep(0.1)
        after = _counter_j(driver, handle)
    samples_j, seen_s = kept.take()
    counted = None if before is None or after is None else after - before
    return Wave(period_s, counted, polled.take()[0], samples_j if seen_s else None)


def _counter_j(driver: Driver, handle: Any) -> float | None:
    return driver.thousandths("nvmlDeviceGetTotalEnergyConsumption", handle)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown, ready for the docs."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def report(
    nvml: Any, handle: Any, load: Load, clock: Clock, sleep: Sleep, for_s: float = 20.0
) -> str:
    """All of it, as Markdown."""
    seen, source = power.coverage(Driver(nvml), handle)
    costs = [(name, f"{us:.0f} us") for name, us in cost_us(nvml, handle).items()]
    with load(0.05):
        renewed = [
            (name, "not seen" if found is None else f"{1000 * found:.0f} ms")
            for name in CALLS[:2]
            for found in [renewal_s(nvml, handle, name, clock, sleep)]
        ]
    waves = [
        square_wave(nvml, handle, load, period, clock, sleep, for_s).row() for period in PERIODS_S
    ]
    return "\n\n".join(
        (
            f"{nvml.nvmlDeviceGetName(handle)}; sensor said to see {100 * seen:.0f} % ({source})",
            table(("call", "median cost"), costs),
            table(("reading", "renewed every"), renewed),
            table(("square wave", "counter", "power at 10 Hz", "samples of the driver"), waves),
        )
    )
