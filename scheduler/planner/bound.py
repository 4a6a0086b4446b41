"""How good any plan can be: a lower bound by Lagrangian relaxation of the capacities.

With a price on every slot of every region and moment the jobs no longer meet: each runs where
its own carbon and its rent are lowest, which is exact and fast. What they pay then, less the
rent of the whole capacity, bounds every plan from below whatever the prices (weak duality;
Fisher, Management Science 27(1), 1981). Good prices are found by projected subgradient ascent
with the step rule of Adam (Kingma and Ba, 2015). Starts are continuous, so the bound holds for
plans on any lattice; waits for other jobs and the costs of pausing are left out, which can only
lower it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner.relaxed import Relaxed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scheduler.planner.task import Task

# Adam's decay of the first and second moment: shorter memories than its authors' defaults, for
# some hundred steps on a deterministic function. Tried on a month of five regions of 60 slots:
# 60 steps come within 0.4 % of the best bound known, with (0.8, 0.95) and FALL 20 within 0.9 %.
MEMORY = (0.9, 0.95)
# The first step of a price, as a share of what an ordinary slot emits in a cell.
STEP = 0.1
# The step falls as 1 / (1 + n / FALL).
FALL = 10.0
# A bound this near (as a share) to a known plan needs no better prices.
NEAR = 1e-6


def lower_bound(
    tasks: Sequence[Task],
    start_s: float,
    step_s: float,
    g_per_kwh: NDArray[np.float64],
    slots: NDArray[np.float64] | None,
    *,
    known_cost: float,
    iterations: int,
    progress: Callable[[int], None] = lambda _: None,
) -> float:
    """No plan of ``tasks`` that ends each by its deadline costs less.

    ``g_per_kwh`` and ``slots`` are regions x cells of ``step_s``, within which both are
    constant. ``known_cost`` is that of some plan: where the bound reaches it, the search ends.
    """
    problem = Relaxed(tasks, start_s, step_s, g_per_kwh)
    if slots is None:
        return problem.solve(np.zeros_like(g_per_kwh))[0]
    near = known_cost * (1 - NEAR)
    return ascend(problem, slots, iterations=iterations, enough=near, progress=progress).value


@dataclass(frozen=True, slots=True)
class Dual:
    """A lower bound, and the prices (per slot and cell) that prove it."""

    value: float
    prices: NDArray[np.float64]


def ascend(
    problem: Relaxed,
    slots: NDArray[np.float64],
    *,
    iterations: int,
    enough: float = math.inf,
    progress: Callable[[int], None] = lambda _: None,
) -> Dual:
    """The best of ``iterations`` steps from prices of zero; a value of ``enough`` ends it."""
    prices = np.zeros_like(slots)
    value, use = problem.solve(prices)
    best = Dual(value, prices)
    if not (use > slots + 1e-9).any():
        return best
    first, second = np.zeros_like(prices), np.zeros_like(prices)
    # The unit of a price: grams of a slot for an hour in an ordinary cell.
    unit = problem.ordinary_price * STEP
    for n in range(1, iterations + 1):
        slope = use - slots
        first = MEMORY[0] * first + (1 - MEMORY[0]) * slope
        second = MEMORY[1] * second + (1 - MEMORY[1]) * slope**2
        along = first / (1 - MEMORY[0] ** n)
        scale = np.sqrt(second / (1 - MEMORY[1] ** n)) + 1.0
        prices = np.maximum(0.0, prices + unit / (1 + n / FALL) * along / scale)
        value, use = problem.solve(prices)
        value -= float((prices * slots).sum())
        if value > best.value:
            best = Dual(value, prices)
        progress(n)
        if best.value >= enough:
            break
    return best
