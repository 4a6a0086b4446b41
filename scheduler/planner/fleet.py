"""Many jobs under limited capacity: near-optimal, anytime, deterministic.

Three steps. First come, first served gives a plan that any other must beat. The greedy plan
places tasks by priority and size, largest first, each at the cheapest place left: small ones
fill the holes that large ones leave. Then every task in turn is lifted and put down at the
cheapest place left, until nothing moves: no such step makes the plan worse. Where there is time
for it, :mod:`scheduler.planner.multipliers` arranges them all together instead. How far the
result can be from the optimum is said by :mod:`scheduler.planner.bound`.

A task that cannot end by its deadline runs as soon as it can, and is said to be late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.planner.board import TIE, Board
from scheduler.planner.multipliers import Multipliers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.planner.task import Placed, Task

# Lifting every task this often brings nearly all that it can bring (measured: the fourth pass
# over 100,000 jobs changes the total by less than 0.01 %).
PASSES = 4
# So often tasks that are late in the greedy plan are put before the others.
PROMOTIONS = 3
# Passes of the method of multipliers, where there is time for them. On a year of 100,000 jobs in
# five regions of 60 slots 30 end 2.2 % above the best bound known and 60 end 1.8 % above it, a
# second and a half each; without them it is 6.0 %.
ROUNDS = 60


class Cycle(ValueError):
    """Tasks wait for each other; ``tasks`` are their indices, in order."""

    def __init__(self, tasks: tuple[int, ...]) -> None:
        super().__init__(" after ".join(map(str, tasks)))
        self.tasks = tasks


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Where each task goes, in order; None: it fits nowhere before the end of what is known."""

    placed: tuple[Placed | None, ...]

    @property
    def cost(self) -> float:
        """The sum over all that were placed, in the unit of the objective."""
        return sum(p.cost for p in self.placed if p is not None)

    @property
    def late(self) -> int:
        """Tasks that end after their deadline or fit nowhere."""
        return sum(p is None or p.late for p in self.placed)

    def beats(self, other: FleetPlan) -> bool:
        """All that ``other`` places is placed, and fewer are late, or as many at less cost."""
        pairs = list(zip(self.placed, other.placed, strict=True))
        if any(mine is None and its is not None for mine, its in pairs):
            return False
        if self.late != other.late:
            return self.late < other.late
        cost = sum(mine.cost for mine, its in pairs if mine is not None and its is not None)
        return cost < other.cost - TIE * abs(other.cost)


def plan(
    tasks: Sequence[Task],
    board: Board,
    *,
    now_s: float = float("-inf"),
    start: FleetPlan | None = None,
    passes: int = PASSES,
    rounds: int = 0,
) -> FleetPlan:
    """The plan of ``tasks`` on what ``board`` has left, which then holds them.

    ``start`` is a plan to improve on, of the same tasks; it need not be held. ``rounds`` are
    passes of the method of multipliers, which takes longer than the rest but comes nearer to
    the optimum. Deadlines come before cost: never more tasks are late than in ``start`` (or first
    come, first served), and where as many are, the plan costs no more. Raises :class:`Cycle`.
    """
    order = in_order(tasks)
    best = start or first_come(tasks, board, now_s=now_s, order=order)
    if rounds:
        other = share(tasks, board, now_s=now_s, order=order, rounds=rounds)
        # One pass: more bring less than 0.1 % here.
        other = improve(tasks, board, other, now_s=now_s, passes=min(passes, 1))
        if other.beats(best) and not other.late:
            return other
        _hold(tasks, other, board, times=-1)
        best = other if other.beats(best) else best
    _hold(tasks, best, board)
    best = improve(tasks, board, best, now_s=now_s, passes=passes)
    _hold(tasks, best, board, times=-1)
    other = _punctual(tasks, board, now_s, order)
    other = improve(tasks, board, other, now_s=now_s, passes=passes)
    if not other.beats(best):
        _hold(tasks, other, board, times=-1)
        _hold(tasks, best, board)
        return best
    return other


def first_come(
    tasks: Sequence[Task],
    board: Board,
    *,
    now_s: float = float("-inf"),
    order: Sequence[int] | None = None,
) -> FleetPlan:
    """Each task as early as it can, in order of release; nothing stays held."""
    ranks = sorted(order or in_order(tasks), key=lambda i: tasks[i].release_s)
    made = _place(tasks, board, _with_waits(tasks, ranks), now_s, board.soonest)
    _hold(tasks, made, board, times=-1)
    return made


def _punctual(tasks: Sequence[Task], board: Board, now_s: float, order: Sequence[int]) -> FleetPlan:
    """The greedy plan; tasks that are late in it go first in the next, while that helps."""
    best = greedy(tasks, board, now_s=now_s, order=order)
    first: frozenset[int] = frozenset()
    for _ in range(PROMOTIONS):
        late = {i for i, p in enumerate(best.placed) if p is None or p.late}
        if not late - first:
            break
        first |= late
        _hold(tasks, best, board, times=-1)
        other = greedy(tasks, board, now_s=now_s, order=order, first=first)
        if not other.beats(best):
            _hold(tasks, other, board, times=-1)
            _hold(tasks, best, board)
            break
        best = other
    return best


def greedy(
    tasks: Sequence[Task],
    board: Board,
    *,
    now_s: float = float("-inf"),
    order: Sequence[int],
    first: frozenset[int] = frozenset(),
) -> FleetPlan:
    """Each task at the cheapest place left, by priority and size; the board holds them.

    Of one priority those in ``first`` go before all others, by deadline.
    """

    def rank(i: int) -> tuple[float, ...]:
        task = tasks[i]
        urgent = task.deadline_s if i in first else float("inf")
        return (-task.priority, urgent, -task.area, task.release_s, task.deadline_s)

    return _place(tasks, board, _with_waits(tasks, sorted(order, key=rank)), now_s, None)


