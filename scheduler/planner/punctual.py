"""Saving tasks that are late: where any order of them leaves fewer late, that one is taken.

A late task and those in its way are lifted together and put down one after the other, each as
soon as it fits. First by rules: the least latest start first, the earliest deadline first, first
come first served, and those that were late before all others. Where someone is late under every
rule, all orders are searched, depth first, the most urgent first: of those put down as soon as
they fit, in some order, as few are late as in any schedule (such schedules are the active ones;
Sprecher, Kolisch and Drexl, EJOR 80(1), 1995). A branch ends where as many are too late already
as in the best order known. The search has a limit, and says when it reached it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.planner.order import due, followers, in_order
from scheduler.planner.task import INSTANT_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.planner.board import Board
    from scheduler.planner.task import Placed, Task

# Looks at the board in all searches of a plan; a look takes some 50 us. None of some hundred
# queues of 3 to 8 tasks needed more to be as punctual as by integer programming.
EFFORT = 10_000
# A queue as short as this is searched as a whole.
SMALL = 12
# In a longer one a late task is put down together with so many in its way, those with the most
# time left: more of them made no more tasks punctual on queues of 200 in four regions.
GROUP = 40
# Those late under a rule go first in the next trial, so often.
PROMOTIONS = 3

# How many cannot be placed, are late, and how late in all (s): the less the better.
Lateness = tuple[int, int, float]


def lateness(placed: Sequence[Placed | None]) -> Lateness:
    """How late a plan is."""
    there = [p for p in placed if p is not None]
    late = [p.late_s for p in there if p.late]
    missing = len(placed) - len(there)
    return (missing, missing + len(late), sum(late))


def better(one: Lateness, other: Lateness) -> bool:
    """Whether ``one`` is less late, by more than rounding."""
    return one[:2] < other[:2] or (one[:2] == other[:2] and one[2] < other[2] - INSTANT_S)


class Rescue:
    """Tasks where they are ``placed``, which a board holds: both are changed together."""

    def __init__(
        self,
        tasks: Sequence[Task],
        board: Board,
        placed: list[Placed | None],
        now_s: float,
        effort: int = EFFORT,
    ) -> None:
        self.tasks, self._board, self._now_s = tasks, board, now_s
        self.placed, self._left = placed, effort
        self._due, self._followers = due(tasks), followers(tasks)
        # Whether every order that could have helped was looked at.
        self.complete = True

    def run(self) -> list[Placed | None]:
        """Fewer late where that was found, else nothing changes."""
        everyone = list(range(len(self.tasks)))
        late = self._late(everyone)
        if len(everyone) <= SMALL:
            self._arrange(everyone, search=True)
            return self.placed
        for i in sorted(late, key=self._latest_start):
            here = self.placed[i]
            if here is None or here.late:
                self._arrange(self._in_the_way(i), search=True)
        if self._late(everyone):
            self._arrange(everyone, search=False)
            self.complete = False
        return self.placed

    def _late(self, among: Sequence[int]) -> list[int]:
        """Those that are late and would not be, were there no other task."""
        found = [i for i in among if (p := self.placed[i]) is None or p.late]
        if not found:
            return []
        where = list(self.placed)
        for i in among:
            self.put(i, None)
        hopeless = set()
        for i in found:
            if not self.tasks[i].after:
                alone = self.soonest(i)
                if alone is None or alone.late:
                    hopeless.add(i)
        for i in among:
            self.put(i, where[i])
        return [i for i in found if i not in hopeless]

    def _latest_start(self, i: int) -> float:
        return self._due[i] - self.tasks[i].duration_s

    def _in_the_way(self, i: int) -> list[int]:
        """A task, those it waits for, and those with the most time left that hold its slots."""
        found = {i: None}
        for j in found.copy():
            found |= dict.fromkeys(self.tasks[j].after)
        ready = min(max(self.tasks[j].release_s, self._now_s) for j in found)
        regions = self.tasks[i].regions
        rivals = [
            j
            for j, p in enumerate(self.placed)
            if p is not None
            and j not in found
            and p.start_s < self.tasks[i].deadline_s
            and p.end_s > ready
            and (regions is None or p.region in regions)
        ]
        rivals.sort(key=self._latest_start, reverse=True)
        if len(rivals) > GROUP:
            self.complete = False
        return [*found, *rivals[:GROUP]]

    def _arrange(self, group: Sequence[int], *, search: bool) -> None:
        """Put a group down as well as it can be; where it was, if nothing is better."""
        best = {i: self.placed[i] for i in group}
        known = lateness(list(best.values()))
        self._lift(group)
        first: set[int] = set()

        def latest_start(i: int) -> tuple[float, ...]:
            return (self._latest_start(i), self._due[i])

        def earliest_deadline(i: int) -> tuple[float, ...]:
            return (self._due[i], self._latest_start(i))

        def first_come(i: int) -> tuple[float, ...]:
            return (self.tasks[i].release_s, self._latest_start(i))

        def late_first(i: int) -> tuple[float, ...]:
            return (float(i not in first), self._latest_start(i))

        for rank in (latest_start, earliest_deadline, first_come, *[late_first] * PROMOTIONS):
            if not known[1]:
                break
            made = self._in_turn(sorted(group, key=rank), group)
            self._lift(group)
            if made is None:
                continue
            first |= {i for i, p in made.items() if p is None or p.late}
            if better(this := lateness(list(made.values())), known):
                best, known = made, this
        if known[1] and search:
            orders = _Search(self, group, known)
            # Half of what is left at most, so that one group leaves something to the others.
            share = 1 if len(group) == len(self.tasks) else 2
            self._left -= orders.run(-(-self._left // share))
            self.complete = self.complete and orders.complete
            best = orders.best or best
        for i, place in best.items():
            self.put(i, place)

    def _lift(self, group: Sequence[int]) -> None:
        for i in group:
            self.put(i, None)

    def put(self, i: int, place: Placed | None) -> None:
        """Move a task there; the board follows."""
        if (here := self.placed[i]) is not None:
            self._board.release(self.tasks[i], here)
        if place is not None:
            self._board.hold(self.tasks[i], place)
        self.placed[i] = place

    def soonest(self, i: int) -> Placed | None:
        """The earliest end after those it waits for; None where it must wait for one unplaced."""
        task = self.tasks[i]
        ends = []
        for j in task.after:
            if (p := self.placed[j]) is None:
                return None
            ends.append(p.end_s)
        found = self._board.first_done(task, max([task.release_s, self._now_s, *ends]))
        begins = [p.start_s for j in self._followers[i] if (p := self.placed[j]) is not None]
        if found is None or found.end_s > min(begins, default=found.end_s) + INSTANT_S:
            return None
        return found

    def _in_turn(
        self, ranked: Sequence[int], group: Sequence[int]
    ) -> dict[int, Placed | None] | None:
        """One after the other; None where one that is not of the group would have to move."""
        self.lay(ranked)
        return self.stands(group)

    def stands(self, group: Sequence[int]) -> dict[int, Placed | None] | None:
        """Where a group is; None where one that is not of it would have to move."""
        if any(self.placed[i] is None and self._awaited(i) for i in group):
            return None
        return {i: self.placed[i] for i in group}

    def urgent(self, group: Sequence[int]) -> list[int]:
        """By the latest start."""
        return sorted(group, key=self._latest_start)

    def lay(self, ranked: Sequence[int]) -> None:
        """Each as soon as it fits, one after the other."""
        for i in self.sequence(ranked):
            self.put(i, self.soonest(i))

    def _awaited(self, i: int) -> bool:
        """Whether one that stands waits for it."""
        return any(self.placed[j] is not None for j in self._followers[i])

    def sequence(self, ranked: Sequence[int]) -> list[int]:
        """``ranked``, but each after those among them that it waits for."""
        of = set(ranked)
        return [i for i in in_order(self.tasks, ranked) if i in of]


class _Search:
    """All orders of a group, the most urgent first; ``best`` is less late than was ``known``."""

    def __init__(self, rescue: Rescue, group: Sequence[int], known: Lateness) -> None:
        self._rescue, self._group, self._known = rescue, group, known
        self._tasks = rescue.tasks
        self.best: dict[int, Placed | None] | None = None
        self._seen: set[frozenset[tuple[int, int, float]]] = set()
        self._left = 0

    @property
    def complete(self) -> bool:
        """Whether it ended before its limit."""
        return self._left > 0 or not self._known[1]

    def run(self, effort: int) -> int:
        """Search with so many looks at most; how many it took."""
        self._left = effort
        self._look(self._rescue.sequence(self._rescue.urgent(self._group)), [])
        return effort - max(0, self._left)

    def _look(self, rest: Sequence[int], doomed: Sequence[int]) -> None:
        """All orders of ``rest`` after what is placed; ``doomed`` are late whatever comes."""
        waiting, options, lost = set(rest), [], []
        for i in rest:
            if waiting.isdisjoint(self._tasks[i].after):
                self._left -= 1
                place = self._rescue.soonest(i)
                if place is None or place.late:
                    lost.append(i)
                else:
                    options.append((i, place))
        doomed = [*doomed, *lost]
        if self._left <= 0 or len(doomed) >= self._known[1]:
            return
        left = [i for i in rest if i not in lost]
        if not options:
            self._finish([*left, *doomed])
        for i, place in options:
            self._rescue.put(i, place)
            key = frozenset(
                (j, p.region, p.start_s)
                for j in self._group
                if (p := self._rescue.placed[j]) is not None
            )
            if key not in self._seen:
                self._seen.add(key)
                self._look([j for j in left if j != i], doomed)
            self._rescue.put(i, None)
            if self._left <= 0 or not self._known[1]:
                return

    def _finish(self, last: Sequence[int]) -> None:
        """Those too late end as soon as they can; they are lifted again."""
        self._rescue.lay(self._rescue.urgent(last))
        made = self._rescue.stands(self._group)
        if made is not None and better(this := lateness(list(made.values())), self._known):
            self.best, self._known = made, this
        for i in last:
            self._rescue.put(i, None)
