"""Power of a board: which of NVML's readings is taken, how much of the time it sees, and its sum.

A board tells power in up to four ways: the driver's buffer of samples, the fields
``POWER_INSTANT`` and ``POWER_AVERAGE``, and ``nvmlDeviceGetPowerUsage``, which is one or the other
by architecture. The sensor behind all of them looks only part of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from providers.meters.nvml.library import Driver

PAPER = "arXiv 2312.02741"
# The longest published interval between two readings of a sensor (A100, H100): arXiv 2312.02741.
UPDATE_S = 0.1
# Share of the time that the sensor looks, by a word of the board's name: arXiv 2312.02741.
SEEN_BY_NAME = {"GH200": 0.20, "A100": 0.25, "H100": 0.25, "RTX 3090": 1.0}
# The same by architecture, as the paper tells it: 10 of 20 ms, and all of the time.
SEEN_BY_ARCHITECTURE = {
    "NVML_DEVICE_ARCH_PASCAL": 0.50,
    "NVML_DEVICE_ARCH_VOLTA": 0.50,
    "NVML_DEVICE_ARCH_TURING": 1.0,
}
# For a board of which nothing is published: the least of what is.
SEEN_UNPUBLISHED = 0.20
# Chips whose nvmlDeviceGetPowerUsage is instantaneous though they are of Ampere (GA100); from
# Ampere on it is the mean of 1 s (NVML reference of nvmlDeviceGetPowerUsage).
GA100 = ("A100", "A800", "A30 ", "A30X")
# Two readings further apart say nothing of the time between them.
HOLE_S = 2.5

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sensor:
    """How the power of one board is read: ``read`` gives new ``(seconds, watts)``.

    ``seen`` is the share of the time that the sensor looks; ``buffered``: the driver keeps what
    it saw, so that reading once a second is enough.
    """

    title: str
    seen: float
    source: str
    buffered: bool
    read: Callable[[], list[Point]]


def find(driver: Driver, board: Any, clock: Callable[[], float]) -> Sensor | None:
    """The finest reading that the board gives; None where it gives none."""
    nvml = driver.nvml
    seen, source = coverage(driver, board)
    kept = buffer(driver, board)
    if kept():
        return Sensor("power samples of the driver", seen, source, True, kept)

    def field(number: int) -> Callable[[], list[Point]]:
        return lambda: _point(clock(), _field_w(driver, board, number))

    def usage() -> list[Point]:
        return _point(clock(), driver.thousandths("nvmlDeviceGetPowerUsage", board))

    for title, read in (
        ("instantaneous power (POWER_INSTANT)", field(nvml.NVML_FI_DEV_POWER_INSTANT)),
        ("mean power of 1 s (POWER_AVERAGE)", field(nvml.NVML_FI_DEV_POWER_AVERAGE)),
        (_usage_title(driver, board), usage),
    ):
        if read():
            return Sensor(title, seen, source, False, read)
    return None


def coverage(driver: Driver, board: Any) -> tuple[float, str]:
    """Share of the time that the board's sensor looks, and the source of that."""
    name = _name(driver, board)
    for word, seen in SEEN_BY_NAME.items():
        if word in name:
            return seen, PAPER
    found = driver.ask("nvmlDeviceGetArchitecture", board)
    for word, seen in SEEN_BY_ARCHITECTURE.items():
        if found is not None and found == getattr(driver.nvml, word):
            return seen, PAPER
    return SEEN_UNPUBLISHED, f"nothing is published of this board: the least of {PAPER}"


def _name(driver: Driver, board: Any) -> str:
    return str(driver.ask("nvmlDeviceGetName", board) or "")


def _usage_title(driver: Driver, board: Any) -> str:
    found = driver.ask("nvmlDeviceGetArchitecture", board)
    if found is None or found == driver.nvml.NVML_DEVICE_ARCH_UNKNOWN:
        return "power (nvmlDeviceGetPowerUsage, instantaneous or mean unknown)"
    name = _name(driver, board) + " "
    mean = found >= driver.nvml.NVML_DEVICE_ARCH_AMPERE and not any(w in name for w in GA100)
    return f"{'mean power of 1 s' if mean else 'instantaneous power'} (nvmlDeviceGetPowerUsage)"


def _point(at_s: float, watts: float | None) -> list[Point]:
    return [] if watts is None else [(at_s, watts)]


def _field_w(driver: Driver, board: Any, number: int) -> float | None:
    """Watts of a field value, which is told in milliwatts."""
    values = driver.ask("nvmlDeviceGetFieldValues", board, [number])
    if not values:
        return None
    if values[0].nvmlReturn != driver.nvml.NVML_SUCCESS:
        driver.why = f"field {number} is not told"
        return None
    return float(values[0].value.uiVal) / 1000.0


def buffer(driver: Driver, board: Any) -> Callable[[], list[Point]]:
    """The samples that the driver keeps, each read once; their seconds are of its own clock."""
    last_us = 0

    def read() -> list[Point]:
        nonlocal last_us
        kind = driver.nvml.NVML_TOTAL_POWER_SAMPLES
        found = driver.ask("nvmlDeviceGetSamples", board, kind, last_us)
        if not found or not found[1]:
            return []
        points = sorted((int(s.timeStamp), float(s.sampleValue.uiVal) / 1000.0) for s in found[1])
        last_us = points[-1][0]
        return [(at_us / 1e6, watts) for at_us, watts in points if at_us]

    return read


class Integral:
    """Energy under the readings as trapezoids; time between distant readings is left out."""

    def __init__(self) -> None:
        self.last: Point | None = None
        self._joules = self._seen_s = 0.0

    def add(self, points: Iterable[Point], ceiling_w: float) -> None:
        """More readings; one that no board can draw is left out, with the time around it."""
        for at_s, watts in points:
            if not 0 <= watts <= ceiling_w:
                self.last = None
                continue
            if self.last is not None and 0 < (span := at_s - self.last[0]) <= HOLE_S:
                self._joules += (watts + self.last[1]) / 2 * span
                self._seen_s += span
            self.last = (at_s, watts)

    def take(self) -> tuple[float, float]:
        """Joules, and the seconds that they were drawn in, since the last time it was asked."""
        taken = self._joules, self._seen_s
        self._joules = self._seen_s = 0.0
        return taken
