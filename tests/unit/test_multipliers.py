"""The method of multipliers: it keeps to capacity, and comes near to the lower bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scheduler.planner import fleet
from scheduler.planner.board import Board
from scheduler.planner.bound import lower_bound
from scheduler.planner.task import Task, World

HOUR = 3600.0


def _world(hours: int = 96, slots: int | None = 20) -> World:
    t = np.arange(hours)
    daily = 1 + 0.4 * np.cos(2 * np.pi * t / 24)
    rows = np.array([100 * daily, 160 * daily, np.full(hours, 500.0)])
    limits = None if slots is None else np.full(rows.shape, slots, np.int32)
    return World(0.0, HOUR, rows, limits)


def _tasks(count: int = 150) -> list[Task]:
    draw = np.random.default_rng(7)
    found = []
    for _ in range(count):
        release, length = float(draw.integers(0, 60)), float(draw.integers(1, 6))
        width = int(draw.choice([1, 2, 4, 8, 12]))
        deadline = min(96.0, release + length + 12)
        found.append(
            Task(release * HOUR, deadline * HOUR, length * HOUR, slots=width, kw=(0.1 * width,))
        )
    return found


def _held(tasks: list[Task], made: fleet.FleetPlan, world: World) -> np.ndarray[tuple[int, int]]:
    used = np.zeros(world.g_per_kwh.shape)
    for task, placed in zip(tasks, made.placed, strict=True):
        assert placed is not None
        assert placed.start_s >= task.release_s
        for a, b in placed.spans:
            used[placed.region, int(a // HOUR) : int(-(-b // HOUR))] += task.slots
    return used


def test_nearer_to_the_bound_than_the_greedy_plan() -> None:
    world, tasks = _world(), _tasks()
    assert world.slots is not None
    quick = fleet.plan(tasks, Board(world))
    made = fleet.plan(tasks, Board(world), rounds=30)
    bound = lower_bound(
        tasks,
        0.0,
        HOUR,
        world.g_per_kwh,
        world.slots.astype(float),
        known_cost=made.cost,
        iterations=200,
    )
    assert made.late == 0
    assert _held(tasks, made, world).max() <= 20
    assert bound <= made.cost < quick.cost
    assert made.cost - bound < 0.75 * (quick.cost - bound)


def test_the_same_each_time_and_the_board_holds_it() -> None:
    world, tasks = _world(), _tasks(80)
    board = Board(world)
    made = fleet.plan(tasks, board, rounds=10)
    assert made == fleet.plan(tasks, Board(world), rounds=10)
    left = board.slots()
    assert left is not None
    assert (left == 20 - _held(tasks, made, world)).all()


def test_without_limits_there_is_nothing_to_arrange() -> None:
    world, tasks = _world(slots=None), _tasks(40)
    assert fleet.plan(tasks, Board(world), rounds=10) == fleet.plan(tasks, Board(world))


def test_too_many_for_their_deadlines_are_no_later_than_first_come() -> None:
    world = _world()
    tasks = [replace(task, deadline_s=task.release_s + task.duration_s) for task in _tasks(600)]
    first = fleet.first_come(tasks, Board(world))
    made = fleet.plan(tasks, Board(world), rounds=10)
    assert made.late <= first.late
    assert made.cost <= first.cost * (1 + 1e-9)


def test_those_that_wait_for_others_keep_their_order() -> None:
    world = _world()
    tasks = _tasks(60)
    tasks[30] = replace(tasks[30], after=(29,), deadline_s=96 * HOUR)
    made = fleet.plan(tasks, Board(world), rounds=10)
    before, after = made.placed[29], made.placed[30]
    assert before is not None
    assert after is not None
    assert before.end_s <= after.start_s
    assert _held(tasks, made, world).max() <= 20


def test_only_allowed_regions_and_their_own_costs() -> None:
    world = _world()
    tasks = [
        replace(task, regions=(2, 1), kw=(0.1, 0.2), flat=(0.0, 0.001), delay=1e-4)
        for task in _tasks(60)
    ]
    made = fleet.plan(tasks, Board(world), rounds=10)
    assert {p.region for p in made.placed if p is not None} <= {1, 2}
