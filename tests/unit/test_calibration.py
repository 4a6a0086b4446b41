"""Bands of planned runs: as many actuals inside as is said, whatever the run's length."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers import calibration, forecaster
from providers.base import Triple
from providers.calibration import HALF_H, LEAST_H, Calibration
from providers.series import Series, hourly_means
from scheduler.planner.choice import Place, Request
from scheduler.planner.window import decide
from scheduler.store.forecasts import same
from scheduler.store.packing import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HOUR = 3600.0
AT = datetime(2026, 3, 2, tzinfo=UTC)
S0 = AT.timestamp()
REACH = 120
ONE, KW = Triple.exact(1.0), Triple.exact(1000.0)
# Standard deviations to either side within which 80 % of a normal distribution lie.
Z80 = 1.2816


def _errors(count: int, memory: float, sigma: float, seed: int) -> Floats:
    """Errors of hours that are like the one before to the degree of ``memory``."""
    noise = np.random.default_rng(seed).normal(0, sigma * (1 - memory**2) ** 0.5, (count, REACH))
    found = np.empty_like(noise)
    found[:, 0] = noise[:, 0] / (1 - memory**2) ** 0.5
    for hour in range(1, REACH):
        found[:, hour] = memory * found[:, hour - 1] + noise[:, hour]
    return found


def _issues(count: int, memory: float, seed: int) -> tuple[tuple[Floats, Floats, Floats], Floats]:
    """Forecasts with a right hourly band of 80 %, and what came: a course of a day with noise."""
    hours = np.arange(count)[:, None] * 5 + np.arange(REACH)
    value = 300 + 80 * np.cos(hours / 24 * 2 * np.pi)
    band = Z80 * 30.0
    return (value - band, value, value + band), value + _errors(count, memory, 30.0, seed)


def _inside(found: Calibration, length: int, slack: int, seed: int, memory: float) -> list[float]:
    """How many % of new planned runs lie inside the calibrated and the mean hourly band."""
    (low, value, high), came = _issues(1500, memory, seed)
    starts = [value[:, s : s + length].mean(1) for s in range(slack + 1)]
    at = np.argmin(starts, axis=0)
    hits = np.zeros(2)
    for n, start in enumerate(at.tolist()):
        part = slice(start, start + length)
        mean = Triple(*(float(x[n, part].mean()) for x in (low, value, high)))
        begin = S0 + start * HOUR
        band = found.band(mean, begin, begin + length * HOUR, length * HOUR, slack * HOUR)
        assert band is not None
        actual = came[n, part].mean()
        hits += band.low <= actual <= band.high, mean.low <= actual <= mean.high
    return (100 * hits / len(at)).tolist()


@pytest.mark.parametrize("memory", [0.0, 0.9])
@pytest.mark.parametrize(("length", "slack"), [(1, 0), (4, 24), (12, 96), (24, 24), (48, 6)])
def test_planned_runs_lie_inside_as_often_as_said(memory: float, length: int, slack: int) -> None:
    """The old band, the mean of the hourly ones, holds nearly all of the long runs."""
    forecast, came = _issues(600, memory, seed=1)
    factors = calibration.factors(forecast, came, 5 * np.arange(600)[::-1])
    found = Calibration(S0, S0 + REACH * HOUR, factors)
    new, old = _inside(found, length, slack, 2, memory)
    assert 75 <= new <= 85
    if length >= 12:
        assert old > 85


def test_errors_that_fade_count_less() -> None:
    """Of late the errors are three times as large: the band is that of late."""
    (low, value, high), came = _issues(600, 0.5, seed=3)
    age_h = 5 * np.arange(600)[::-1]
    came = np.where((age_h < HALF_H)[:, None], value + 3 * (came - value), came)
    factors = calibration.factors((low, value, high), came, age_h)
    flat = calibration.factors((low, value, high), _issues(600, 0.5, seed=3)[1], age_h)
    assert (factors[:, 0, 0] > 2 * flat[:, 0, 0]).all()


def test_what_too_few_errors_are_known_of_has_no_band() -> None:
    forecast, came = _issues(LEAST_H // 5, 0.0, seed=4)
    factors = calibration.factors(forecast, came, 5 * np.arange(LEAST_H // 5)[::-1])
    assert np.isinf(factors).all()
    found = Calibration(S0, S0 + REACH * HOUR, factors)
    assert found.band(Triple(1, 2, 3), S0, S0 + HOUR, HOUR, 0) is None
    assert np.isinf(calibration.factors(forecast, came * np.nan, np.arange(len(came)))).all()


def test_a_run_beyond_the_forecast_has_no_band() -> None:
    found = Calibration(S0, S0 + 10 * HOUR, np.ones((2, 6, 4)))
    mean = Triple(90, 100, 120)
    assert found.band(mean, S0, S0 + 10 * HOUR, HOUR, 0) == mean
    assert found.band(mean, S0 - 1, S0 + HOUR, HOUR, 0) is None
    assert found.band(mean, S0, S0 + 11 * HOUR, HOUR, 0) is None


def test_bands_stay_above_zero_and_have_some_width() -> None:
    found = Calibration(S0, S0 + 10 * HOUR, np.full((2, 6, 4), 3.0))
    assert found.band(Triple(5, 10, 12), S0, S0 + HOUR, HOUR, 0) == Triple(0, 10, 16)
    none = Calibration(S0, S0 + 10 * HOUR, np.zeros((2, 6, 4)))
    kept = none.band(Triple(5, 10, 12), S0, S0 + HOUR, HOUR, 0)
    assert kept == Triple(9.95, 10, 10.05)


def _history(days: int, seed: int) -> Series:
    """A zone with a course of the day and weather that lasts half a day."""
    hours = days * 24
    rng = np.random.default_rng(seed)
    noise, weather = rng.normal(0, 1, hours), np.zeros(hours)
    for hour in range(1, hours):
        weather[hour] = 0.9 * weather[hour - 1] + 0.44 * noise[hour]
    course = 400 + 90 * np.cos(np.arange(hours) / 24 * 2 * np.pi)
    g = course + 50 * weather + rng.normal(0, 15, hours)
    starts = S0 + HOUR * np.arange(hours)
    sources = np.full(hours, "history")
    return Series("DE", "average", "actual", AT, starts, starts + HOUR, g, g, g, sources)


def _forecast(model: forecaster.Model, actual: Series, issue: int) -> Series:
    hourly = actual.g_per_kwh[issue - 56 * 24 : issue]
    issue_s = S0 + issue * HOUR
    told = model.predict(hourly, issue_s - HOUR * len(hourly))
    starts = issue_s + HOUR * np.arange(REACH)
    arrays = starts, starts + HOUR, told.value, told.low, told.high, np.full(REACH, "forecaster")
    found = Calibration(issue_s, issue_s + REACH * HOUR, model.factors)
    return Series("DE", "average", "forecast", AT, *arrays, calibration=found)


def test_what_is_planned_on_our_own_forecast_comes_inside_its_band() -> None:
    """Six zones: learned from 300 days; planned, and judged, over the 60 days after them."""
    inside: dict[int, list[bool]] = {4: [], 24: []}
    before: dict[int, list[bool]] = {4: [], 24: []}
    for seed in range(6):
        actual = _history(365, seed)
        model = forecaster.fit(actual.g_per_kwh[: 300 * 24], S0)
        for issue in range(300 * 24, 360 * 24, 19):
            series = _forecast(model, actual, issue)
            for length, found in inside.items():
                now = S0 + issue * HOUR
                asked = Request(length * HOUR, now, now + 24 * HOUR, KW)
                chosen = decide([Place("a", series, ONE)], asked).chosen
                assert chosen is not None
                assert chosen.calibrated
                came, hourly = actual.mean(*chosen.spans[0]), series.mean(*chosen.spans[0])
                assert came is not None
                assert hourly is not None
                band = chosen.g_per_kwh
                found.append(band.low <= came.value <= band.high)
                before[length].append(hourly.low <= came.value <= hourly.high)
    shares = {length: 100 * np.mean(found) for length, found in inside.items()}
    assert all(75 <= share <= 85 for share in shares.values()), shares
    # Without it the bands of long runs are too wide.
    assert 100 * np.mean(before[24]) > 85


def test_a_plan_on_a_forecast_without_known_errors_is_not_calibrated() -> None:
    series = replace(_history(2, 1), kind="forecast")
    chosen = decide([Place("a", series, ONE)], Request(HOUR, S0, S0 + 24 * HOUR, KW)).chosen
    assert chosen is not None
    assert not chosen.calibrated


def test_a_stored_forecast_keeps_its_calibration() -> None:
    factors = np.round(np.random.default_rng(5).uniform(0, 2, (2, 6, 4)), 3)
    factors[:, 5, 3] = np.inf
    series = replace(_history(2, 1), calibration=Calibration(S0, S0 + HOUR, factors))
    back, _ = unpack(pack(series), "forecast", 1)
    assert back.calibration is not None
    assert (back.calibration.from_s, back.calibration.until_s) == (S0, S0 + HOUR)
    assert np.array_equal(back.calibration.factors, factors)
    assert same(back, series)
    assert not same(back, replace(series, calibration=None))
    assert back.clip(S0, S0 + HOUR).fill_from(_history(2, 2)).calibration is back.calibration


def test_holes_in_the_history_leave_the_other_errors() -> None:
    """A hole a week meets nearly every reach of 120 h; only runs that touch one are left out."""
    actual = _history(120, 6)
    hourly = hourly_means(actual, S0, 120 * 24)
    hourly[::168] = np.nan
    assert np.isfinite(forecaster.fit(hourly, S0).factors).all()
