"""Laws of the lower bound, against exact solutions of small queues by integer programming."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from scheduler.planner import fleet
from scheduler.planner.board import Board
from scheduler.planner.bound import lower_bound
from scheduler.planner.fleet import FleetPlan
from scheduler.planner.segments import FREE, Pausing
from scheduler.planner.task import Task, World

CELL = 1800.0
INF = float("inf")
few = settings(max_examples=25, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Small:
    """At most six tasks in at most two regions of at most ten cells; times are whole cells."""

    tasks: tuple[Task, ...]
    g_per_kwh: tuple[tuple[float, ...], ...]
    slots: tuple[tuple[int, ...], ...]

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.g_per_kwh, dtype=np.float64), np.array(self.slots, dtype=np.float64)

    def plan(self) -> FleetPlan:
        g, slots = self.arrays
        return fleet.plan(self.tasks, Board(World(0.0, CELL, g, slots.astype(np.int32))))

    def bound(self, iterations: int = 60, known: float = INF) -> float:
        g, slots = self.arrays
        return lower_bound(self.tasks, 0.0, CELL, g, slots, known_cost=known, iterations=iterations)

    def bound_alone(self) -> float:
        """The bound where no capacity is in the way: an exact optimum."""
        return lower_bound(
            self.tasks, 0.0, CELL, self.arrays[0], None, known_cost=INF, iterations=0
        )

    def optimum(self) -> float:
        """The least cost of any plan on the cells that ends each task in time; else infinite."""
        costs: list[float] = []
        rows: list[np.ndarray] = []
        owners: list[tuple[int, int, int]] = []
        for i, task in enumerate(self.tasks):
            for region in task.regions or range(len(self.slots)):
                for cells in _patterns(task, len(self.slots[0])):
                    use = np.zeros((len(self.slots), len(self.slots[0])))
                    use[region, cells] = task.slots
                    if (use > self.slots).any():
                        continue
                    costs.append(self._cost(task, region, cells))
                    rows.append(use.ravel())
                    owners.append((i, cells[0], cells[-1] + 1))
        if len({i for i, _, _ in owners}) < len(self.tasks):
            return INF
        which = np.array([i for i, _, _ in owners])
        one_each = (which == np.arange(len(self.tasks))[:, None]).astype(float)
        limits = [
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(np.array(rows).T, -np.inf, np.ravel(self.slots)),
        ]
        begins, ends = (np.array([float(o[n]) for o in owners]) for n in (1, 2))
        for i, task in enumerate(self.tasks):
            for j in task.after:
                gap = np.where(which == i, begins, 0.0) - np.where(which == j, ends, 0.0)
                limits.append(LinearConstraint(gap, 0, np.inf))
        made = milp(
            np.array(costs),
            integrality=np.ones(len(costs)),
            bounds=Bounds(0, 1),
            constraints=limits,
            options={"mip_rel_gap": 0.0},
        )
        assert made.status in (0, 2), made.message
        return INF if made.status == 2 else float(made.fun)

    def _cost(self, task: Task, region: int, cells: tuple[int, ...]) -> float:
        row = region if task.regions is None else task.regions.index(region)
        kw, flat, once = (f[0] if len(f) == 1 else f[row] for f in (task.kw, task.flat, task.once))
        grams = kw * sum(self.g_per_kwh[region][c] for c in cells) * CELL / 3600
        waits = task.delay * ((cells[-1] + 1) * CELL - task.release_s)
        return grams + flat * len(cells) * CELL + once + waits


def _patterns(task: Task, cells: int) -> list[tuple[int, ...]]:
    """Every set of cells that a task may run in."""
    low, high = round(task.release_s / CELL), min(cells, round(task.deadline_s / CELL))
    need = round(task.duration_s / CELL)
    if task.pausing is None:
        return [tuple(range(s, s + need)) for s in range(low, high - need + 1)]
    reload = round(task.pausing.resume_s / CELL)
    most = task.pausing.max_segments or need
    found = []
    for size in range(need, min(high - low, need + reload * (most - 1)) + 1):
        for chosen in combinations(range(low, high), size):
            breaks = [n for n in range(1, size) if chosen[n] != chosen[n - 1] + 1]
            lengths = np.diff([*breaks, size])
            whole = size == need + reload * len(breaks) and len(breaks) < most
            if whole and (lengths > reload).all():
                found.append(chosen)
    return found


@st.composite
def _smalls(draw: st.DrawFn, *, waits: bool = True) -> Small:
    regions, cells = draw(st.integers(1, 2)), draw(st.integers(4, 10))
    row = st.lists(st.integers(0, 9).map(float), min_size=cells, max_size=cells).map(tuple)
    free = st.lists(st.integers(0, 4), min_size=cells, max_size=cells).map(tuple)
    room = st.one_of(free, st.integers(1, 4).map(lambda n: (n,) * cells))
    tasks: list[Task] = []
    for i in range(draw(st.integers(1, 6))):
        need = draw(st.integers(1, 4))
        release = draw(st.integers(0, cells - need))
        deadline = draw(st.integers(release + need, cells))
        only = draw(st.sampled_from([None, None, (0,), (regions - 1,)]))
        pausing = draw(st.sampled_from([None, None, FREE, Pausing(CELL), Pausing(0.0, 0.0, 2)]))
        width = regions if only is None else 1
        figures = st.lists(st.integers(0, 3).map(float), min_size=width, max_size=width)
        before = st.sets(st.integers(0, max(0, i - 1)), max_size=1).map(tuple)
        tasks.append(
            Task(
                release_s=release * CELL,
                deadline_s=deadline * CELL,
                duration_s=need * CELL,
                slots=draw(st.integers(1, 3)),
                kw=tuple(draw(figures)) if draw(st.booleans()) else (1.0,),
                flat=tuple(x * 1e-3 for x in draw(figures)) if draw(st.booleans()) else (0.0,),
                once=tuple(draw(figures)) if draw(st.booleans()) else (0.0,),
                delay=draw(st.sampled_from([0.0, 0.0, 1e-3])),
                regions=only,
                after=draw(before) if waits and i and draw(st.booleans()) else (),
                pausing=pausing,
            )
        )
    rows = draw(st.lists(row, min_size=regions, max_size=regions).map(tuple))
    return Small(
        tuple(tasks), rows, draw(st.lists(room, min_size=regions, max_size=regions).map(tuple))
    )


smalls = _smalls()


@few
@given(smalls)
def test_bound_optimum_and_plan_stand_in_this_order(small: Small) -> None:
    best, made = small.optimum(), small.plan()
    if best == INF:
        assert made.late > 0, "what cannot be done was planned"
        return
    assert small.bound() <= best * (1 + 1e-7) + 1e-7
    if made.late == 0:
        assert best <= made.cost * (1 + 1e-7) + 1e-7


@few
@given(smalls, st.integers(0, 12), st.floats(0.0, 1.0))
def test_the_bound_holds_however_early_the_search_ends(
    small: Small, iterations: int, share: float
) -> None:
    best = small.optimum()
    if best < INF:
        assert small.bound(iterations, best * share) <= best * (1 + 1e-7) + 1e-7
        assert small.bound_alone() <= small.bound(iterations) * (1 + 1e-9) + 1e-9


@few
@given(_smalls(waits=False))
def test_alone_every_task_is_bounded_by_its_optimum(small: Small) -> None:
    total = 0.0
    tasks = tuple(t if t.pausing in (None, FREE) else replace(t, pausing=None) for t in small.tasks)
    # What a delay costs is bounded from below for those that pause.
    tasks = tuple(t if t.pausing is None else replace(t, delay=0.0) for t in tasks)
    free = tuple((99,) * len(row) for row in small.slots)
    for task in tasks:
        total += replace(small, tasks=(task,), slots=free).optimum()
    assert replace(small, tasks=tasks).bound_alone() == pytest.approx(total, rel=1e-9, abs=1e-9)
    assert replace(small, tasks=tasks, slots=free).optimum() == pytest.approx(total, abs=1e-6)


@few
@given(smalls)
def test_more_capacity_slack_or_regions_never_worsen_optimum_and_bound(small: Small) -> None:
    best, alone = small.optimum() * (1 + 1e-7) + 1e-7, small.bound_alone() * (1 + 1e-9) + 1e-9
    end = CELL * len(small.slots[0])
    roomy = replace(small, slots=tuple(tuple(n + 1 for n in row) for row in small.slots))
    later = [replace(t, deadline_s=min(end, t.deadline_s + CELL)) for t in small.tasks]
    anywhere = [
        t if t.regions is None or len(small.slots) == 1
        else replace(t, regions=(*t.regions, 1 - t.regions[0]), kw=t.kw * 2, flat=t.flat * 2,
                     once=t.once * 2)
        for t in small.tasks
    ]  # fmt: skip
    for wider in (roomy, replace(small, tasks=tuple(later)), replace(small, tasks=tuple(anywhere))):
        assert wider.optimum() <= best
        assert wider.bound_alone() <= alone
        assert wider.bound() <= best


@few
@given(smalls, st.sampled_from([0.5, 4.0]))
def test_scaling_intensities_scales_the_bound(small: Small, factor: float) -> None:
    tasks = tuple(replace(t, flat=(0.0,), once=(0.0,), delay=0.0) for t in small.tasks)
    one = replace(small, tasks=tasks)
    other = replace(one, g_per_kwh=tuple(tuple(g * factor for g in row) for row in small.g_per_kwh))
    assert other.bound() == pytest.approx(one.bound() * factor, rel=1e-6, abs=1e-9)
    assert other.optimum() == pytest.approx(one.optimum() * factor, rel=1e-6, abs=1e-9)


def test_the_bound_meets_the_optimum_where_one_price_clears_the_market() -> None:
    """Two jobs want the one cheap cell: the other pays the difference."""
    tasks = tuple(Task(0.0, 2 * CELL, CELL) for _ in range(2))
    small = Small(tasks, ((1.0, 3.0),), ((1, 1),))
    assert small.optimum() == pytest.approx(2.0)
    assert small.bound_alone() == pytest.approx(1.0)
    assert small.bound(400) == pytest.approx(2.0, rel=1e-3)
