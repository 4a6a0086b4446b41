"""The energy counter of a board: what it counted, and what is no count but a fault.

It counts since the driver was loaded, so it falls back where the driver is loaded anew or the
board is reset. One odd reading is not believed until the next one settles what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from providers.meters.nvml.power import UPDATE_S, Point

# Boards exceed their limit for milliseconds, never by half over a second: that is a torn reading.
EXCURSION = 1.5
# Counters are renewed every 20 to 100 ms: one that stands still for longer counts nothing.
STALE_S = 2.0

Event = Literal["counted", "wait", "unread", "still", "torn", "reset", "leap"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one reading has settled: ``joules`` over the last ``span_s`` seconds.

    ``counted`` and ``torn`` (an odd reading was passed over) have energy; ``reset`` and ``leap``
    too, but nothing is known of the ``gap_s`` before it; ``unread`` and ``still`` say that the
    counter does not tell for ``span_s``; after ``wait`` a later reading does.
    """

    event: Event
    joules: float = 0.0
    span_s: float = 0.0
    gap_s: float = 0.0


WAIT = Step("wait")


class Counter:
    """Readings in order; nothing is ever counted twice, negative, or above what can be drawn."""

    def __init__(self, at_s: float, joules: float | None) -> None:
        self._settled_s = at_s
        self._anchor: Point | None = None if joules is None else (at_s, joules)
        self._odd: Point | None = None

    def step(self, at_s: float, joules: float | None, ceiling_w: float, draws: bool) -> Step:
        """One reading, None where it failed; ``draws``: the board cannot have drawn nothing."""
        if joules is None or self._anchor is None:
            self._anchor = None if joules is None else (at_s, joules)
            self._odd = None
            return self._settle(at_s, "unread")
        now = (at_s, joules)
        if self._odd is not None:
            if draws and joules == self._odd[1]:
                return self._stand(self._odd, now)
            return self._judge(self._anchor, self._odd, now, ceiling_w)
        if not _plausible(self._anchor, now, ceiling_w):
            self._odd = now
            return WAIT
        counted = joules - self._anchor[1]
        if counted == 0 and draws:
            return self._stand(self._anchor, now)
        self._anchor = now
        return self._settle(at_s, "counted", counted)

    def _stand(self, before: Point, now: Point) -> Step:
        """Not renewed: for a while, or for good."""
        if now[0] - before[0] < STALE_S:
            return WAIT
        self._anchor, self._odd = now, None
        return self._settle(now[0], "still")

    def _judge(self, anchor: Point, odd: Point, now: Point, ceiling_w: float) -> Step:
        """What the odd reading was: a new beginning if the count can go on from it.

        Where it can go on from either, the new beginning is believed: a gap, and no undercount.
        """
        if _plausible(odd, now, ceiling_w):
            gap = odd[0] - self._settled_s
            self._anchor, self._odd, self._settled_s = now, None, now[0]
            event: Event = "reset" if odd[1] < anchor[1] else "leap"
            return Step(event, now[1] - odd[1], now[0] - odd[0], gap)
        if _plausible(anchor, now, ceiling_w):
            self._anchor, self._odd = now, None
            return self._settle(now[0], "torn", now[1] - anchor[1])
        self._odd = now
        return WAIT

    def _settle(self, at_s: float, event: Event, joules: float = 0.0) -> Step:
        span, self._settled_s = at_s - self._settled_s, at_s
        return Step(event, joules, span)


def _plausible(before: Point, now: Point, ceiling_w: float) -> bool:
    """Whether the board can have drawn the difference; readings may be one renewal old."""
    return 0 <= now[1] - before[1] <= ceiling_w * (now[0] - before[0] + UPDATE_S)
