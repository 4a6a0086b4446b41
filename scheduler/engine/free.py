"""What is free, and whether that is more than when the queue was last planned.

What the last plan found free is kept with it. Whatever frees or adds capacity (a job that
ends early, fails or is cancelled, a changed config) leaves more free somewhere than that; a start
or an end as planned does not, so a quiet queue is not planned again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import LowtideError
from scheduler.engine import queue
from scheduler.engine.promises import Promised, cell
from scheduler.engine.scene import boards_of, capacity
from scheduler.planner.task import COARSEST_S, INSTANT_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from scheduler.engine.context import Context
    from scheduler.engine.promises import Spot
    from scheduler.engine.scene import Held

# Capacities repeat after so many cells (slots by the hour of the day).
DAY = int(86400 / COARSEST_S)


@dataclass(frozen=True, slots=True)
class Free:
    """Slots and boards that nothing holds on a region's host, in each cell from ``first`` on.

    The last :data:`DAY` cells are those of a day on which nothing is held.
    """

    region: str
    host: str
    first: int
    slots: list[int]
    gpus: list[int]

    def over(self, first: int, end: int) -> NDArray[np.int64]:
        """The same for the cells ``[first, end)``: 2 x cells."""
        at = np.arange(first, end) - self.first
        beyond = np.maximum(at - len(self.slots), -1) // DAY + 1
        return np.array([self.slots, self.gpus])[:, np.maximum(at - beyond * DAY, 0)]


def at(ctx: Context, now: datetime, before: tuple[Free, ...] = ()) -> tuple[Free, ...]:
    """What is free wherever jobs run or are to run, or were ``before``; not where an engine is
    silent.
    """
    promised, held = Promised.now(ctx), queue.held(ctx, now)
    spots = (
        promised.spots | {(h.region, h.host) for h in held} | {(f.region, f.host) for f in before}
    )
    found = (_of(ctx, promised, held, spot, now) for spot in sorted(spots))
    return tuple(free for free in found if free is not None)


def _of(
    ctx: Context, promised: Promised, held: Sequence[Held], spot: Spot, now: datetime
) -> Free | None:
    region, first = spot[0], cell(now.timestamp())
    mine = [hold for hold in held if (hold.region, hold.host) == spot]
    here = [(hold, cell(hold.end_s - INSTANT_S) + 1) for hold in mine]
    cells = max([first, promised.end, *(end for _, end in here)]) - first + DAY
    slots, gpus = promised.of({spot}).over(region, first, cells)
    for hold, end in here:
        slots[: end - first] += hold.slots
        gpus[: end - first] += hold.gpus
    try:
        boards = boards_of(ctx, region, mine) if gpus.any() else 0
        there = capacity(ctx, region, COARSEST_S * (first + np.arange(cells, dtype=np.float64)))
    except LowtideError:
        return None
    return Free(region, spot[1], first, (there - slots).tolist(), (boards - gpus).tolist())


def grown(before: tuple[Free, ...], after: tuple[Free, ...], since: int) -> bool:
    """Whether anywhere in the cells from ``since`` on more is free than before."""
    known = {(free.region, free.host): free for free in before}
    for free in after:
        then = known.get((free.region, free.host))
        if then is None:
            continue  # its jobs came after the last plan, which is made again then
        end = max(f.first + len(f.slots) for f in (free, then))
        if (free.over(since, end) > then.over(since, end)).any():
            return True
    return False


def dumped(free: tuple[Free, ...]) -> str:
    """As text for the store."""
    return json.dumps([asdict(each) for each in free])


def loaded(text: str | None) -> tuple[Free, ...]:
    """The same from text; nothing where none was kept."""
    return tuple(Free(**each) for each in json.loads(text or "[]"))
