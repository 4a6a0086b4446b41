"""Laws of the window planner, against brute force on small cases."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Triple
from providers.series import Series
from scheduler.planner.choice import Decision, Place, Request
from scheduler.planner.window import at, decide

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = 60.0


def _series(steps: list[tuple[int, int, int]]) -> Series:
    """Steps of (hole before, length, g/kWh), in minutes."""
    starts, ends, values, t = [], [], [], 0
    for hole, length, value in steps:
        t += hole
        starts.append(t * MINUTE)
        t += length
        ends.append(t * MINUTE)
        values.append(float(value))
    g = np.array(values)
    sources = np.array(["x"] * len(g))
    arrays = (np.array(starts), np.array(ends), g, g * 0.9, g * 1.1)
    return Series("Z", "average", "forecast", ISSUED, *arrays, sources)


steps = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 0, 1, 4]), st.sampled_from([1, 2, 3, 5]), st.integers(0, 900)
    ),
    min_size=1,
    max_size=9,
)
places = st.lists(
    st.builds(
        lambda s, pue, m, i: Place(
            f"r{i}",
            _series(s),
            Triple.exact(pue),
            None if m is None else Triple.exact(m),
        ),
        steps,
        st.sampled_from([1.0, 1.1, 1.6]),
        st.sampled_from([None, 0.0, 0.001, 0.1]),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=4,
)
requests = st.builds(
    lambda d, e, slack, m: Request(d * MINUTE, e * MINUTE, (e + slack) * MINUTE, W, m),
    st.integers(1, 9),
    st.integers(0, 8),
    st.integers(0, 25),
    st.sampled_from([0.0, 0.0, 10.0, 60.0]),
)
W = Triple(900.0, 1000.0, 1100.0)


def _brute_force(found: list[Place], request: Request, basis: str) -> float | None:
    """The lowest grams over starts at every half minute: holds every edge of these cases."""
    best = None
    start = request.earliest_s
    while start <= request.latest_s:
        for place in found:
            choice = at(place, start, request, basis)  # type: ignore[arg-type]
            if choice is not None and (best is None or choice.score < best):
                best = choice.score
        start += MINUTE / 2
    return best


@given(places, requests)
def test_the_choice_is_the_optimum(found: list[Place], request: Request) -> None:
    free = Request(request.duration_s, request.earliest_s, request.latest_s, request.power_w)
    decision = decide(found, free)
    best = _brute_force(found, free, decision.basis)
    if best is None:
        assert decision.chosen is None
        assert decision.rule == "no_series"
    else:
        assert decision.chosen is not None
        assert decision.chosen.score == pytest.approx(best, rel=1e-9, abs=1e-9)


@given(places, requests)
def test_the_start_lies_within_bounds_and_no_hole_is_touched(
    found: list[Place], request: Request
) -> None:
    decision = decide(found, request)
    for choice in (*decision.per_place, decision.chosen):
        if choice is not None:
            assert request.earliest_s <= choice.start_s <= request.latest_s
            assert choice.end_s == choice.start_s + request.duration_s
    for place, choice in zip(found, decision.per_place, strict=True):
        if choice is not None:
            assert place.series is not None
            assert place.series.gaps(choice.start_s, choice.end_s) == []


@given(places, requests)
def test_never_worse_than_starting_at_release(found: list[Place], request: Request) -> None:
    decision = decide(found, request)
    now = [at(p, request.earliest_s, request, decision.basis) for p in found]
    for choice in now:
        if choice is not None:
            assert decision.chosen is not None
            assert decision.chosen.score <= choice.score * (1 + 1e-9)


@given(places, requests, st.integers(1, 20))
def test_more_slack_or_regions_are_never_worse(
    found: list[Place], request: Request, more: int
) -> None:
    def score(d: Decision) -> float:
        return float("inf") if d.chosen is None else d.chosen.score

    less = Request(request.duration_s, request.earliest_s, request.latest_s, W)
    wide = Request(request.duration_s, request.earliest_s, request.latest_s + more * MINUTE, W)
    one = decide(found, less, "operational")
    assert score(decide(found, wide, "operational")) <= score(one) * (1 + 1e-9)
    fewer = decide(found[:1], less, "operational")
    assert score(one) <= score(fewer) * (1 + 1e-9)


@given(places, requests)
def test_the_same_question_has_the_same_answer(found: list[Place], request: Request) -> None:
    assert decide(found, request) == decide(found, request)


@given(steps, requests, st.sampled_from([0.5, 2.0, 4.0]))
def test_scaling_intensities_scales_grams_and_moves_nothing(
    shape: list[tuple[int, int, int]], request: Request, factor: float
) -> None:
    series = _series(shape)
    scaled = Series(
        "Z", "average", "forecast", ISSUED, series.starts, series.ends,
        series.g_per_kwh * factor, series.low * factor, series.high * factor, series.sources,
    )  # fmt: skip
    a = decide([Place("r", series, Triple.exact(1.0))], request).chosen
    b = decide([Place("r", scaled, Triple.exact(1.0))], request).chosen
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert b.start_s == a.start_s
        assert b.score == pytest.approx(a.score * factor)


@given(steps, requests)
def test_of_equal_windows_the_earliest_is_taken(
    shape: list[tuple[int, int, int]], request: Request
) -> None:
    flat = _series([(0, length, 100) for _, length, _ in shape])
    chosen = decide([Place("r", flat, Triple.exact(1.0))], request).chosen
    if chosen is not None:
        assert chosen.start_s == request.earliest_s
