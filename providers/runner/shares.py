"""A run's part of its machine, over time: of its idle power and embodied carbon, of its memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from providers.host import busy_cpu_s, memory_bytes

if TYPE_CHECKING:
    from providers.runner.holdings import Held, Holdings


def part(held: Held, *, uses: float, others: float) -> float:
    """A run's part of a machine in a span, 0 to 1; over all runs at most 1.

    It is what the run holds. Of what no run holds, one that ``uses`` more than it holds gets its
    part too: by what it uses in excess, over all that ``others`` use as well. Both are parts of
    the machine.
    """
    own, free = held.own_s / held.span_s, held.free_s / held.span_s
    excess = uses - own
    if free <= 0 or excess <= 0:
        return own
    return own + free * excess / max(free, excess + max(0.0, others))


class Shares:
    """Machine-seconds that fall to a run so far; ``cpu_s`` and ``memory_s`` never fall."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings, self._cpus = holdings, os.cpu_count() or 1
        self._used_s, self._busy_s = 0.0, busy_cpu_s()
        self.cpu_s = self.memory_s = 0.0

    def add(self, span_s: float, used_cpu_s: float, resident_bytes: int) -> None:
        """The span since the last call: awake seconds, CPU seconds so far, memory now."""
        held, busy_s = self._holdings.look(), busy_cpu_s()
        used_s, busy_before_s = used_cpu_s - self._used_s, self._busy_s
        self._used_s, self._busy_s = used_cpu_s, busy_s
        span_s = min(span_s, held.span_s)
        if span_s <= 0:
            return
        whole_s, others_s = span_s * self._cpus, 0.0
        if busy_s is not None and busy_before_s is not None:
            others_s = busy_s - busy_before_s - used_s
        self.cpu_s += span_s * part(held, uses=used_s / whole_s, others=others_s / whole_s)
        there, in_use = memory_bytes()
        mine = min(resident_bytes, there)
        self.memory_s += span_s * part(held, uses=mine / there, others=(in_use - mine) / there)
