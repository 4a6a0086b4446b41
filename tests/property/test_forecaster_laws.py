"""Laws of the forecaster: scale, order, holes, and the same answer twice."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import forecaster
from providers.forecaster.history import filled

START_S = 1_704_067_200.0
DAY_H = 24


@st.composite
def histories(draw: st.DrawFn) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """14 to 70 days, rough or smooth, with zeros and holes, but enough known hours."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    days = draw(st.integers(14, 70))
    rough = draw(st.sampled_from([0.0, 1.0, 50.0, 500.0]))
    level = draw(st.sampled_from([0.0, 1.0, 40.0, 700.0]))
    hours = np.arange(days * DAY_H)
    values = level * (1 + 0.3 * np.sin(hours / 3.8)) + rough * rng.normal(size=len(hours))
    made = np.maximum(values, 0.0)
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, len(hours) - 1)), draw(st.integers(1, 72))
        before = made[at : at + length].copy()
        made[at : at + length] = np.nan
        if np.sum(~np.isnan(made)) < forecaster.NEEDED_H:
            made[at : at + length] = before
    return made


@settings(max_examples=40)
@given(histories(), st.sampled_from([24, 120, 168]))
def test_an_outlook_is_ordered_finite_never_negative_and_the_same_twice(
    history: np.ndarray[tuple[int, ...], np.dtype[np.float64]], hours: int
) -> None:
    before = history.copy()
    outlook = forecaster.fit(history, START_S).predict(history, START_S, hours)
    again = forecaster.fit(history, START_S).predict(history, START_S, hours)
    for field in fields(outlook):
        values = getattr(outlook, field.name)
        assert values.shape == (hours,)
        assert np.all(np.isfinite(values))
        assert np.array_equal(values, getattr(again, field.name))
    assert np.all(outlook.low >= 0)
    assert np.all((outlook.low <= outlook.value) & (outlook.value <= outlook.high))
    assert np.array_equal(history, before, equal_nan=True)


@settings(max_examples=25)
@given(histories(), st.sampled_from([0.25, 4.0, 1024.0]))
def test_the_unit_does_not_matter(
    history: np.ndarray[tuple[int, ...], np.dtype[np.float64]], factor: float
) -> None:
    one = forecaster.fit(history, START_S).predict(history, START_S)
    other = forecaster.fit(factor * history, START_S).predict(factor * history, START_S)
    top = np.nanmax(history)
    for field in fields(one):
        scaled = factor * getattr(one, field.name)
        assert np.allclose(getattr(other, field.name), scaled, rtol=1e-6, atol=1e-6 * factor * top)


@given(histories())
def test_filling_keeps_what_is_known_and_stays_in_its_range(
    history: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> None:
    got = filled(history)
    known = ~np.isnan(history)
    assert np.array_equal(got[known], history[known])
    slack = 1e-9 * max(np.nanmax(history), 1.0)
    assert np.all((got >= np.nanmin(history) - slack) & (got <= np.nanmax(history) + slack))
