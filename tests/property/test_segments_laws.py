"""Laws of the segments of a pausable job, against brute force on small cases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler.planner.segments import FREE, Pausing, Spans, cheapest, cost_of

INF = float("inf")
# What is left of two times that should be one (s).
NEAR = 1e-6
few = settings(max_examples=60, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Case:
    """Steps of ``widths`` cells from ``start`` on; lengths are in cells of ``cell`` seconds."""

    start: int
    widths: tuple[int, ...]
    rates: tuple[float, ...]
    need: int
    resume: int
    min_run: int
    most: int | None
    cell: float = 300.0

    @property
    def edges(self) -> NDArray[np.float64]:
        return (self.start + np.append(0, np.cumsum(self.widths))) * self.cell

    @property
    def pausing(self) -> Pausing:
        return Pausing(self.resume * self.cell, self.min_run * self.cell, self.most)

    @property
    def need_s(self) -> float:
        return self.need * self.cell

    def solve(self) -> Spans | None:
        return cheapest(self.edges, np.array(self.rates), self.need_s, self.pausing)

    def cost(self) -> float:
        spans = self.solve()
        return INF if spans is None else cost_of(self.edges, np.array(self.rates), spans)

    def cells(self) -> list[float]:
        """The cost of each cell."""
        return [
            r * self.cell for r, w in zip(self.rates, self.widths, strict=True) for _ in range(w)
        ]


# Integers: sums and differences of costs are exact.
rates = st.one_of(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.just(INF))
steps = st.lists(st.tuples(st.integers(1, 3), rates), min_size=1, max_size=7)


def _case(
    found: list[tuple[int, float]], start: int, need: int, pausing: tuple[int, int, int | None]
) -> Case:
    widths, heights = zip(*found, strict=True)
    return Case(start, widths, heights, need, *pausing)


lengths = st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([None, None, 1, 2, 3]))
pausings = st.one_of(st.just((0, 0, None)), lengths, lengths)
cases = st.builds(_case, steps, st.integers(0, 5), st.integers(1, 9), pausings)


def _brute_force(case: Case, held: list[float] | None = None, *, stopped: bool = False) -> float:
    """The lowest cost over every way to cut the cells into segments, each tried in turn.

    ``held`` is what each cell costs in a pause, ``stopped``: and before the first segment.

    Independent of the planner: it walks forward over (cell, progress, segments) and remembers.
    """
    cost = case.cells()
    least = max(1, min(case.min_run, case.need))
    known: dict[tuple[int, int, int], float] = {}

    def best(at: int, done: int, begun: int) -> float:
        """From a pause at the start of a cell on."""
        if done == case.need:
            return 0.0
        if at >= len(cost) or (case.most is not None and begun >= case.most):
            return INF
        key = (at, done, begun if case.most is not None else min(begun, 1))
        if key not in known:
            wait = 0.0 if held is None or not (begun or stopped) else held[at]
            found = wait + best(at + 1, done, begun)
            reload = case.resume if begun else 0
            spent = 0.0
            for end in range(at + 1, len(cost) + 1):
                spent += cost[end - 1]
                made = end - at - reload
                if spent == INF or done + made > case.need:
                    break
                if end - at >= least and made >= 1:
                    found = min(found, spent + best(end, done + made, begun + 1))
            known[key] = found
        return known[key]

    return best(0, 0, 0)


def _best_window(case: Case) -> float:
    cost = case.cells()
    starts = range(len(cost) - case.need + 1)
    return min((sum(cost[s : s + case.need]) for s in starts), default=INF)


@few
@given(cases)
def test_the_cost_is_the_optimum(case: Case) -> None:
    assert case.cost() == pytest.approx(_brute_force(case), rel=1e-9, abs=1e-9)


@few
@given(cases, st.lists(st.integers(0, 9), min_size=21, max_size=21), st.booleans())
def test_pauses_that_hold_hardware_are_weighed(
    case: Case, heights: list[int], stopped: bool
) -> None:
    held = np.array(heights[: len(case.widths)], dtype=np.float64)
    rates = np.array(case.rates)
    spans = cheapest(
        case.edges, rates, case.need_s, case.pausing, case.cell, held=held, stopped=stopped
    )
    by_cell = [h * case.cell for h, w in zip(held, case.widths, strict=True) for _ in range(w)]
    lowest = _brute_force(case, by_cell, stopped=stopped)
    if spans is None:
        assert lowest == INF
        return
    waits = [(a[1], b[0]) for a, b in pairwise(spans)]
    waits += [(float(case.edges[0]), spans[0][0])] if stopped else []
    cost = cost_of(case.edges, rates, spans) + cost_of(case.edges, held, tuple(waits))
    assert cost == pytest.approx(lowest, rel=1e-9, abs=1e-6)


@few
@given(cases)
def test_segments_are_never_worse_than_a_window_nor_that_than_a_start_at_release(
    case: Case,
) -> None:
    window, now = _best_window(case), sum(case.cells()[: case.need])
    assert case.cost() <= window * (1 + 1e-9)
    if len(case.cells()) >= case.need:
        assert window <= now
    if case.most == 1:
        assert case.cost() == pytest.approx(window)


@few
@given(cases)
def test_spans_are_in_order_allowed_and_long_enough(case: Case) -> None:
    spans = case.solve()
    if spans is None:
        return
    cost = case.cells()
    flat = [t for span in spans for t in span]
    assert flat == sorted(flat)
    assert all(b - a > NEAR for a, b in spans)
    assert all(after - before > NEAR for (_, before), (after, _) in pairwise(spans))
    assert case.edges[0] - NEAR <= flat[0]
    assert flat[-1] <= case.edges[-1] + NEAR
    for a, b in spans:
        low = int((a + NEAR) // case.cell) - case.start
        high = int(-((NEAR - b) // case.cell)) - case.start
        assert INF not in cost[low:high]
    least = min(case.pausing.min_run_s, case.need_s)
    assert all(b - a >= least - NEAR for a, b in spans)
    assert case.most is None or len(spans) <= case.most


@few
@given(cases)
def test_the_length_is_the_need_and_a_reload_for_each_resume(case: Case) -> None:
    spans = case.solve()
    if spans is not None:
        resumed = case.pausing.resume_s * (len(spans) - 1)
        assert sum(b - a for a, b in spans) == pytest.approx(case.need_s + resumed, abs=1e-5)
        assert all(b - a > case.pausing.resume_s for a, b in spans[1:])


@few
@given(cases, steps, steps)
def test_more_slack_is_never_worse(
    case: Case, before: list[tuple[int, float]], after: list[tuple[int, float]]
) -> None:
    found = [*before, *zip(case.widths, case.rates, strict=True), *after]
    pausing = (case.resume, case.min_run, case.most)
    assert _case(found, case.start, case.need, pausing).cost() <= case.cost() * (1 + 1e-9)


@few
@given(cases)
def test_cheaper_pauses_are_never_worse(case: Case) -> None:
    cost = case.cost() * (1 + 1e-9)
    # With a least segment, a shorter reload may leave no way to cut the work into pieces.
    if case.resume and not case.min_run:
        assert replace(case, resume=case.resume - 1).cost() <= cost
    if case.most is not None:
        assert replace(case, most=case.most + 1).cost() <= cost
        assert replace(case, most=None).cost() <= cost
    free = cheapest(case.edges, np.array(case.rates), case.need_s, FREE)
    assert free is not None or case.solve() is None
    if free is not None:
        assert cost_of(case.edges, np.array(case.rates), free) <= cost


@few
@given(cases, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scaling_rates_scales_the_cost_and_moves_nothing(case: Case, factor: float) -> None:
    scaled = replace(case, rates=tuple(rate * factor for rate in case.rates))
    assert scaled.solve() == case.solve()
    if case.solve() is not None:
        assert scaled.cost() == pytest.approx(case.cost() * factor)


@few
@given(cases)
def test_the_same_question_has_the_same_answer(case: Case) -> None:
    assert case.solve() == case.solve()


@few
@given(cases, st.lists(st.floats(0.0, 900.0), min_size=7, max_size=7))
def test_rates_that_are_no_integers_keep_the_lengths(case: Case, heights: list[float]) -> None:
    """Rounding of sums must not cut a segment in two, nor lose a part of one."""
    rough = [INF if r == INF else h for r, h in zip(case.rates, heights, strict=False)]
    other = replace(case, rates=tuple(rough))
    spans = other.solve()
    assert (spans is None) == (case.solve() is None)
    if spans is not None:
        resumed = case.pausing.resume_s * (len(spans) - 1)
        assert sum(b - a for a, b in spans) == pytest.approx(case.need_s + resumed, abs=1e-5)
        assert other.cost() == pytest.approx(_brute_force(other), rel=1e-9, abs=1e-6)
        assert all(b < a for (_, b), (a, _) in pairwise(spans))


@few
@given(
    st.lists(st.tuples(st.integers(60, 90_000), st.integers(0, 900)), min_size=2, max_size=6),
    st.integers(60, 100_000),
    st.tuples(st.integers(0, 4_000), st.integers(0, 20_000), st.sampled_from([None, 1, 3])),
)
def test_lengths_on_no_common_lattice_still_fit_and_get_all_their_work(
    found: list[tuple[int, int]], need_s: int, pausing: tuple[int, int, int | None]
) -> None:
    """Where the lattice is coarser than the seconds asked for, the plan is only near-optimal."""
    edges = np.append(0.0, np.cumsum([w for w, _ in found])).astype(np.float64)
    heights = np.array([float(r) for _, r in found])
    spans = cheapest(edges, heights, float(need_s), Pausing(*pausing))
    if spans is None:
        return
    flat = [t for span in spans for t in span]
    assert flat == sorted(flat)
    assert flat[0] >= -NEAR
    assert flat[-1] <= edges[-1] + NEAR
    resumed = pausing[0] * (len(spans) - 1)
    assert sum(b - a for a, b in spans) >= need_s + resumed - 1e-5
    assert pausing[2] is None or len(spans) <= pausing[2]
