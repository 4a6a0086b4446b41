"""In which order tasks may be placed: each after those that it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.planner.task import Task


class Cycle(ValueError):
    """Tasks wait for each other; ``tasks`` are their indices, in order."""

    def __init__(self, tasks: tuple[int, ...]) -> None:
        super().__init__(" after ".join(map(str, tasks)))
        self.tasks = tasks


def in_order(tasks: Sequence[Task], ranked: Sequence[int] | None = None) -> list[int]:
    """``ranked`` (all in turn where None), but each after those it waits for, which come with it.

    Raises :class:`Cycle`. However long a chain is, it needs no recursion.
    """
    ranked = range(len(tasks)) if ranked is None else ranked
    if not any(task.after for task in tasks):
        return list(ranked)
    done: set[int] = set()
    order: list[int] = []
    for first in ranked:
        # The way down from ``first`` to what it waits for, and of each what is still to be seen.
        path = {first: iter(tasks[first].after)} if first not in done else {}
        while path:
            here, waits = next(reversed(path.items()))
            ahead = next((j for j in waits if j not in done), None)
            if ahead is None:
                del path[here]
                done.add(here)
                order.append(here)
            elif ahead in path:
                ring = list(path)
                raise Cycle((*ring[ring.index(ahead) :], ahead))
            else:
                path[ahead] = iter(tasks[ahead].after)
    return order


def followers(tasks: Sequence[Task]) -> list[list[int]]:
    """Who waits for each task."""
    found: list[list[int]] = [[] for _ in tasks]
    for i, task in enumerate(tasks):
        for j in task.after:
            found[j].append(i)
    return found


def due(tasks: Sequence[Task]) -> list[float]:
    """When each must have ended (Unix seconds), so that those that wait for it can be in time."""
    found = [task.deadline_s for task in tasks]
    for i in reversed(in_order(tasks)):
        for j in tasks[i].after:
            found[j] = min(found[j], found[i] - tasks[i].duration_s)
    return found
