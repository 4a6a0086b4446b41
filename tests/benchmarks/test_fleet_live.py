"""A full live queue: 10,000 jobs, 20 regions, seven days at five minutes, slots limited."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from scheduler.planner import fleet
from scheduler.planner.board import Board
from scheduler.planner.bound import lower_bound
from scheduler.planner.task import Task, World

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.benchmark

JOBS, REGIONS, STEP_S = 10_000, 20, 300.0
CELLS = 7 * 288
STATUS = Path("/proc/self/status")
AIM_PLAN_S, AIM_ADD_MS, AIM_GIB = 5, 50, 1
ITERATIONS = (60, 150)


def _queue(count: int = JOBS) -> tuple[list[Task], World]:
    """Jobs of 15 min to 24 h (log-uniform) with 6 to 96 h of slack and 1 to 8 slots, on the
    lattice; each region has a twentieth of 1.5 times the mean demand.
    """
    rng = np.random.default_rng(11)
    lengths = np.exp(rng.uniform(np.log(900.0), np.log(86400.0), count))
    lengths = np.maximum(np.rint(lengths / STEP_S), 3) * STEP_S
    slacks = np.rint(rng.uniform(6, 96, count) * 3600 / STEP_S) * STEP_S
    slots = rng.integers(1, 9, count)
    latest = np.minimum(CELLS * STEP_S - lengths, 48 * 3600.0)
    releases = np.floor(rng.uniform(0, 1, count) * latest / STEP_S) * STEP_S
    ends = np.minimum(releases + lengths + slacks, CELLS * STEP_S)
    tasks = [
        Task(float(r), float(e), float(d), int(n), kw=(0.3 * int(n),))
        for r, e, d, n in zip(releases, ends, lengths, slots, strict=True)
    ]
    hours = np.arange(CELLS) * STEP_S / 3600.0
    level, wave, phase = (
        rng.uniform(a, b, (REGIONS, 1)) for a, b in ((150, 500), (20, 120), (0, 24))
    )
    walk = np.cumsum(rng.normal(0, 3, (REGIONS, CELLS)), axis=1)
    g_per_kwh = level + wave * np.cos((hours - phase) * 2 * np.pi / 24) + walk
    # Mean demand over the time that jobs may use, from the first release to the last deadline.
    demand = sum(t.area for t in tasks) / float(ends.max() - releases.min())
    each = max(8, int(np.ceil(1.5 * demand / REGIONS)))
    capacity = np.full((REGIONS, CELLS), each, np.int32)
    return tasks, World(0.0, STEP_S, np.maximum(g_per_kwh, 10.0), capacity)


def test_plan_add_and_gap(seconds: Callable[..., float]) -> None:
    tasks, world = _queue()
    one_pass = seconds(lambda: np.cumsum(world.g_per_kwh, axis=1), runs=31)
    board = Board(world)
    begun = time.perf_counter()
    made = fleet.plan(tasks, board)
    took = time.perf_counter() - begun
    assert world.slots is not None
    held = np.zeros((REGIONS, CELLS), dtype=np.int64)
    for task, placed in zip(tasks, made.placed, strict=True):
        if placed is not None:
            for a, b in placed.spans:
                held[placed.region, int(a // STEP_S) : int(-(-b // STEP_S))] += task.slots
    assert (held <= world.slots).all()
    added = [Task(0.0, t.deadline_s, t.duration_s, t.slots, kw=t.kw) for t in tasks[:101]]
    times = []
    for task in added:
        before = time.perf_counter()
        placed = fleet.place(task, board, 0.0)
        times.append(1000 * (time.perf_counter() - before))
        if placed is not None:
            board.release(task, placed)
    first = fleet.first_come(tasks, Board(world))
    assert made.late <= first.late
    assert made.cost <= first.cost * (1 + 1e-9)
    print(
        f"\n{JOBS} jobs, {REGIONS} regions of {world.slots[0, 0]} slots, {CELLS} cells: planned in "
        f"{took:.1f} s (aim {AIM_PLAN_S} s), {took / one_pass:.0f} x one np.cumsum; one more: "
        f"median {np.median(times):.2f} ms, most {max(times):.2f} ms (aim {AIM_ADD_MS} ms); "
        f"{100 * (first.cost - made.cost) / first.cost:.2f} % under first come, late "
        f"{made.late} against {first.late}",
        flush=True,
    )


def test_gap_to_the_bound() -> None:
    """On a tenth of the queue: the bound has some ten million candidates for all of it, and
    takes many seconds and 3 GiB for each of its steps.
    """
    tasks, world = _queue(JOBS // 10)
    assert world.slots is not None
    made = fleet.plan(tasks, Board(world))
    # The bound is one on plans that meet their deadlines.
    met = [
        (task, placed.cost)
        for task, placed in zip(tasks, made.placed, strict=True)
        if placed is not None and not placed.late
    ]
    cost = sum(grams for _, grams in met)
    for iterations in ITERATIONS:
        begun = time.perf_counter()
        bound = lower_bound(
            [task for task, _ in met],
            world.start_s,
            STEP_S,
            world.g_per_kwh,
            world.slots.astype(float),
            known_cost=cost,
            iterations=iterations,
        )
        assert bound <= cost * (1 + 1e-9)
        print(
            f"\n{len(tasks)} jobs, {REGIONS} regions of {world.slots[0, 0]} slots, late "
            f"{made.late}: gap to the bound {100 * (cost - bound) / bound:.3f} % after "
            f"{iterations} iterations, {time.perf_counter() - begun:.0f} s",
            flush=True,
        )


def test_peak_memory() -> None:
    """In a process of its own, so that only the plan counts.

    Read from the kernel's high-water mark: ``ru_maxrss`` starts at that of the parent.
    """
    if not STATUS.is_file():
        pytest.skip(f"needs {STATUS}")
    ran = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    print(f"\npeak memory {float(ran.stdout) / 2**20:.3f} GiB (aim under {AIM_GIB} GiB)")


if __name__ == "__main__":
    queue, around = _queue()
    fleet.plan(queue, Board(around))
    marks = [line.split() for line in STATUS.read_text(encoding="ascii").splitlines()]
    print(next(words[1] for words in marks if words[0] == "VmHWM:"))
