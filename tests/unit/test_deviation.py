"""Planned against realized: one cause at a time, then all at once, by hand and by law."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.series import Series, from_unix
from scheduler.models import Deviation, Settlement, Site
from scheduler.sci import AttemptRecord, Expectation, count, settle

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
S0 = T0.timestamp()
HOUR = 3600.0
SITE = Site("here", "DE", Triple.exact(1.0), "none", None)
HIGH_PUE = Site("here", "DE", Triple.exact(1.5), "declared", None)
FLAT = [200.0] * 12


def _series(values: list[float], kind: Any = "actual", **facts: Any) -> Series:
    g = np.array(values)
    starts = S0 + HOUR * np.arange(len(g))
    sources = np.array(["s"] * len(g))
    signal = facts.get("signal", "average")
    return Series("DE", signal, kind, T0, starts, starts + HOUR, g, g, g, sources)


def _attempt(start_h: float, hours: float, kw: float | list[float], **fields: Any) -> AttemptRecord:
    """Equal parts of the run at the powers given."""
    powers = [kw] if isinstance(kw, float) else kw
    step = hours * HOUR / len(powers)
    at, joules = S0 + start_h * HOUR, 0.0
    samples = [Sample(at, 0.0, (Reading("cpu", ZERO, ZERO, 0.0),))]
    for power in powers:
        at, joules = at + step, joules + power * 1000 * step
        covered = at - samples[0].at
        samples.append(Sample(at, 0.0, (Reading("cpu", ZERO, Triple.exact(joules), covered),)))
    journal = Journal((Component("cpu", "measured", "test"),), tuple(samples))
    begun = from_unix(S0 + start_h * HOUR)
    return AttemptRecord(begun, begun + timedelta(hours=hours), 0, journal, **fields)


def _plan(
    spans: list[tuple[float, float]], forecast: list[float], kw: float = 1.0, **facts: Any
) -> Expectation:
    """Spans in hours after T0."""
    return Expectation(
        tuple((S0 + a * HOUR, S0 + b * HOUR) for a, b in spans),
        kw * 1000,
        _series(forecast, "forecast", **facts),
    )


def _settled(
    expected: Expectation | str,
    *attempts: AttemptRecord,
    actual: list[float] | None = None,
    site: Site = SITE,
) -> Settlement:
    grid = _series(FLAT if actual is None else actual)
    return settle(
        attempts=attempts,
        site=site,
        home=site,
        release=T0,
        intensity=grid,
        home_intensity=grid,
        provisional=False,
        slots=1,
        gpus=0,
        unit=None,
        work=count(()),
        expected=expected,
    )


def _deviation(*args: Any, **kwargs: Any) -> Deviation:
    s = _settled(*args, **kwargs)
    d = s.planned_against_realized
    assert d is not None, s.nulls
    assert s.operational_g is not None
    assert d.realized_g == pytest.approx(s.operational_g.value, rel=1e-6)
    return d


def _errors(d: Deviation) -> tuple[float, ...]:
    return d.forecast_error_g, d.start_error_g, d.duration_error_g, d.power_error_g


def test_a_run_as_planned_has_no_errors() -> None:
    d = _deviation(_plan([(1, 3)], FLAT), _attempt(1, 2, 1.0))
    assert d.planned_g == d.realized_g == pytest.approx(400)
    assert _errors(d) == pytest.approx((0, 0, 0, 0))


def test_each_cause_by_itself_is_all_of_the_difference() -> None:
    low = [100.0] * 12
    forecast = _deviation(_plan([(1, 3)], low), _attempt(1, 2, 1.0))
    assert forecast.planned_g == pytest.approx(200)
    assert _errors(forecast) == pytest.approx((200, 0, 0, 0))
    falling = [300.0, 300, 300, 100, 100, *FLAT]
    start = _deviation(_plan([(1, 3)], falling), _attempt(3, 2, 1.0), actual=falling)
    assert _errors(start) == pytest.approx((0, -400, 0, 0)), "later, and luckier for it"
    duration = _deviation(_plan([(1, 3)], FLAT), _attempt(1, 3, 1.0))
    assert _errors(duration) == pytest.approx((0, 0, 200, 0))
    power = _deviation(_plan([(1, 3)], FLAT), _attempt(1, 2, 0.5))
    assert _errors(power) == pytest.approx((0, 0, 0, -200))
    bent = [100.0, 100, 300, *FLAT]
    course = _deviation(_plan([(1, 3)], bent), _attempt(1, 2, [0.5, 1.5]), actual=bent)
    assert _errors(course) == pytest.approx((0, 0, 0, 0.5 * -100 + 0.5 * 300))


def test_two_causes_share_what_they_do_together() -> None:
    """By hand: 2 h x 1 kW x 200 planned, 3 h x 2 kW realized; the mean over both orders."""
    d = _deviation(_plan([(0, 2)], FLAT), _attempt(0, 3, 2.0))
    assert d.difference_g == pytest.approx(1200 - 400)
    assert d.duration_error_g == pytest.approx((200 + 400) / 2)
    assert d.power_error_g == pytest.approx((400 + 600) / 2)


def test_pue_stands_on_both_sides() -> None:
    d = _deviation(_plan([(0, 2)], FLAT), _attempt(0, 3, 1.0), site=HIGH_PUE)
    assert (d.planned_g, d.realized_g) == pytest.approx((600, 900))


def test_segments_are_compared_with_segments() -> None:
    grid = [100.0, 500, 100, 500, *FLAT]
    plan = _plan([(0, 1), (2, 3)], grid)
    same = _deviation(plan, _attempt(0, 1, 1.0), _attempt(2, 1, 1.0, resumed=True), actual=grid)
    assert same.planned_g == pytest.approx(200)
    assert _errors(same) == pytest.approx((0, 0, 0, 0))
    whole = _deviation(plan, _attempt(0, 2, 1.0), actual=grid)
    assert _errors(whole) == pytest.approx((0, 400, 0, 0)), "it did not pause as planned"


def test_a_failed_attempt_lengthens_the_run() -> None:
    d = _deviation(_plan([(0, 2)], FLAT), _attempt(0, 1, 1.0), _attempt(1, 2, 1.0))
    assert _errors(d) == pytest.approx((0, 0, 200, 0))


def test_beyond_its_reach_a_forecast_has_no_error() -> None:
    """Foretold for two hours; the third is of the duration alone, at what it really was."""
    d = _deviation(_plan([(0, 2)], [200, 200]), _attempt(0, 3, 1.0), actual=[200.0, 200, 700])
    assert _errors(d) == pytest.approx((0, 0, 700, 0))


def test_what_cannot_be_compared_says_why() -> None:
    run, plan = _attempt(0, 2, 1.0), _plan([(0, 2)], FLAT)

    def why(expected: Expectation | str, *attempts: AttemptRecord, **more: Any) -> str:
        s = _settled(expected, *attempts, **more)
        assert s.planned_against_realized is None
        return s.nulls["planned_against_realized"]

    assert why("it was never planned", run) == "it was never planned"
    stopped = _attempt(0, 2, 1.0, stops=((S0 + 60, S0 + 120),))
    assert "stopped" in why(plan, stopped)
    assert "never compared" in why(_plan([(0, 2)], FLAT, signal="marginal"), run)
    far = Expectation(((S0 - 9e6, S0 - 9e6 + HOUR),), 1000.0, _series(FLAT, "forecast"))
    assert "not known over all" in why(far, run)
    runs = AttemptRecord(run.started_at, None, None, run.journal)
    assert why(plan, runs) == "it has not ended"
    assert "operational" in why(plan, run, actual=[100.0])
    gpu = Component("gpu:A", "missing", "no meter")
    journal = Journal((*run.journal.components, gpu), run.journal.samples)
    assert "gpu:A" in why(plan, AttemptRecord(run.started_at, run.ended_at, 0, journal))
    instant = AttemptRecord(T0, T0, 0, _attempt(0, 0, 1.0).journal)
    assert "no time" in why(plan, instant)


grids = st.lists(st.integers(0, 900).map(float), min_size=14, max_size=14)
hours = st.floats(0.1, 3)


@given(grids, grids, st.lists(st.tuples(hours, hours), min_size=1, max_size=3), hours, hours,
       st.lists(st.floats(0.0, 5), min_size=1, max_size=4), st.floats(0.1, 5))  # fmt: skip
def test_the_errors_add_up_to_the_difference(
    foretold: list[float],
    actual: list[float],
    plan: list[tuple[float, float]],
    start: float,
    ran: float,
    powers: list[float],
    kw: float,
) -> None:
    spans, at = [], 0.0
    for wait, run in plan:
        spans.append((at + wait / 6, at + wait / 6 + run))
        at = spans[-1][1]
    d = _deviation(_plan(spans, foretold, kw), _attempt(start, ran, powers), actual=actual)
    scale = max(abs(d.planned_g), abs(d.realized_g), 1.0)
    assert sum(_errors(d)) == pytest.approx(d.difference_g, abs=1e-9 * scale)
