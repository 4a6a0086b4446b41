"""What is free, and whether that is more than when the queue was last planned.

What the last plan found free is kept with it. Whatever frees or adds capacity (a job that ends
early, fails or is cancelled, a changed config) leaves more free somewhere than that; a start or an
end as planned does not, so a quiet queue is not planned again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.errors import LowtideError
from scheduler.engine import queue
from scheduler.engine.promises import Promised
from scheduler.engine.scene import boards_of, capacity
from scheduler.models import LOOKED_AHEAD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from scheduler.engine.context import Context
    from scheduler.engine.promises import Spot
    from scheduler.engine.scene import Held

# Capacities repeat by the hour of the day.
HOUR_S, DAY_S = 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Free:
    """Slots and boards that nothing holds on a region's host, from each of ``times`` on (Unix s).

    The last day of ``times`` stands for all days after it: nothing is held then, or it is as far
    away as is looked at.
    """

    region: str
    host: str
    times: list[float]
    slots: list[int]
    gpus: list[int]

    def over(self, moments: NDArray[np.float64]) -> NDArray[np.int64]:
        """What is free at each moment: 2 x moments."""
        beyond = np.maximum((moments - self.times[-1]) // DAY_S, -1) + 1
        at = np.searchsorted(self.times, moments - beyond * DAY_S, side="right") - 1
        return np.array([self.slots, self.gpus])[:, np.maximum(at, 0)]


def at(ctx: Context, now: datetime, before: tuple[Free, ...] = ()) -> tuple[Free, ...]:
    """What is free wherever jobs run or are to run, or were ``before``; not where an engine is
    silent.
    """
    promised, held = Promised.now(ctx), queue.held(ctx, now)
    spots = promised.spots | {(h.region, h.host) for h in held}
    spots |= {(f.region, f.host) for f in before}
    found = (_of(ctx, promised, held, spot, now) for spot in sorted(spots))
    return tuple(free for free in found if free is not None)


def _of(
    ctx: Context, promised: Promised, held: Sequence[Held], spot: Spot, now: datetime
) -> Free | None:
    region, first = spot[0], now.timestamp()
    levels = promised.of({spot}).levels(region)
    mine = [hold for hold in held if (hold.region, hold.host) == spot]
    until = max([first, *levels[-1:, 0], *(hold.end_s for hold in mine)])
    last = min(until, first + LOOKED_AHEAD.total_seconds()) + DAY_S
    hours = np.arange(first // HOUR_S + 1, last // HOUR_S + 1) * HOUR_S
    times = np.unique([first, *levels[:, 0], *(hold.end_s for hold in mine), *hours, last])
    times = times[(times >= first) & (times <= last)]
    row = np.searchsorted(levels[:, 0], times, side="right")
    slots, gpus = np.vstack(([0, 0], levels[:, 1:]))[row].T.copy()
    for hold in mine:
        slots[times < hold.end_s] += hold.slots
        gpus[times < hold.end_s] += hold.gpus
    try:
        boards = boards_of(ctx, region, mine) if gpus.any() else 0
        there = capacity(ctx, region, times)
    except LowtideError:
        return None
    return Free(*spot, times.tolist(), (there - slots).tolist(), (boards - gpus).tolist())


def grown(before: tuple[Free, ...], after: tuple[Free, ...], since_s: float) -> bool:
    """Whether anywhere from a moment (Unix seconds) on more is free than before."""
    known = {(free.region, free.host): free for free in before}
    for free in after:
        then = known.get((free.region, free.host))
        if then is None:
            continue  # its jobs came after the last plan, which is made again then
        moments = np.unique([since_s, *then.times, *free.times])
        moments = moments[moments >= since_s]
        if (free.over(moments) > then.over(moments)).any():
            return True
    return False


def dumped(free: tuple[Free, ...]) -> str:
    """As text for the store."""
    return json.dumps([asdict(each) for each in free])


def loaded(text: str) -> tuple[Free, ...]:
    """The same from text; nothing where none was kept, or what was cannot be read."""
    try:
        found = tuple(Free(**each) for each in json.loads(text or "[]"))
        for each in found:
            sizes = {np.array(part, float).shape for part in (each.times, each.slots, each.gpus)}
            if len(sizes) != 1 or not np.isfinite([*each.times, *each.slots, *each.gpus]).all():
                raise ValueError("no steps")
            if not (isinstance(each.region, str) and isinstance(each.host, str) and each.times):
                raise ValueError("no place")
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return ()
    return found
