"""Tasks that wait for each other, lifted and put down together.

One by one such tasks get stuck: the first may not end after the second begins, nor the second
begin before the first has ended, so that neither goes to a cheaper time alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.planner.board import TIE
from scheduler.planner.order import due, followers, in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.planner.board import Board
    from scheduler.planner.task import Placed, Task

# Tasks of a chain that are moved at once, at most.
LONGEST = 50

Places = dict[int, "Placed"]


class Chains:
    """The tasks that wait for others, by chains; a chain is whatever hangs together by waits."""

    def __init__(self, tasks: Sequence[Task], board: Board, now_s: float) -> None:
        self._tasks, self._board = tasks, board
        self.chains = _chains(tasks)
        if self.chains:
            self._due, self._followers = due(tasks), followers(tasks)
            self._ready = [max(task.release_s, now_s) for task in tasks]
            for i in in_order(tasks):
                for j in tasks[i].after:
                    self._ready[i] = max(self._ready[i], self._ready[j] + tasks[j].duration_s)

    def arranged(self, chain: Sequence[int], here: Mapping[int, Placed]) -> Places | None:
        """Punctual places of a chain in order, cheaper together; the board holds none of it.

        Twice: each at the cheapest place after those before it, and from the last one back each
        at the cheapest place before those after it.
        """
        best, cost = None, sum(p.cost for p in here.values())
        for order in (chain, chain[::-1]):
            made = self._laid(order)
            if made and (total := sum(p.cost for p in made.values())) < cost - TIE * abs(cost):
                best, cost = made, total
        return best

    def _laid(self, order: Sequence[int]) -> Places | None:
        made: Places = {}
        for i in order:
            task = self._tasks[i]
            earliest = [made[j].end_s for j in task.after if j in made]
            latest = [made[j].start_s for j in self._followers[i] if j in made]
            place = self._board.cheapest(
                task, max([self._ready[i], *earliest]), min([self._due[i], *latest])
            )
            if place is None:
                break
            made[i] = place
            self._board.hold(task, place)
        for i, place in made.items():
            self._board.release(self._tasks[i], place)
        return made if len(made) == len(order) else None


def _chains(tasks: Sequence[Task]) -> list[list[int]]:
    """Groups of two and more that wait for each other, each in order."""
    group = {i: [i] for i, task in enumerate(tasks) if task.after}
    if not group:
        return []
    for i, task in enumerate(tasks):
        for j in task.after:
            one, other = group[i], group.setdefault(j, [j])
            if one is not other:
                one += other
                group |= dict.fromkeys(other, one)
    rank = {i: n for n, i in enumerate(in_order(tasks))}
    found = {id(members): sorted(members, key=rank.__getitem__) for members in group.values()}
    return [members for members in found.values() if len(members) <= LONGEST]
