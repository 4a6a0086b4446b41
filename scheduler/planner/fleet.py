"""Many jobs under limited capacity: near-optimal, anytime, deterministic.

Three steps. First come, first served gives a plan that any other must beat. The greedy plan
places tasks by priority and size, largest first, each at the cheapest place left: small ones
fill the holes that large ones leave. Where someone is late in it, an order that leaves fewer
late is looked for (:mod:`scheduler.planner.punctual`). Then every task in turn is lifted and put
down at the cheapest place left, until nothing moves: no such step makes the plan worse. Where
there is time for it, :mod:`scheduler.planner.multipliers` arranges them all together instead.
How far the result can be from the optimum is said by :mod:`scheduler.planner.bound`.

A task that cannot end by its deadline runs as soon as it can, and is said to be late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.planner.board import TIE, Board
from scheduler.planner.chains import Chains
from scheduler.planner.multipliers import Multipliers
from scheduler.planner.order import due, in_order
from scheduler.planner.order import followers as followers_of
from scheduler.planner.punctual import EFFORT, Rescue, better, lateness
from scheduler.planner.task import INSTANT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.planner.task import Placed, Task

# Lifting every task this often brings nearly all that it can bring (measured: the fourth pass
# over 100,000 jobs changes the total by less than 0.01 %).
PASSES = 4
# Passes of the method of multipliers, where there is time for them. On a year of 100,000 jobs in
# five regions of 60 slots 30 end 2.2 % above the best bound known and 60 end 1.8 % above it, a
# second and a half each; without them it is 6.0 %.
ROUNDS = 60


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Where each task goes, in order; None: it fits nowhere before the end of what is known."""

    placed: tuple[Placed | None, ...]
    # False: a search for a punctual order of those that are late reached its limit.
    complete: bool = True

    @property
    def cost(self) -> float:
        """The sum over all that were placed, in the unit of the objective."""
        return sum(p.cost for p in self.placed if p is not None)

    @property
    def late(self) -> int:
        """Tasks that end after their deadline or fit nowhere."""
        return sum(p is None or p.late for p in self.placed)

    def beats(self, other: FleetPlan) -> bool:
        """Whether it places all that ``other`` does, with fewer late, or less late, or for less."""
        pairs = list(zip(self.placed, other.placed, strict=True))
        if any(mine is None and its is not None for mine, its in pairs):
            return False
        mine, its = lateness(self.placed), lateness(other.placed)
        if better(mine, its) or better(its, mine):
            return better(mine, its)
        cost = sum(a.cost for a, b in pairs if a is not None and b is not None)
        return cost < other.cost - TIE * abs(other.cost)


def plan(
    tasks: Sequence[Task],
    board: Board,
    *,
    now_s: float = float("-inf"),
    start: FleetPlan | None = None,
    passes: int = PASSES,
    rounds: int = 0,
    effort: int = EFFORT,
) -> FleetPlan:
    """The plan of ``tasks`` on what ``board`` has left, which then holds them.

    ``start`` is a plan to improve on, of the same tasks; it need not be held. ``rounds`` are
    passes of the method of multipliers, which takes longer than the rest but comes nearer to
    the optimum. Deadlines come before cost: never more tasks are late than in ``start``, nor than
    first come, first served or the earliest deadline first leave late; where as many are, they
    are no later than in ``start``, and where they are as late, the plan costs no more. ``effort``
    bounds the search for punctual orders (:mod:`scheduler.planner.punctual`). Raises
    :class:`scheduler.planner.order.Cycle`.
    """
    order = in_order(tasks)
    best = start or first_come(tasks, board, now_s=now_s, order=order)

    def saved(made: FleetPlan, effort: int) -> FleetPlan:
        if not made.late:
            return made
        rescue = Rescue(tasks, board, list(made.placed), now_s, effort)
        return FleetPlan(tuple(rescue.run()), rescue.complete)

    if rounds:
        other = saved(share(tasks, board, now_s=now_s, order=order, rounds=rounds), effort)
        # One pass: more bring less than 0.1 % here.
        other = improve(tasks, board, other, now_s=now_s, passes=min(passes, 1))
        if other.beats(best) and not other.late:
            return other
        _hold(tasks, other, board, times=-1)
        best = other if other.beats(best) else best
    _hold(tasks, best, board)
    best = improve(tasks, board, best, now_s=now_s, passes=passes)
    _hold(tasks, best, board, times=-1)
    other = saved(greedy(tasks, board, now_s=now_s, order=order), effort)
    other = improve(tasks, board, other, now_s=now_s, passes=passes)
    if not other.beats(best):
        _hold(tasks, other, board, times=-1)
        _hold(tasks, best, board)
        other = improve(tasks, board, saved(best, effort), now_s=now_s, passes=passes)
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
    made = _place(tasks, board, in_order(tasks, ranks), now_s, board.soonest)
    _hold(tasks, made, board, times=-1)
    return made


