"""Laws of what is learned from past runs, whatever they were."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Triple
from scheduler.planner.history import power, student_t, upper_bound

ROUNDING = 1e-9

durations = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=30)
quantiles = st.sampled_from([0.5, 0.6, 0.75, 0.9, 0.95, 0.99])


@given(durations, quantiles, st.integers(2, 4))
def test_more_runs_with_the_same_values_never_widen(
    values: list[float], quantile: float, times: int
) -> None:
    once, often = upper_bound(values, quantile), upper_bound(values * times, quantile)
    assert often <= once * (1 + ROUNDING)


@given(durations, quantiles, st.floats(0.01, 100))
def test_the_unit_does_not_matter(values: list[float], quantile: float, factor: float) -> None:
    scaled = upper_bound([v * factor for v in values], quantile)
    assert scaled == pytest.approx(upper_bound(values, quantile) * factor, rel=1e-6)


@given(durations, quantiles)
def test_a_bound_lies_at_or_above_the_median(values: list[float], quantile: float) -> None:
    assert upper_bound(values, quantile) >= statistics.median(values)


@given(durations, quantiles, st.randoms())
def test_the_order_of_the_runs_does_not_matter(
    values: list[float], quantile: float, random: st.Random
) -> None:
    shuffled = random.sample(values, len(values))
    assert upper_bound(shuffled, quantile) == upper_bound(values, quantile)


@given(durations)
def test_a_higher_quantile_is_no_less_cautious(values: list[float]) -> None:
    """Among quantiles that are bounded in the same way."""
    few = values[:3]
    assert upper_bound(few, 0.9) <= upper_bound(few, 0.95) <= upper_bound(few, 0.99)


@given(st.integers(1, 60), st.floats(0.5, 0.999))
def test_students_t_falls_with_runs_and_grows_with_the_quantile(df: int, quantile: float) -> None:
    t = student_t(quantile, df)
    assert t >= 0
    assert student_t(quantile, df + 1) <= t + ROUNDING
    assert student_t((1 + quantile) / 2, df) > t


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=30))
def test_a_mean_power_lies_within_its_bounds(watts: list[float]) -> None:
    found = power([Triple(0.9 * w, w, 1.1 * w) for w in watts], "g")
    assert found is not None
    assert found.watts is not None
    assert found.watts.low <= min(watts) <= found.watts.value <= max(watts) <= found.watts.high


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 20, 50])
def test_the_next_run_stays_within_the_bound_as_often_as_said(n: int) -> None:
    """Log-normal runs with the prior's spread and more; 2000 draws resolve 0.9 to 0.007."""
    rng = np.random.default_rng(n)
    runs = np.exp(rng.normal(8, 0.3, (2000, n + 1)))
    kept = sum(run[-1] <= upper_bound(run[:-1].tolist(), 0.9) for run in runs) / len(runs)
    assert kept >= 0.9 - 3 * 0.007
