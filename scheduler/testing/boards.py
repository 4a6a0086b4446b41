"""NVIDIA boards that do not exist: what they draw, what they tell of it, and how they fail."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# The load of a board as a function of time is summed up in steps of this length.
STEP_S = 0.005
# How many samples the driver keeps, and how far apart (no board's figures: for tests).
KEPT, SAMPLE_S = 120, 0.05


@dataclass
class FakeSlice:
    """A MIG slice: a GPU instance of ``count`` compute slices, and the pids that compute on it.

    ``compute`` is how many of them the compute instance has; None: all (1c.3g has one of three).
    """

    uuid: str
    count: int | None = 1
    pids: dict[int, int] = field(default_factory=dict)
    compute: int | None = None


@dataclass
class FakeBoard:
    """Draws ``power_w``, or ``load(seconds)`` watts; each witness can be broken.

    ``counter_mj``: millijoules so far, None without a counter; ``counts`` False: it stands still;
    ``renewed_s``: counter and power are told anew only so often; ``window_s``: power is told as
    the mean of the last so many seconds; ``gain``: by how much power is told wrongly.
    ``tells``: which of ``usage``, ``instant``, ``average`` and ``samples`` it gives.
    ``pids`` maps what computes on it to SM utilisation (percent), of which nothing is told
    where ``tells_utilisation`` is False. ``slices`` set: it is in MIG mode.
    ``odd_mj`` are told, one by one, in place of the counter; ``lost``: it fell off the bus;
    ``denied``: names of questions that need a permission that is gone; ``vgpu``: a guest.
    ``bus`` is its place on the PCI bus; None: that of its index. ``pids_in``: a file into which
    processes that compute on it write their pids, one a line.
    """

    uuid: str
    power_w: float = 100.0
    load: Callable[[float], float] | None = None
    counter_mj: float | None = 5_000_000.0
    counts: bool = True
    renewed_s: float = 0.0
    window_s: float = 0.0
    gain: float = 1.0
    tells: frozenset[str] = frozenset({"usage"})
    limit_w: float | None = 400.0
    name: str = "NVIDIA GeForce RTX 3090"
    architecture: int = 7
    pids: dict[int, int] = field(default_factory=dict)
    tells_utilisation: bool = True
    utilisation: int = 50
    sm_clock_mhz: int = 1500
    slices: list[FakeSlice] | None = None
    odd_mj: list[float] = field(default_factory=list)
    lost: bool = False
    denied: frozenset[str] = frozenset()
    vgpu: bool = False
    bus: int | None = None
    pids_in: str | None = None
    _told_mj: float | None = None
    _told_w: float | None = None
    _at_s: float = 0.0
    _samples: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def written_pids(self) -> dict[int, int]:
        """Those of :attr:`pids_in`, where it is there, each with all of the multiprocessors."""
        if self.pids_in is None or not Path(self.pids_in).exists():
            return {}
        return dict.fromkeys(map(int, Path(self.pids_in).read_text().split()), 100)

    def draw(self, until_s: float) -> None:
        """Draw power up to a time, which never runs back."""
        if self._told_mj is None:
            self._told_mj, self._told_w = self.counter_mj, self._mean_w(self.window_s)
        step_s = STEP_S if self.load else min(self.renewed_s or 1.0, SAMPLE_S)
        while (left := until_s - self._at_s) > 1e-9:
            if left > 60 and not self.load:
                step_s = left  # a long time alike
            span = min(step_s, left)
            watts = self.load(self._at_s + span / 2) if self.load else self.power_w
            if self.counter_mj is not None and self.counts:
                self.counter_mj += watts * span * 1000
            before, self._at_s = self._at_s, self._at_s + span
            self._keep(before)

    def sleep(self, until_s: float) -> None:
        """Nothing is drawn and nothing kept: the machine was suspended."""
        self._at_s = until_s

    def reset(self) -> None:
        """The driver was loaded anew."""
        self.counter_mj = 0.0

    def told_mj(self) -> float | None:
        """The counter as it is told now."""
        if self.odd_mj:
            return self.odd_mj.pop(0)
        if self.renewed_s and self.counter_mj is not None and self._told_mj is not None:
            return self._told_mj
        return self.counter_mj

    def told_w(self, window_s: float | None = None) -> float:
        """Power as it is told now; ``window_s``: as the mean of so long."""
        if window_s is None and self.renewed_s and self._told_w is not None:
            return self._told_w
        return self._mean_w(self.window_s if window_s is None else window_s)

    def samples(self, since_us: int) -> list[tuple[int, float]]:
        """What the driver has kept since then: microseconds and watts."""
        return [(at, watts) for at, watts in self._samples if at > since_us]

    def _mean_w(self, window_s: float) -> float:
        if self.load is None:
            return self.power_w * self.gain
        steps = max(1, round(window_s / STEP_S))
        times = [self._at_s - (i + 0.5) * STEP_S for i in range(steps)]
        return self.gain * sum(self.load(max(0.0, t)) for t in times) / steps

    def _keep(self, before_s: float) -> None:
        if self.renewed_s and _crossed(before_s, self._at_s, self.renewed_s):
            self._told_mj, self._told_w = self.counter_mj, self._mean_w(self.window_s)
        if _crossed(before_s, self._at_s, SAMPLE_S):
            self._samples.append((round(self._at_s * 1e6), self._mean_w(self.window_s)))


def _crossed(before_s: float, now_s: float, period_s: float) -> bool:
    return int(now_s / period_s + 1e-6) > int(before_s / period_s + 1e-6)
