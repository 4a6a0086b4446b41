"""The forecaster of one zone: what it needs, what it gives, and what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers import forecaster
from providers.errors import NoData
from providers.forecaster.features import base
from providers.forecaster.history import filled, week_courses

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAY_H = 24
# 2024-01-01T00:00Z, a Monday.
START_S = 1_704_067_200.0
HOUR_S = 3600.0


def made(days: int, noise: float = 0.0, seed: int = 1) -> NDArray[np.float64]:
    """Days with a course of the day, lower weekends, and noise that lasts some hours."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * DAY_H)
    course = 300 + 100 * np.sin(2 * np.pi * hours / DAY_H) - 60 * (hours // DAY_H % 7 >= 5)
    walk = np.zeros(len(hours))
    for n in range(1, len(hours)):
        walk[n] = 0.95 * walk[n - 1] + rng.normal(0, noise)
    return np.maximum(course + walk, 0.0)


def test_less_than_14_days_are_refused_with_what_there_is() -> None:
    with pytest.raises(NoData, match=r"has 335 hours, a forecast needs 336 \(14 days\)"):
        forecaster.fit(made(14)[1:], START_S)
    gappy = made(20)
    gappy[: 7 * DAY_H] = np.nan
    with pytest.raises(NoData, match="has 312 hours"):
        forecaster.fit(gappy, START_S)
    model = forecaster.fit(made(14), START_S)
    with pytest.raises(NoData, match="has 168 hours"):
        model.predict(made(7), START_S)


@pytest.mark.parametrize("wrong", [-1.0, np.inf])
def test_a_value_that_cannot_be_is_refused(wrong: float) -> None:
    history = made(14)
    history[5] = wrong
    with pytest.raises(ValueError, match="negative or infinite"):
        forecaster.fit(history, START_S)


def test_a_start_off_the_hour_is_refused() -> None:
    with pytest.raises(ValueError, match="not on the hour"):
        forecaster.fit(made(14), START_S + 1)


def test_the_method_says_what_the_history_allowed() -> None:
    short, long = forecaster.fit(made(34), START_S), forecaster.fit(made(35), START_S)
    assert short.method == "hod7decay"
    assert not short.weights.any()
    assert long.method == "ridge"
    assert long.weights.any()
    assert (long.start_s, long.known_h) == (START_S, 35 * DAY_H)
    assert long.end_s == START_S + 35 * DAY_H * HOUR_S


def test_what_is_unknown_at_both_ends_is_no_history() -> None:
    history = made(40)
    history[:5], history[-3:] = np.nan, np.nan
    model = forecaster.fit(history, START_S)
    assert model.start_s == START_S + 5 * HOUR_S
    assert model.end_s == START_S + (40 * DAY_H - 3) * HOUR_S
    assert model.known_h == 40 * DAY_H - 8


def test_hod7decay_is_the_week_s_profile_and_the_fading_error() -> None:
    values = np.tile(np.arange(24.0), 14)
    values[-6:] += 7.0
    got = base(values, np.array([len(values)]), 30)[0]
    # The profile took in a seventh of each of the six errors: 6 of 7 are left as error.
    profile = np.tile(np.arange(24.0) + np.where(np.arange(24) >= 18, 1.0, 0.0), 2)[:30]
    assert got == pytest.approx(profile + 6.0 * 0.93 ** np.arange(1, 31))


def test_recurring_days_are_foretold_exactly_with_no_band() -> None:
    days = np.tile(200 + 50 * np.cos(np.arange(DAY_H)), 60)
    for history in (days[: 20 * DAY_H], days):
        outlook = forecaster.fit(history, START_S).predict(history, START_S, 168)
        assert outlook.value == pytest.approx(np.tile(days[:DAY_H], 7))
        assert outlook.low == pytest.approx(outlook.value)
        assert outlook.high == pytest.approx(outlook.value)


def test_a_weekend_is_learned() -> None:
    history = made(26 * 7, noise=3.0)
    model = forecaster.fit(history, START_S)
    # 26 weeks end on a Sunday; five days more on a Friday, with a weekend ahead.
    recent = made(26 * 7 + 5, noise=3.0)[-8 * 7 * DAY_H :]
    at = START_S + (26 * 7 + 5 - 56) * DAY_H * HOUR_S
    days = model.predict(recent, at, 96).value.reshape(4, DAY_H).mean(axis=1)
    assert days[:2].max() < days[2:].min() - 20


@pytest.mark.parametrize("days", [20, 120])
def test_the_band_covers_four_of_five(days: int) -> None:
    inside = []
    for seed in range(12):
        whole = made(days + 5, noise=8.0, seed=seed)
        history = whole[: days * DAY_H]
        outlook = forecaster.fit(history, START_S).predict(history, START_S)
        ahead = whole[days * DAY_H :]
        inside.append(np.mean((outlook.low <= ahead) & (ahead <= outlook.high)))
    # Twelve stretches of five days whose errors last: the mean is known to some 10 points.
    assert 0.6 <= np.mean(inside) <= 0.95


def test_hours_unknown_at_the_end_count_as_ahead() -> None:
    history = made(60, noise=5.0)
    model = forecaster.fit(history, START_S)
    whole = model.predict(history[:-10], START_S, 50)
    late = history.copy()
    late[-10:] = np.nan
    assert model.predict(late, START_S, 40).value == pytest.approx(whole.value[10:])


def test_a_week_ahead_goes_on_as_the_last_fitted_day() -> None:
    history = made(60, noise=5.0)
    model = forecaster.fit(history, START_S)
    week, days = model.predict(history, START_S, 168), model.predict(history, START_S)
    assert len(week.value) == 168
    assert week.value[:120] == pytest.approx(days.value)
    assert np.all((week.low < week.value) & (week.value < week.high))


def test_a_hole_takes_the_mean_of_its_hour_over_the_days_before() -> None:
    days = np.arange(10.0)[:, None] * 10 + np.arange(24.0)
    days[8, 3], days[9, 3] = np.nan, np.nan
    days[0, 5], days[:, 7] = np.nan, np.nan
    got = filled(days.ravel()).reshape(10, 24)
    assert got[8, 3] == pytest.approx(3 + 40)
    assert got[9, 3] == pytest.approx(3 + 45)
    # Nothing before it: its hour over all days; an hour never known: all hours.
    assert got[0, 5] == pytest.approx(5 + 50)
    assert got[0, 7] == pytest.approx(np.nanmean(days))
    assert filled(days.ravel()[:-1])[8 * 24 + 3] == pytest.approx(43)


def test_an_hour_that_is_never_told_has_a_band_too() -> None:
    history = made(60, noise=5.0).reshape(60, DAY_H)
    history[:, 7] = np.nan
    model = forecaster.fit(history.ravel(), START_S)
    outlook = model.predict(history.ravel(), START_S)
    assert np.all(outlook.high > outlook.low)


def test_the_course_of_the_week_counts_from_1970_and_starts_unknown() -> None:
    hours = np.arange(4 * 168)
    values = np.where(hours % 168 < DAY_H, 70.0, 0.0)
    courses = week_courses(values, 0)
    assert courses.shape == (5, 168)
    assert not courses[0].any()
    # One day of seven stands 60 above the mean of its hours; 8 weeks of doubt stand beside 4.
    assert courses[4, 12] == pytest.approx(60 * 4 / 12)
    assert courses[4, 36] == pytest.approx(-10 * 4 / 12)
    shifted = week_courses(values, 100)
    assert len(shifted) == 4
