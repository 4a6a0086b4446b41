"""Slots kept free for jobs still to come, learned from those that came before.

A job that arrives with little slack finds a place where the jobs that run until then leave one.
So what a plan holds some hours ahead leaves free what may arrive until then and cannot wait any
longer: nothing in the next minutes, for all who start then are known, and more further ahead.
What cannot wait is what past arrivals would have held, each begun as late as its deadline allows.
As time passes the same moment comes nearer and less is kept of it, so that what waits may take it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner.task import Placed, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scheduler.planner.task import World
    from scheduler.simulate.admission import Rules

    Floats = NDArray[np.float64]

# The share of past arrivals, of those with no more slack, that found the reserve large enough.
# On 20 days of the PAI log in one region of 500 slots it costs less than 0.01 points of saving.
ENOUGH = 0.99
# So many quantiles of their slack are looked at.
LEVELS = 4
# What arrived in this time (s) counts, and is counted again so often (s): whole weeks and days.
DAY_S = 86400.0
MEMORY_S = 28 * DAY_S

Kept = tuple[Task, Placed]


class Reserve:
    """What a region with limited slots keeps free; an arrival counts where it is dirtiest."""

    def __init__(self, actual: World, rules: Rules) -> None:
        self._actual, self._capacity = actual, rules.capacity
        self._keeps = rules.keeps_free
        self._past: list[Task] = []
        self._levels: list[tuple[int, float, int]] = []
        self._again_s = float("-inf")

    def learn(self, task: Task, now_s: float) -> None:
        """A task arrived."""
        if not self._keeps:
            return
        self._past.append(task)
        if now_s >= self._past[0].release_s + DAY_S and now_s >= self._again_s:
            self._again_s = now_s + DAY_S
            self._past = [task for task in self._past if task.release_s > now_s - MEMORY_S]
            self._levels = self._learned(now_s)

    def ahead(self, now_s: float) -> list[Kept]:
        """What is kept free from now on, as tasks that hold whole cells; the nearest first."""
        world, kept = self._actual, []
        for region, lead_s, slots in self._levels:
            begin_s = world.time(world.at_or_after(now_s + lead_s))
            if begin_s < world.end_s:
                task = Task(begin_s, world.end_s, world.end_s - begin_s, slots)
                kept.append((task, Placed(region, ((begin_s, world.end_s),), 0.0)))
        return kept

    def _learned(self, now_s: float) -> list[tuple[int, float, int]]:
        cells = max(1, self._actual.at_or_before(now_s))
        known = np.nan_to_num(self._actual.g_per_kwh[:, :cells]).mean(axis=1)
        of_region: dict[int, list[Task]] = {}
        for task in self._past:
            regions = range(len(known)) if task.regions is None else task.regions
            of_region.setdefault(max(regions, key=lambda k: known[k]), []).append(task)
        found = [
            (region, lead_s, slots)
            for region, tasks in of_region.items()
            for lead_s, slots in levels(tasks, self._idle(tasks, now_s))
        ]
        return sorted(found, key=lambda level: level[1])

    def _idle(self, past: Sequence[Task], now_s: float) -> int:
        """Slots that past arrivals left idle on average: who keeps more cannot keep up."""
        held = sum(task.area for task in past) / max(now_s - past[0].release_s, DAY_S)
        return max(0, int((self._capacity or 0) - held))


def levels(past: Sequence[Task], most: int) -> list[tuple[float, int]]:
    """From how far ahead on (s) how many slots more are kept free, ``most`` in all."""
    lengths = np.array([task.duration_s for task in past])
    latest = np.array([task.deadline_s for task in past]) - lengths
    slack = latest - np.array([task.release_s for task in past])
    slots = np.array([task.slots for task in past])
    found: list[tuple[float, int]] = []
    kept = 0
    parts = np.linspace(0.0, 1.0, LEVELS, endpoint=False)
    for lead_s in np.unique(np.quantile(slack, parts, method="lower")).tolist():
        tight = slack <= lead_s
        need = np.sort(_held(latest[tight], lengths[tight], slots[tight]))
        wanted = min(most, int(need[min(len(need) - 1, int(ENOUGH * len(need)))]))
        if wanted > kept:
            found.append((lead_s, wanted - kept))
            kept = wanted
    return found


def _held(starts: Floats, lengths: Floats, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Slots held as each begins, its own among them."""
    order = np.argsort(starts, kind="stable")
    starts, lengths, slots = starts[order], lengths[order], slots[order]
    by_end = np.argsort(starts + lengths, kind="stable")
    ended = np.append(0, np.cumsum(slots[by_end]))
    ends = (starts + lengths)[by_end]
    held: NDArray[np.int64] = np.cumsum(slots) - ended[np.searchsorted(ends, starts, side="right")]
    return held
