"""Laws of the fleet's planner: what every plan must keep, whatever the queue."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.planner import fleet
from scheduler.planner.board import Board
from scheduler.planner.fleet import FleetPlan
from scheduler.planner.order import Cycle, in_order
from scheduler.planner.segments import FREE, Pausing
from scheduler.planner.task import Placed, Task, World

CELL = 900.0
START = 1_770_000_300.0
# What is left of two times that should be one (s).
NEAR = 1e-5
few = settings(max_examples=25, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Queue:
    """Tasks and the world they are planned in."""

    tasks: tuple[Task, ...]
    g_per_kwh: tuple[tuple[float, ...], ...]
    slots: tuple[tuple[int, ...], ...]

    @property
    def world(self) -> World:
        slots, gpus = np.array(self.slots, dtype=np.int32), np.array(self.slots, dtype=np.int32)
        return World(START, CELL, np.array(self.g_per_kwh, dtype=np.float64), slots, gpus)

    def plan(self) -> FleetPlan:
        return fleet.plan(self.tasks, Board(self.world))


PAUSINGS = (None, None, None, FREE, Pausing(CELL), Pausing(450.0, 2 * CELL, 2))


@st.composite
def _queues(draw: st.DrawFn, most: int = 8, holes: bool = True) -> Queue:
    """Lengths and times are whole cells, or seconds that lie on no lattice."""
    regions, cells = draw(st.integers(1, 3)), draw(st.integers(6, 24))
    g = st.integers(0, 9).map(float)
    if holes:
        g = st.one_of(g, g, g, g, st.just(float("nan")))
    row = st.lists(g, min_size=cells, max_size=cells).map(tuple)
    free = st.lists(st.integers(0, 4), min_size=cells, max_size=cells).map(tuple)
    flat = st.integers(1, 4).map(lambda n: (n,) * cells)
    units = draw(st.sampled_from([(CELL, CELL), (450.0, 137.0)]))
    tasks: list[Task] = []
    for i in range(draw(st.integers(1, most))):
        pausing = draw(st.sampled_from(PAUSINGS))
        unit = units[pausing in (None, FREE)]
        release = START + unit * draw(st.integers(0, int(cells * CELL / unit) // 2))
        length = unit * draw(st.integers(1, max(1, int(5 * CELL / unit))))
        only = draw(st.none() | st.sets(st.integers(0, regions - 1), min_size=1).map(sorted))
        width = regions if only is None else len(only)
        figures = st.lists(st.integers(0, 3).map(float), min_size=width, max_size=width)
        tasks.append(
            Task(
                release_s=release,
                deadline_s=release + length + unit * draw(st.integers(0, 40)),
                duration_s=length,
                slots=draw(st.integers(1, 3)),
                gpus=draw(st.sampled_from([0, 0, 0, 1])),
                kw=tuple(draw(figures)) if draw(st.booleans()) else (1.0,),
                flat=tuple(x * 1e-4 for x in draw(figures)) if draw(st.booleans()) else (0.0,),
                once=tuple(draw(figures)) if draw(st.booleans()) else (0.0,),
                delay=draw(st.sampled_from([0.0, 0.0, 1e-4])),
                regions=None if only is None else tuple(only),
                priority=draw(st.sampled_from([0, 0, 1])),
                after=tuple(sorted(draw(st.sets(st.integers(0, i - 1), max_size=2)))) if i else (),
                pausing=pausing,
            )
        )
    rows = st.lists(row, min_size=regions, max_size=regions).map(tuple)
    room = st.lists(st.one_of(free, flat), min_size=regions, max_size=regions).map(tuple)
    return Queue(tuple(tasks), draw(rows), draw(room))


queues = _queues()


def _cells(queue: Queue, a: float, b: float) -> list[tuple[int, float]]:
    """The cells that a span touches, and for how many seconds."""
    found = []
    for cell in range(len(queue.slots[0])):
        low, high = START + cell * CELL, START + (cell + 1) * CELL
        if (length := min(b, high) - max(a, low)) > NEAR:
            found.append((cell, length))
    return found


def _figure(figures: tuple[float, ...], task: Task, region: int) -> float:
    row = region if task.regions is None else task.regions.index(region)
    return figures[0] if len(figures) == 1 else figures[row]


def _cost(queue: Queue, task: Task, placed: Placed) -> float:
    """What a place costs, cell by cell; a hole costs nothing."""
    total = _figure(task.once, task, placed.region)
    for a, b in placed.spans:
        total += _figure(task.flat, task, placed.region) * (b - a)
        for cell, seconds in _cells(queue, a, b):
            g = queue.g_per_kwh[placed.region][cell]
            if g == g:  # not a hole
                total += _figure(task.kw, task, placed.region) * g * seconds / 3600
    return total + task.delay * (placed.spans[-1][1] - task.release_s)


def _most(events: list[tuple[float, int]]) -> int:
    """The most that is held at once; who ends makes room for who starts then."""
    held = most = 0
    for _, change in sorted((round(at, 4), change) for at, change in events):
        held += change
        most = max(most, held)
    return most


def _check_capacity(queue: Queue, made: FleetPlan) -> None:
    for region, free in enumerate(queue.slots):
        for cell, room in enumerate(free):
            low, high = START + cell * CELL, START + (cell + 1) * CELL
            for demand in ("slots", "gpus"):
                events: list[tuple[float, int]] = []
                for task, placed in zip(queue.tasks, made.placed, strict=True):
                    if placed is not None and placed.region == region:
                        for a, b in placed.spans:
                            if min(b, high) - max(a, low) > NEAR:
                                n = getattr(task, demand)
                                events += [(max(a, low), n), (min(b, high), -n)]
                assert _most(events) <= room, (region, cell, demand)


def _check(queue: Queue, made: FleetPlan) -> None:
    """Every rule that a plan must keep."""
    _check_capacity(queue, made)
    end = START + CELL * len(queue.slots[0])
    for task, placed in zip(queue.tasks, made.placed, strict=True):
        waits = [made.placed[i] for i in task.after]
        if placed is None:
            continue
        assert None not in waits, "it waits for one that never runs"
        begin = max([task.release_s, *(p.spans[-1][1] for p in waits if p is not None)])
        flat = [t for span in placed.spans for t in span]
        assert flat == sorted(flat)
        assert begin - NEAR <= flat[0]
        assert flat[-1] <= end + NEAR
        assert placed.late == (flat[-1] > task.deadline_s + NEAR)
        assert placed.region in (task.regions or range(len(queue.slots)))
        run, resumes = sum(b - a for a, b in placed.spans), len(placed.spans) - 1
        if task.pausing is None:
            assert resumes == 0
            assert run == pytest.approx(task.duration_s, abs=NEAR)
        else:
            needed = task.duration_s + task.pausing.resume_s * resumes
            assert run == pytest.approx(needed, abs=NEAR)
            assert resumes < (task.pausing.max_segments or len(queue.slots[0]))
        assert placed.cost == pytest.approx(_cost(queue, task, placed), rel=1e-6, abs=1e-6)


def _check_no_worse(made: FleetPlan, than: FleetPlan) -> None:
    """It runs all that the other runs, no more late, and where as many are for no more."""
    pairs = list(zip(made.placed, than.placed, strict=True))
    assert not any(mine is None and its is not None for mine, its in pairs)
    assert made.late <= than.late
    if made.late == than.late:
        cost = sum(mine.cost for mine, its in pairs if mine is not None and its is not None)
        assert cost <= than.cost * (1 + 1e-9) + 1e-9


@few
@given(queues)
def test_a_plan_keeps_every_rule(queue: Queue) -> None:
    _check(queue, queue.plan())


@few
@given(queues)
def test_first_come_and_greedy_keep_them_too(queue: Queue) -> None:
    _check(queue, fleet.first_come(queue.tasks, Board(queue.world)))
    order = in_order(queue.tasks)
    _check(queue, fleet.greedy(queue.tasks, Board(queue.world), order=order))


@few
@given(queues)
def test_never_worse_than_first_come(queue: Queue) -> None:
    _check_no_worse(queue.plan(), fleet.first_come(queue.tasks, Board(queue.world)))


@few
@given(queues)
def test_never_worse_than_the_plan_it_started_from(queue: Queue) -> None:
    board = Board(queue.world)
    start = fleet.first_come(queue.tasks, board)
    made = fleet.plan(queue.tasks, board, start=start, passes=1)
    again = fleet.plan(queue.tasks, Board(queue.world), start=made)
    _check(queue, again)
    _check_no_worse(made, start)
    _check_no_worse(again, made)


@few
@given(queues)
def test_the_board_holds_the_plan_and_nothing_else(queue: Queue) -> None:
    board = Board(queue.world)
    made = fleet.plan(queue.tasks, board)
    for task, placed in zip(queue.tasks, made.placed, strict=True):
        if placed is not None:
            board.release(task, placed)
    again = fleet.plan(queue.tasks, board)
    assert again == made


@few
@given(queues)
def test_the_same_queue_has_the_same_plan(queue: Queue) -> None:
    assert queue.plan() == queue.plan()


@few
@given(_queues(holes=False), st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_order_of_submission_is_no_matter(queue: Queue, twins: int, random: Random) -> None:
    """Where no two have the same rank (release; priority and size), and among equals."""
    tasks = [
        replace(t, after=(), release_s=t.release_s + i, duration_s=t.duration_s + i / 8)
        for i, t in enumerate(queue.tasks)
        if t.pausing in (None, FREE)
    ]
    assume(tasks)
    tasks = [replace(t, deadline_s=t.deadline_s + len(tasks)) for t in tasks]
    assume(len({t.release_s for t in tasks}) == len({t.area for t in tasks}) == len(tasks))
    tasks += [tasks[0]] * twins
    mixed = random.sample(tasks, len(tasks))
    one = fleet.plan(tasks, Board(queue.world)).placed
    other = fleet.plan(mixed, Board(queue.world)).placed
    assert Counter(zip(tasks, one, strict=True)) == Counter(zip(mixed, other, strict=True))


@few
@given(_queues(), st.sampled_from([0.25, 2.0, 4096.0]))
def test_scaling_intensities_scales_grams_and_moves_nothing(queue: Queue, factor: float) -> None:
    tasks = tuple(replace(t, flat=(0.0,), once=(0.0,), delay=0.0) for t in queue.tasks)
    queue = replace(queue, tasks=tasks)
    scaled = replace(
        queue, g_per_kwh=tuple(tuple(g * factor for g in row) for row in queue.g_per_kwh)
    )
    one, other = queue.plan(), scaled.plan()
    assert other.cost == pytest.approx(one.cost * factor)
    for a, b in zip(one.placed, other.placed, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert (a.region, a.spans, a.late) == (b.region, b.spans, b.late)


@pytest.mark.parametrize("waits", [((0,),), ((1,), (0,)), ((), (3,), (1,), (2,))])
def test_tasks_that_wait_for_each_other_are_said(waits: tuple[tuple[int, ...], ...]) -> None:
    tasks = [Task(START, START + 40 * CELL, CELL, after=after) for after in waits]
    world = World(START, CELL, np.ones((1, 40)), np.ones((1, 40), dtype=np.int32))
    with pytest.raises(Cycle) as caught:
        fleet.plan(tasks, Board(world))
    ring = caught.value.tasks
    assert ring[0] == ring[-1]
    assert all(after in tasks[i].after for i, after in itertools.pairwise(ring))


def test_a_task_longer_than_what_is_left_has_no_place() -> None:
    tasks = [Task(START, START + 9 * CELL, 2 * CELL, after=after) for after in ((), (0,))]
    world = World(START, CELL, np.ones((1, 3)), np.ones((1, 3), dtype=np.int32))
    made = fleet.plan(tasks, Board(world))
    assert made.placed[0] is not None
    assert made.placed[1] is None


def test_who_leaves_out_a_task_wins_nothing() -> None:
    ran = Placed(0, ((START, START + CELL),), 5.0, 60.0)
    assert not FleetPlan((None,)).beats(FleetPlan((ran,)))
    assert FleetPlan((replace(ran, late_s=0.0),)).beats(FleetPlan((None,)))