def share(
    tasks: Sequence[Task],
    board: Board,
    *,
    now_s: float = float("-inf"),
    order: Sequence[int],
    rounds: int,
) -> FleetPlan:
    """The greedy plan, and in it the tasks that compete for slots arranged anew; all are held."""
    made = greedy(tasks, board, now_s=now_s, order=order)
    followed = {j for task in tasks for j in task.after}
    free = [i for i in range(len(tasks)) if i not in followed]
    problem = Multipliers([tasks[i] for i in free], board.world, now_s)
    members = [free[n] for n in problem.members]
    placed = list(made.placed)
    for i in members:
        if (here := placed[i]) is not None:
            board.release(tasks[i], here)
    left = board.slots()
    arranged = [] if left is None else problem.run(left, rounds)
    if not arranged:
        _hold([tasks[i] for i in members], FleetPlan(tuple(placed[i] for i in members)), board)
        return made
    crowded = []
    for i, found in zip(members, arranged, strict=True):
        if found is None:
            crowded.append(i)
            continue
        region, start_s = found
        placed[i] = here = board.priced(
            tasks[i], region, ((start_s, start_s + tasks[i].duration_s),)
        )
        board.hold(tasks[i], here)
    for i in crowded:
        placed[i] = place(tasks[i], board, max(tasks[i].release_s, now_s))
    return FleetPlan(tuple(placed))


def improve(
    tasks: Sequence[Task],
    board: Board,
    made: FleetPlan,
    *,
    now_s: float = float("-inf"),
    passes: int = PASSES,
) -> FleetPlan:
    """Lift and put down each task in turn, forth and back in time; the board holds the result."""
    placed = list(made.placed)
    followers = _followers(tasks)
    forth = sorted(range(len(tasks)), key=lambda i: tasks[i].release_s)
    for turn in range(passes):
        moved = False
        for i in forth if turn % 2 == 0 else reversed(forth):
            here = placed[i]
            if here is None:
                continue
            earliest = _earliest(tasks, placed, i, now_s)
            latest = max(tasks[i].deadline_s, here.end_s)
            latest = min([latest, *(p.start_s for j in followers[i] if (p := placed[j]))])
            board.release(tasks[i], here)
            there = board.cheapest(tasks[i], earliest, latest)
            if there is not None and (
                (there.late < here.late)
                or (there.late == here.late and there.cost < here.cost - TIE * abs(here.cost))
            ):
                placed[i], moved = there, True
            board.hold(tasks[i], placed[i] or here)
        if not moved:
            break
    return FleetPlan(tuple(placed))


def place(task: Task, board: Board, earliest_s: float) -> Placed | None:
    """One task at the cheapest place left, late where it must; the board holds it."""
    placed = board.cheapest(task, earliest_s, task.deadline_s) or board.soonest(task, earliest_s)
    if placed is not None:
        board.hold(task, placed)
    return placed


def in_order(tasks: Sequence[Task]) -> list[int]:
    """Indices with every task after those it waits for; raises :class:`Cycle`."""
    if not any(task.after for task in tasks):
        return list(range(len(tasks)))
    done: dict[int, bool] = {}
    order: list[int] = []

    def visit(i: int, path: tuple[int, ...]) -> None:
        if done.get(i):
            return
        if i in path:
            raise Cycle((*path[path.index(i) :], i))
        for j in tasks[i].after:
            visit(j, (*path, i))
        done[i] = True
        order.append(i)

    for i in range(len(tasks)):
        visit(i, ())
    return order


def _with_waits(tasks: Sequence[Task], ranked: Sequence[int]) -> list[int]:
    """``ranked``, but each task after those it waits for, which inherit its rank."""
    if not any(task.after for task in tasks):
        return list(ranked)
    order: dict[int, None] = {}

    def visit(i: int) -> None:
        if i not in order:
            for j in tasks[i].after:
                visit(j)
            order[i] = None

    for i in ranked:
        visit(i)
    return list(order)


def _followers(tasks: Sequence[Task]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in tasks]
    for i, task in enumerate(tasks):
        for j in task.after:
            found[j].append(i)
    return found


def _earliest(
    tasks: Sequence[Task], placed: Sequence[Placed | None], i: int, now_s: float
) -> float:
    ends = (p.end_s for j in tasks[i].after if (p := placed[j]) is not None)
    return max([tasks[i].release_s, now_s, *ends])


def _place(
    tasks: Sequence[Task],
    board: Board,
    order: Sequence[int],
    now_s: float,
    where: Callable[[Task, float], Placed | None] | None,
) -> FleetPlan:
    placed: list[Placed | None] = [None] * len(tasks)
    for i in order:
        task, earliest = tasks[i], _earliest(tasks, placed, i, now_s)
        if any(placed[j] is None for j in task.after):
            continue
        if where is None:
            placed[i] = place(task, board, earliest)
        else:
            placed[i] = found = where(task, earliest)
            if found is not None:
                board.hold(task, found)
    return FleetPlan(tuple(placed))


def _hold(tasks: Sequence[Task], made: FleetPlan, board: Board, *, times: int = 1) -> None:
    for task, placed in zip(tasks, made.placed, strict=True):
        if placed is not None:
            board.hold(task, placed, times=times)