def greedy(
    tasks: Sequence[Task],
    board: Board,
    *,
    now_s: float = float("-inf"),
    order: Sequence[int],
) -> FleetPlan:
    """Each task at the cheapest place left, by priority and size; the board holds them."""

    def rank(i: int) -> tuple[float, ...]:
        task = tasks[i]
        return (-task.priority, -task.area, task.release_s, task.deadline_s)

    return _place(tasks, board, in_order(tasks, sorted(order, key=rank)), now_s, None)


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
    """Lift and put down each task in turn, forth and back in time; the board holds the result.

    Of places at equal cost the earlier is taken.
    """
    placed = list(made.placed)
    followers = followers_of(tasks)
    chains = Chains(tasks, board, now_s)
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
            if there is not None and _is_better(there, here):
                placed[i], moved = there, True
            board.hold(tasks[i], placed[i] or here)
        for chain in chains.chains:
            moved |= _move(tasks, board, chains, chain, placed)
        if not moved:
            break
    return FleetPlan(tuple(placed), made.complete)


def _is_better(there: Placed, here: Placed) -> bool:
    """Less late; else cheaper; else as cheap and earlier."""
    if abs(there.late_s - here.late_s) > INSTANT_S:
        return there.late_s < here.late_s
    if there.cost < here.cost - TIE * abs(here.cost):
        return True
    as_cheap = there.cost <= here.cost + TIE * abs(here.cost)
    return as_cheap and there.start_s < here.start_s - INSTANT_S


def _move(
    tasks: Sequence[Task],
    board: Board,
    chains: Chains,
    chain: Sequence[int],
    placed: list[Placed | None],
) -> bool:
    """Move a punctual chain as one where that is cheaper; the board follows."""
    here = {i: p for i in chain if (p := placed[i]) is not None and not p.late}
    if len(here) < len(chain):
        return False
    for i, place in here.items():
        board.release(tasks[i], place)
    there = chains.arranged(chain, here)
    for i, place in (there or here).items():
        board.hold(tasks[i], place)
        placed[i] = place
    return there is not None


def place(
    task: Task, board: Board, earliest_s: float, due_s: float = float("inf")
) -> Placed | None:
    """One task at the cheapest place left, late where it must; the board holds it.

    ``due_s`` is when it must have ended for others that wait for it.
    """
    placed = board.cheapest(task, earliest_s, min(task.deadline_s, due_s))
    placed = placed or board.first_done(task, earliest_s)
    if placed is not None:
        board.hold(task, placed)
    return placed


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
    ends = due(tasks)
    for i in order:
        task, earliest = tasks[i], _earliest(tasks, placed, i, now_s)
        if any(placed[j] is None for j in task.after):
            continue
        if where is None:
            placed[i] = place(task, board, earliest, ends[i])
        else:
            placed[i] = found = where(task, earliest)
            if found is not None:
                board.hold(task, found)
    return FleetPlan(tuple(placed))


def _hold(tasks: Sequence[Task], made: FleetPlan, board: Board, *, times: int = 1) -> None:
    for task, placed in zip(tasks, made.placed, strict=True):
        if placed is not None:
            board.hold(task, placed, times=times)
