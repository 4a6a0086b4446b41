"""Energy of one board or slice, added up with its bounds. No device is asked here.

The rule of the bounds, in this order:

- Counter and sensor err by 5 % (the gain error that arXiv 2312.02741 found per board).
- Where power is integrated, the sensor looks only for a share of the time; for the rest the lower
  bound takes idle power (none, where it is not known) and the upper one the power limit.
- Where counter and integrated power differ by more than 10 %, the bounds span both.
- On a shared board and on a MIG slice they run from nothing to all that the board drew; so they
  do on a board that the job does not hold while its processes come and go.
- One interval of renewal at either end, at the power drawn there, is uncertain.

Both ends only grow, so that an increment of energy between two samples has bounds too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from providers.base import ZERO, Triple
from providers.meters.nvml.power import UPDATE_S

GAIN_ERROR = 0.05
WITNESS_GAP = 0.10
# Steps of power between two looks need this long to average out before witnesses are compared.
WITNESS_FROM_S = 10.0
# Less of a span than this seen by the second witness is no comparison.
WITNESSED = 0.9


# The job's part of what a device drew over a span, with its bounds.
WHOLE, NONE = Triple.exact(1.0), ZERO


@dataclass(slots=True)
class _Sum:
    low: float = 0.0
    value: float = 0.0
    high: float = 0.0

    def add(self, low: float, value: float, high: float) -> None:
        self.low += low
        self.value += value
        self.high += high


@dataclass(slots=True)
class Ledger:
    """``energy`` and ``active`` so far (J), ``covered_s`` and what the two witnesses said.

    ``part`` is the share of the board that a slice is; ``exact`` is False where nothing measures
    it apart. ``idle_w`` is None where idle power is not known.
    """

    seen: float
    idle_w: float | None
    part: float = 1.0
    exact: bool = True
    covered_s: float = 0.0
    integrated_s: float = 0.0
    compared_s: float = 0.0
    counted_j: float = 0.0
    witnessed_j: float = 0.0
    _energy: _Sum = field(default_factory=_Sum)
    _active: _Sum = field(default_factory=_Sum)
    _edge_w: tuple[float, float] | None = None
    _told: tuple[Triple, Triple] = (ZERO, ZERO)

    def counted(self, joules: float, span_s: float, share: Triple = WHOLE) -> None:
        """From the counter."""
        low, high = joules * (1 - GAIN_ERROR), joules * (1 + GAIN_ERROR)
        self._add(Triple(low, joules, high), span_s, share)

    def integrated(
        self, joules: float, span_s: float, ceiling_w: float, share: Triple = WHOLE
    ) -> None:
        """From power, over the ``span_s`` that readings span; ``ceiling_w`` is the limit."""
        unseen_s = (1 - self.seen) * span_s
        low = joules * self.seen * (1 - GAIN_ERROR) + min(
            (self.idle_w or 0.0) * unseen_s, joules * (1 - self.seen) * (1 - GAIN_ERROR)
        )
        high = max(joules, joules * self.seen + ceiling_w * unseen_s) * (1 + GAIN_ERROR)
        self.integrated_s += span_s
        self._add(Triple(low, joules, high), span_s, share)

    def witness(self, joules: float, span_s: float, power_j: float, seen_s: float) -> None:
        """What both witnesses say of one span, where the second saw (nearly) all of it."""
        if seen_s >= WITNESSED * span_s > 0:
            self.compared_s += span_s
            self.counted_j += joules
            self.witnessed_j += power_j * span_s / seen_s

    def drew(self, watts: float) -> None:
        """Power now: the first and the highest tell what the ends of the record may miss."""
        first, highest = self._edge_w or (watts, watts)
        self._edge_w = first, max(highest, watts)

    def difference(self) -> float | None:
        """Integrated power over counter, less one; None where not compared for long enough."""
        if self.compared_s < WITNESS_FROM_S or not self.counted_j:
            return None
        return self.witnessed_j / self.counted_j - 1

    def told(self) -> tuple[Triple, Triple]:
        """Energy, and the active part of it."""
        if not self.covered_s:
            return self._told
        ratio = 1 + (self.difference() or 0.0)
        low, high = (min(1.0, ratio), max(1.0, ratio)) if self.disagree() else (1.0, 1.0)
        edge = UPDATE_S * sum(self._edge_w or (0.0, 0.0))
        energy, active = (
            Triple(
                max(before.low, min(s.low * low - edge, s.value)),
                s.value,
                max(before.high, s.high * high + edge),
            )
            for s, before in zip((self._energy, self._active), self._told, strict=True)
        )
        self._told = energy, active
        return self._told

    def disagree(self) -> bool:
        """Whether the witnesses differ by more than 10 %."""
        found = self.difference()
        return found is not None and abs(found) > WITNESS_GAP

    def _add(self, drawn: Triple, span_s: float, share: Triple) -> None:
        own, idle_j = self.part * share.value, (self.idle_w or 0.0) * span_s
        lowest = share.low if self.exact else 0.0
        self._energy.add(drawn.low * lowest, drawn.value * own, drawn.high * share.high)
        self._active.add(
            max(0.0, drawn.low - idle_j) * lowest if self.idle_w is not None else 0.0,
            max(0.0, drawn.value - idle_j) * own,
            max(0.0, drawn.high - idle_j) * share.high,
        )
        self.covered_s += span_s
