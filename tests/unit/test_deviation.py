"""Planned against realized: one cause at a time, then all at once, by hand and by law."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.series import Series, from_unix
from scheduler.models import Deviation, Figures, JobState, Settlement, Site
from scheduler.report import summary
from scheduler.report.schema.totals import JobCost, Totals
from scheduler.sci import AttemptRecord, Expectation, count, resettle, settle
from scheduler.store import values

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
    kind: Any = "actual",
) -> Settlement:
    grid = _series(FLAT if actual is None else actual, kind)
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


BAND = Triple(180.0, 200.0, 230.0)


def test_the_actual_of_the_run_is_held_against_the_plans_band() -> None:
    expected = replace(_plan([(1, 3)], FLAT), band=BAND)
    inside = _deviation(expected, _attempt(1, 2, 1.0), actual=[229.0] * 12)
    assert (inside.band_g_per_kwh, inside.inside_band) == (BAND, True)
    outside = _deviation(expected, _attempt(1, 2, 1.0), actual=[231.0] * 12)
    assert outside.inside_band is False


def test_without_a_calibrated_band_nothing_is_said_of_it() -> None:
    s = _settled(_plan([(1, 3)], FLAT), _attempt(1, 2, 1.0))
    assert s.planned_against_realized is not None
    assert s.planned_against_realized.band_g_per_kwh is None
    assert s.inside_band is None
    assert "not calibrated" in s.nulls["planned_against_realized.inside_band"]


def test_an_estimate_is_not_held_against_the_band() -> None:
    expected = replace(_plan([(1, 3)], FLAT), band=BAND)
    s = _settled(expected, _attempt(1, 2, 1.0), kind="estimate")
    assert s.planned_against_realized is not None
    assert s.planned_against_realized.band_g_per_kwh == BAND
    assert s.inside_band is None
    assert "actual" in s.nulls["planned_against_realized.inside_band"]


def test_sums_say_in_how_many_runs_the_actual_lay_inside() -> None:
    banded = replace(_plan([(1, 3)], FLAT), band=BAND)
    grids = [190.0, 200.0, 210.0, 300.0]
    found = [_settled(banded, _attempt(1, 2, 1.0), actual=[g] * 12) for g in grids]
    found.append(_settled(_plan([(1, 3)], FLAT), _attempt(1, 2, 1.0)))
    sums = Totals()
    for n, s in enumerate(found):
        kept = values.figures(values.figures_text(Figures.of(s)))
        assert kept == values.figures_of(values.settlement_text(s))
        sums.add(JobCost(str(n), JobState.SUCCEEDED, kept))
    said = sums.as_json()["planned_band"]
    assert said == {"runs": 4, "inside": 3, "inside_percent": 75.0, "aim_percent": 80.0}
    assert summary.bands({"planned_band": said}) == (
        "inside the plan's 80 % band: 3 of 4 runs (75 %)"
    )
    none = Totals().as_json()
    assert none["planned_band"]["inside_percent"] is None
    assert "calibrated band" in none["null_reasons"]["planned_band.inside_percent"]


def test_a_settlement_made_once_more_knows_the_band() -> None:
    expected = replace(_plan([(1, 3)], FLAT), band=BAND)
    attempt = _attempt(1, 2, 1.0)
    s = _settled(expected, attempt)
    assert s.evidence is not None
    again = resettle(s.evidence, [attempt.journal], count(()))
    assert again.planned_against_realized == s.planned_against_realized
