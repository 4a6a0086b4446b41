"""Tasks that are in each other's way, lifted together and put down in another order.

Lifting one task at a time (:func:`scheduler.planner.fleet.improve`) ends where two would have to
change places, most of all where tasks may pause: the first takes the cheapest hours in pieces
and nothing is left of them. A few that compete are lifted at once and put down in a drawn order,
each where it is cheapest; what costs less stays (large neighbourhood search; Shaw, CP 1998).
The draws are always the same.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner.board import TIE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.planner.board import Board
    from scheduler.planner.task import Placed, Task

# So many are lifted together at most.
TOGETHER = 4
# Draws in all, and in vain one after the other. On 63 queues of 3 to 6 tasks that mostly may pause
# 400 draws end 0.6 % above the exact optimum (HiGHS), without them it is 8.3 %.
DRAWS, IN_VAIN = 400, 80


def exchange(
    tasks: Sequence[Task], board: Board, placed: Sequence[Placed | None], *, draws: int = DRAWS
) -> list[Placed | None]:
    """No task is later than before, and all together cost no more; the board holds the result.

    The tasks wait for no others of them.
    """
    made = list(placed)
    there = [i for i, here in enumerate(made) if here is not None]
    release = np.array([tasks[i].release_s for i in there])
    deadline = np.array([tasks[i].deadline_s for i in there])
    draw, in_vain = Random(0), 0
    for _ in range(draws if len(there) > 1 else 0):
        if in_vain == IN_VAIN:
            break
        n = draw.randrange(len(there))
        meets = np.flatnonzero((release < deadline[n]) & (deadline > release[n])).tolist()
        rivals = [there[m] for m in meets if m != n]
        if not rivals:
            in_vain += 1
            continue
        count = min(len(rivals), draw.randint(1, TOGETHER - 1))
        group = [there[n], *draw.sample(rivals, count)]
        draw.shuffle(group)
        before = {j: here for j in group if (here := made[j]) is not None}
        for j, here in before.items():
            board.release(tasks[j], here)
        after = _put_down(tasks, board, before, group)
        in_vain = in_vain + 1 if after is before else 0
        for j in group:
            made[j] = after[j]
    return made


def _put_down(
    tasks: Sequence[Task], board: Board, before: dict[int, Placed], group: Sequence[int]
) -> dict[int, Placed]:
    """Each where it is cheapest, one after the other; where they were, if that costs no less."""
    after: dict[int, Placed] = {}
    for j in group:
        task, end_s = tasks[j], max(tasks[j].deadline_s, before[j].end_s)
        found = board.cheapest(task, task.release_s, end_s)
        if found is None:
            break
        board.hold(task, found)
        after[j] = found
    old, new = (sum(p.cost for p in places.values()) for places in (before, after))
    if len(after) == len(group) and new < old - TIE * abs(old):
        return after
    for j, place in after.items():
        board.release(tasks[j], place)
    for j, place in before.items():
        board.hold(tasks[j], place)
    return before
