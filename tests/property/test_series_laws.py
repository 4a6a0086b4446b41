"""The laws of step functions with holes; times and values are whole, so sums are exact."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from providers.series import Series

NOW = datetime(2026, 3, 2, tzinfo=UTC)
times = st.integers(-20, 220)


@st.composite
def series(draw: st.DrawFn, source: str = "a") -> Series:
    """A series of up to 12 intervals with holes between some of them; it may be empty."""
    lengths = draw(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 8)), max_size=12))
    values = np.array([draw(st.integers(0, 900)) for _ in lengths], dtype=np.float64)
    band = np.array([draw(st.integers(0, 50)) for _ in lengths], dtype=np.float64)
    edges = np.cumsum([part for pair in lengths for part in pair], dtype=np.float64)
    return Series(
        "DE",
        "average",
        "forecast",
        NOW,
        edges[0::2],
        edges[1::2],
        values,
        values - band,
        values + band,
        np.full(len(values), source),
    )


def _at(one: Series, moment: float) -> tuple[float, str] | None:
    """The slow and plain answer: who says what for the second that begins at ``moment``."""
    for i in range(len(one)):
        if one.starts[i] <= moment < one.ends[i]:
            return float(one.g_per_kwh[i]), str(one.sources[i])
    return None


def _area(one: Series, start: float, end: float) -> float:
    low, high = one.integral(np.array([start, end], dtype=np.float64))
    return float(high - low)


@given(series(), times, times, times)
def test_the_integral_is_additive_over_splits(one: Series, a: int, b: int, c: int) -> None:
    a, b, c = sorted((a, b, c))
    assert _area(one, a, c) == _area(one, a, b) + _area(one, b, c)


@given(series(), times, times)
def test_the_integral_is_the_sum_of_what_each_second_says(one: Series, a: int, b: int) -> None:
    a, b = sorted((a, b))
    plain = [said[0] for t in range(a, b) if (said := _at(one, t)) is not None]
    assert _area(one, a, b) == sum(plain)


@given(series(), times, times)
def test_clipping_then_integrating_is_the_difference_of_integrals(
    one: Series, a: int, b: int
) -> None:
    a, b = sorted((a, b))
    part = one.clip(a, b)
    assert float(part.integral(np.array([1e6]))[0]) == _area(one, a, b)
    assert not len(part) or (part.starts[0] >= a and part.ends[-1] <= b)


@given(series(), times, times)
def test_gaps_and_cover_together_are_the_span(one: Series, a: int, b: int) -> None:
    a, b = sorted((a, b))
    low, high = one.covered(np.array([a, b], dtype=np.float64))
    assert sum(hi - lo for lo, hi in one.gaps(a, b)) + float(high - low) == b - a


@given(series("a"), series("b"))
def test_filling_changes_no_covered_second_and_invents_none(one: Series, other: Series) -> None:
    filled = one.fill_from(other)
    for second in range(-1, 220):
        assert _at(filled, second) == (_at(one, second) or _at(other, second))


@given(series(), times, times)
def test_the_mean_lies_within_the_values_or_is_unknown_where_a_hole_is(
    one: Series, a: int, b: int
) -> None:
    a, b = sorted((a, b))
    mean = one.mean(a, b)
    assert (mean is None) == (a == b or bool(one.gaps(a, b)))
    if mean is not None:
        part = one.clip(a, b)
        assert part.g_per_kwh.min() - 1e-9 <= mean.value <= part.g_per_kwh.max() + 1e-9
        assert part.low.min() - 1e-9 <= mean.low
        assert mean.high <= part.high.max() + 1e-9
