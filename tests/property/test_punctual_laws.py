"""As many tasks are punctual as in the best schedule there is, found by integer programming.

``LOWTIDE_PUNCTUAL`` sets how many queues are drawn: 10,000 take some minutes.
"""

from __future__ import annotations

import os
from random import Random

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from scheduler.planner import fleet
from scheduler.planner.board import Board
from scheduler.planner.task import Task, World

CELL = 3600.0
QUEUES = int(os.environ.get("LOWTIDE_PUNCTUAL", "200"))


def _queue(seed: int, *, waits: bool = False) -> tuple[list[Task], np.ndarray, int]:
    """Three to eight tasks in one or two regions of one to three slots; times in whole cells."""
    random = Random(seed)
    regions, slots, count = random.choice([1, 1, 1, 2]), random.randint(1, 3), random.randint(3, 8)
    # Lengths are 3.5 cells and widths half of all slots on the mean: from crowded to roomy.
    span = max(6, round(random.uniform(0.5, 1.5) * count * 3.5 / regions))
    tasks: list[Task] = []
    for _ in range(count):
        length = random.randint(1, 6)
        release = random.randint(0, span // 2)
        deadline = random.randint(release + length, max(release + length, span))
        after = waits and tasks and random.random() < 0.3
        tasks.append(
            Task(
                release * CELL,
                deadline * CELL,
                length * CELL,
                slots=random.randint(1, slots),
                regions=None if random.random() < 0.7 else (random.randrange(regions),),
                after=(random.randrange(len(tasks)),) if after else (),
            )
        )
    cells = span + 6 * count + 8
    g = np.array([[random.randint(1, 5) * 100.0 for _ in range(cells)] for _ in range(regions)])
    return tasks, g, slots


def _most_punctual(tasks: list[Task], regions: int, slots: int) -> int:
    """How many can be in time; with waits only whether all can, else 0."""
    end = max(round(t.deadline_s / CELL) for t in tasks)
    owners, starts, use = [], [], []
    for i, task in enumerate(tasks):
        length, first = round(task.duration_s / CELL), round(task.release_s / CELL)
        for region in task.regions or range(regions):
            for start in range(first, round(task.deadline_s / CELL) - length + 1):
                held = np.zeros((regions, end))
                held[region, start : start + length] = task.slots
                owners.append(i)
                starts.append(float(start))
                use.append(held.ravel())
    chosen = np.array(owners) == np.arange(len(tasks))[:, None]
    least = 1 if any(task.after for task in tasks) else 0
    limits = [
        LinearConstraint(chosen.astype(float), least, 1),
        LinearConstraint(np.array(use).T, -np.inf, np.full(regions * end, slots)),
    ]
    for i, task in enumerate(tasks):
        for j in task.after:
            ended = chosen[j] * (np.array(starts) + tasks[j].duration_s / CELL)
            limits.append(LinearConstraint(chosen[i] * np.array(starts) - ended, 0, np.inf))
    made = milp(
        -np.ones(len(owners)),
        integrality=np.ones(len(owners)),
        bounds=Bounds(0, 1),
        constraints=limits,
        options={"mip_rel_gap": 0.0},
    )
    assert made.status in (0, 2), made.message
    return 0 if made.status == 2 else round(-made.fun)


def _plan(tasks: list[Task], g: np.ndarray, slots: int) -> fleet.FleetPlan:
    return fleet.plan(tasks, Board(World(0.0, CELL, g, np.full(g.shape, slots, np.int32))))


@pytest.mark.parametrize("waits", [False, True])
def test_as_many_are_punctual_as_can_be(waits: bool) -> None:
    wrong = []
    for seed in range(QUEUES):
        tasks, g, slots = _queue(seed, waits=waits)
        most = _most_punctual(tasks, len(g), slots)
        if len(tasks) - _plan(tasks, g, slots).late < most:
            wrong.append(seed)
    assert not wrong


@pytest.mark.parametrize("seed", range(3))
def test_a_long_queue_has_no_more_late_than_by_any_simple_rule(seed: int) -> None:
    random, slots, cells = Random(seed), 3, 200
    tasks = []
    for _ in range(40):
        release, length = random.randint(0, 60), random.randint(1, 5)
        deadline = release + length + random.randint(0, 25)
        width = random.randint(1, slots)
        tasks.append(Task(release * CELL, deadline * CELL, length * CELL, slots=width))
    g = np.array([[random.randint(1, 5) * 100.0 for _ in range(cells)]])
    least = len(tasks)
    for rank in (
        lambda t: t.release_s,
        lambda t: t.deadline_s,
        lambda t: t.deadline_s - t.duration_s,
    ):
        board, late = Board(World(0.0, CELL, g, np.full(g.shape, slots, np.int32))), 0
        for task in sorted(tasks, key=rank):
            placed = board.soonest(task, task.release_s)
            assert placed is not None
            board.hold(task, placed)
            late += placed.late
        least = min(least, late)
    assert _plan(tasks, g, slots).late <= least
