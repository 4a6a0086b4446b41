"""What is held of each region, to the moment: by cells for speed, parts of cells exactly.

Of each cell the least that is left in it is kept, so that most questions are answered by whole
cells, for all regions at once. Spans that hold only a part of a cell are kept beside that: who
needs another part of it, or no more than is left between them, finds it there.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner.task import INSTANT_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scheduler.planner.task import World

    Gaps = list[tuple[float, float]]

# Moments nearer than this (s) are one: who ends then makes room for who starts then.
TICK_S = 1e-5
# More than any region has, of what is not limited.
UNLIMITED = 2**31 - 1
# Of fewer spans in a cell the most held at once is counted one by one, which is faster then.
FEW = 5

# Slots and GPUs.
Demand = tuple[int, int]


class Ledger:
    """Capacity left of a world's regions. A ``demand`` is slots and GPUs held at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.left = [None if x is None else x.copy() for x in (world.slots, world.gpus)]
        self._shared: dict[tuple[int, int], _Cell] = {}
        # The cells of which spans hold a part.
        self._mixed = np.zeros((world.regions, world.cells), dtype=bool)

    @property
    def whole(self) -> bool:
        """Whether nothing holds a part of a cell only."""
        return not self._shared

    def hold(self, region: int, a: float, b: float, demand: Demand, times: int) -> None:
        """Take ``times`` the demand over [a, b) (Unix seconds); -1 gives it back."""
        world = self._world
        low, high = world.at_or_after(a), world.at_or_before(b)
        if low > high:
            self._part(region, high, (a, b, *demand), times)
            return
        if (edge := world.time(low)) > a + INSTANT_S:
            self._part(region, low - 1, (a, edge, *demand), times)
        if (edge := world.time(high)) < b - INSTANT_S:
            self._part(region, high, (edge, b, *demand), times)
        if low < high:
            for left, wanted in zip(self.left, demand, strict=True):
                if left is not None and wanted:
                    left[region, max(low, 0) : max(high, 0)] -= times * wanted

    def _part(self, region: int, at: int, part: tuple[float, float, int, int], times: int) -> None:
        if not 0 <= at < self._world.cells:
            return
        cell = self._shared.get((region, at))
        if cell is None:
            cell = self._shared[region, at] = _Cell()
            self._mixed[region, at] = True
        before = cell.peak
        cell.change(part, times)
        for left, was, now in zip(self.left, before, cell.peak, strict=True):
            if left is not None:
                left[region, at] += was - now
        if not cell.parts:
            del self._shared[region, at]
            self._mixed[region, at] = False

    def barred(
        self, rows: slice | list[int], low: int, high: int, demand: Demand
    ) -> NDArray[np.bool_]:
        """Rows x cells that are not free throughout."""
        found = np.zeros(self._mixed[rows, low:high].shape, dtype=bool)
        for left, wanted in zip(self.left, demand, strict=True):
            if left is not None and wanted:
                found |= left[rows, low:high] < wanted
        return found

    def partly(self, rows: slice | list[int], low: int, high: int) -> NDArray[np.bool_]:
        """Rows x cells of which a part may be free though they are barred."""
        return self._mixed[rows, low:high]

    def gaps(self, region: int, low: int, barred: NDArray[np.bool_], demand: Demand) -> Gaps:
        """Where the demand is free in a region, in order, on the cells ``barred`` from ``low`` on.

        What is barred for another reason must not be among :meth:`partly`.
        """
        time = self._world.time
        edges = np.flatnonzero(np.diff(barred, prepend=True, append=True)) + low
        found = [(time(a), time(b)) for a, b in edges.reshape(-1, 2).tolist()]
        mixed = np.flatnonzero(barred & self._mixed[region, low : low + len(barred)]) + low
        if not len(mixed):
            return found
        for at in mixed.tolist():
            found += self._free(region, at, demand)
        found.sort()
        merged: Gaps = []
        for a, b in found:
            if merged and a <= merged[-1][1] + TICK_S:
                merged[-1] = (merged[-1][0], b)
            else:
                merged.append((a, b))
        return merged

    def fits(self, region: int, a: float, b: float, demand: Demand) -> bool:
        """Whether the demand is free over [a, b)."""
        low, high = self._world.at_or_before(a), self._world.at_or_after(b)
        if low < 0 or high > self._world.cells:
            return False
        barred = self.barred([region], low, high, demand)[0]
        if not barred.any():
            return True
        gaps = self.gaps(region, low, barred, demand)
        return any(start <= a + TICK_S and b - TICK_S <= end for start, end in gaps)

    def _free(self, region: int, at: int, demand: Demand) -> Sequence[tuple[float, float]]:
        """The parts of a mixed cell where the demand is free."""
        cell = self._shared[region, at]
        spare = [
            UNLIMITED if left is None or not wanted else int(left[region, at]) + peak - wanted
            for left, wanted, peak in zip(self.left, demand, cell.peak, strict=True)
        ]
        if min(spare) < 0:
            return ()
        return cell.free(self._world.time(at), self._world.time(at + 1), (spare[0], spare[1]))


class _Cell:
    """Spans that hold a part of a cell, each with its slots and GPUs."""

    __slots__ = ("_steps", "parts", "peak")

    def __init__(self) -> None:
        self.parts: list[tuple[float, float, int, int]] = []
        self.peak: Demand = (0, 0)
        self._steps: list[tuple[float, int, int]] | None = None

    def change(self, part: tuple[float, float, int, int], times: int) -> None:
        """Add a span, or take it away."""
        if times > 0:
            insort(self.parts, part)
        else:
            self.parts.remove(part)
        self._steps = None
        if len(self.parts) < FEW:
            # As at the beginning of some span.
            at_once = [[p for p in self.parts if p[0] <= a + TICK_S < p[1]] for a, *_ in self.parts]
            self.peak = (
                max((sum(p[2] for p in held) for held in at_once), default=0),
                max((sum(p[3] for p in held) for held in at_once), default=0),
            )
            return
        steps = self._levels()
        self.peak = (max(s for _, s, _ in steps), max(g for _, _, g in steps))

    def _levels(self) -> list[tuple[float, int, int]]:
        """From each moment on: what is held."""
        if self._steps is None:
            events = []
            for a, b, slots, gpus in self.parts:
                events.append((round(a / TICK_S), a, slots, gpus))
                events.append((round(b / TICK_S), b, -slots, -gpus))
            events.sort()
            self._steps = []
            slots = gpus = 0
            for n, (tick, at, more_slots, more_gpus) in enumerate(events):
                slots, gpus = slots + more_slots, gpus + more_gpus
                # Whatever ends or starts at one moment counts as one change.
                if n + 1 == len(events) or events[n + 1][0] > tick:
                    self._steps.append((at, slots, gpus))
        return self._steps

    def free(self, start_s: float, end_s: float, spare: Demand) -> list[tuple[float, float]]:
        """Where no more than ``spare`` is held."""
        found: list[tuple[float, float]] = []
        begun: float | None = start_s
        for at, slots, gpus in self._levels():
            free = slots <= spare[0] and gpus <= spare[1]
            if free and begun is None:
                begun = at
            elif not free and begun is not None:
                if at > begun + TICK_S:
                    found.append((begun, at))
                begun = None
        if begun is not None and end_s > begun + TICK_S:
            found.append((begun, end_s))
        return found
