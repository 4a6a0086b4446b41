"""None is late that could be saved, chains are placed as one, and one follows another at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from scheduler.planner import fleet
from scheduler.planner.board import Board
from scheduler.planner.order import Cycle, in_order
from scheduler.planner.punctual import SMALL
from scheduler.planner.segments import FREE
from scheduler.planner.task import Task, World

HOUR, CELL = 3600.0, 300.0


def _world(hourly: list[float], slots: int, step_s: float = HOUR) -> World:
    g = np.repeat(np.array([hourly]), round(HOUR / step_s), axis=1)
    return World(0.0, step_s, g, np.full(g.shape, slots, np.int32))


# Release, deadline and length in hours, and slots of two; then the intensity of each hour.
BLOCKED = {
    "three": (
        [(0, 11, 3, 2), (0, 5, 3, 2), (0, 8, 4, 1)],
        [1, 2, 1, 2, 4, 1, 5, 1, 5, 5, 3, 3, 2, 1, 5, 1, 5, 1, 5, 1, 2, 5, 3, 1],
    ),
    "four": (
        [(3, 10, 3, 1), (4, 14, 4, 2), (6, 12, 4, 1), (4, 15, 4, 1)],
        [4, 4, 4, 3, 2, 3, 4, 5, 3, 1, 2, 2, 3, 2, 1, 1, 2, 1, 2, 5, 2, 4, 3, 3],
    ),
}


@pytest.mark.parametrize("name", BLOCKED)
@pytest.mark.parametrize("rounds", [0, 10])
def test_a_punctual_plan_is_found_where_the_cheapest_places_block_each_other(
    name: str, rounds: int
) -> None:
    jobs, hourly = BLOCKED[name]
    tasks = [Task(a * HOUR, b * HOUR, d * HOUR, slots=n) for a, b, d, n in jobs]
    world = _world([float(g) for g in hourly], 2)
    assert fleet.plan(tasks, Board(world), rounds=rounds).late == 0


def test_of_two_that_cannot_both_be_in_time_one_is_and_the_other_is_little_late() -> None:
    tasks = [Task(0.0, 3 * HOUR, 2 * HOUR), Task(0.0, 3 * HOUR, 2 * HOUR)]
    made = fleet.plan(tasks, Board(_world([1.0] * 24, 1)))
    assert (made.late, made.complete) == (1, True)
    assert sum(p.late_s for p in made.placed if p) == pytest.approx(HOUR)


def test_a_search_that_reached_its_limit_says_so() -> None:
    tasks = [Task(0.0, 9.4 * HOUR, HOUR * (1 + i / 50)) for i in range(SMALL)]
    made = fleet.plan(tasks, Board(_world([1.0] * 40, 1)), effort=50)
    assert made.late > 0
    assert not made.complete


def test_a_pausable_job_pauses_for_one_that_could_not_be_in_time_otherwise() -> None:
    pausable = Task(0.0, 5 * HOUR, 4 * HOUR, pausing=FREE)
    urgent = Task(2 * HOUR, 3 * HOUR, HOUR)
    made = fleet.plan([pausable, urgent], Board(_world([1.0] * 12, 1)))
    assert made.late == 0
    assert made.placed[0] is not None
    assert made.placed[0].spans == ((0.0, 2 * HOUR), (3 * HOUR, 5 * HOUR))


def test_a_chain_goes_to_the_cheap_hours_as_one() -> None:
    """Beside another job, from wherever it stood before."""
    world = _world([28.0] * 12 + [9.0] * 12 + [28.0] * 24, 1)
    tasks = [
        Task(0.0, 40 * HOUR, 4 * HOUR),
        Task(0.0, 40 * HOUR, HOUR),
        Task(0.0, 40 * HOUR, 6 * HOUR, after=(1,)),
    ]
    board = Board(world)
    at_once = [
        board.priced(t, 0, ((a * HOUR, a * HOUR + t.duration_s),))
        for t, a in zip(tasks, (7, 0, 1), strict=True)
    ]
    for start in (None, fleet.FleetPlan(tuple(at_once))):
        made = fleet.plan(tasks, Board(world), start=start)
        assert made.cost == pytest.approx(11 * 9.0)
        assert made.placed[1] is not None
        assert made.placed[2] is not None
        assert made.placed[1].end_s <= made.placed[2].start_s


def test_jobs_shorter_than_a_cell_follow_each_other_at_once() -> None:
    tasks = [Task(10.0, 10 * HOUR, 5.0) for _ in range(3)]
    made = fleet.plan(tasks, Board(_world([1.0] * 24, 1, CELL)))
    starts = sorted(p.start_s for p in made.placed if p)
    assert starts == pytest.approx([10.0, 15.0, 20.0])


@pytest.mark.parametrize("length", [40.0, 137.0, 7300.0])
def test_as_many_fit_one_after_the_other_as_there_is_time_for(length: float) -> None:
    """Whatever the lattice is: 14 in a row until the deadline, from a moment that is no cell's."""
    tasks = [Task(17.0, 17.0 + 14 * length, length) for _ in range(14)]
    made = fleet.plan(tasks, Board(_world([1.0] * 48, 1, CELL)))
    assert made.late == 0
    spans = sorted(p.spans[0] for p in made.placed if p)
    assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(spans))


def test_a_chain_of_a_thousand_is_planned_and_a_ring_is_named() -> None:
    tasks = [Task(0.0, 1e6, 60.0, after=(i - 1,) if i else ()) for i in range(1000)]
    made = fleet.plan(tasks, Board(_world([1.0] * 24, 1, CELL)), passes=1)
    assert made.late == 0
    assert in_order(tasks, range(999, -1, -1)) == list(range(1000))
    ring = [replace(tasks[0], after=(999,)), *tasks[1:]]
    with pytest.raises(Cycle) as caught:
        in_order(ring)
    named = caught.value.tasks
    assert len(named) == 1001
    assert named[0] == named[-1]
