"""A series is a step function with honest holes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from providers.base import Triple
from providers.series import Series, SourceInfo, empty, flat, from_unix, to_unix

NOW = datetime(2026, 3, 2, tzinfo=UTC)
INFO = SourceInfo("one", "one value", "average", None, None, "none", None, None, False, False)


def _series(*intervals: tuple[float, float, float], source: str = "a", band: float = 0.0) -> Series:
    starts, ends, values = (
        np.array(column, dtype=np.float64) for column in zip(*intervals, strict=True)
    )
    sources = np.array([source] * len(intervals))
    low, high = values - band, values + band
    return Series("DE", "average", "forecast", NOW, starts, ends, values, low, high, sources)


@pytest.mark.parametrize(
    "intervals",
    [
        [(0, 10, 1.0), (5, 15, 1.0)],
        [(10, 20, 1.0), (0, 10, 1.0)],
        [(0, 0, 1.0)],
        [(10, 0, 1.0)],
        [(0, 10, float("nan"))],
        [(0, 10, float("inf"))],
    ],
    ids=["overlap", "unsorted", "no length", "backwards", "not a number", "infinite"],
)
def test_a_series_that_is_no_step_function_cannot_be_made(
    intervals: list[tuple[float, float, float]],
) -> None:
    with pytest.raises(ValueError, match="overlap, run backwards or hold no number"):
        _series(*intervals)


def test_bounds_that_do_not_hold_the_value_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="DE"):
        _series((0, 10, 1.0), band=-0.5)


def test_arrays_of_unequal_length_cannot_be_made() -> None:
    whole = _series((0, 10, 1.0), (10, 20, 2.0))
    with pytest.raises(ValueError, match=r"unequal length \[1, 2\]"):
        replace(whole, g_per_kwh=np.array([1.0]))


def test_clip_cuts_intervals_at_both_ends() -> None:
    part = _series((0, 10, 1.0), (10, 20, 2.0), (30, 40, 3.0)).clip(5, 35)
    assert part.starts.tolist() == [5, 10, 30]
    assert part.ends.tolist() == [10, 20, 35]
    assert part.g_per_kwh.tolist() == [1, 2, 3]


@pytest.mark.parametrize("span", [(5, 5), (7, 3), (20, 30), (-9, 0)])
def test_clip_to_a_span_without_length_or_data_is_empty(span: tuple[float, float]) -> None:
    assert len(_series((0, 20, 1.0)).clip(*span)) == 0


def test_the_mean_is_weighted_by_time_and_carries_the_band() -> None:
    series = _series((0, 10, 100.0), (10, 40, 200.0), band=10.0)
    assert series.mean(0, 40) == Triple(165.0, 175.0, 185.0)
    assert series.mean(5, 15) == Triple(140.0, 150.0, 160.0)


def test_the_mean_over_a_hole_is_unknown_and_not_the_mean_of_the_rest() -> None:
    series = _series((0, 10, 100.0), (20, 30, 200.0))
    assert series.mean(0, 30) is None
    assert series.mean(25, 31) is None
    assert series.mean(5, 5) is None
    assert series.mean(0, 10) == Triple.exact(100.0)


def test_the_integral_stands_still_over_a_hole_and_past_the_end() -> None:
    series = _series((10, 20, 100.0), (30, 40, 200.0))
    times = np.array([0.0, 10, 15, 20, 25, 30, 35, 40, 99])
    assert series.integral(times).tolist() == [0, 0, 500, 1000, 1000, 1000, 2000, 3000, 3000]
    assert series.covered(times).tolist() == [0, 0, 5, 10, 10, 10, 15, 20, 20]


def test_an_empty_series_knows_nothing() -> None:
    nothing = empty("DE", "average", "actual", NOW)
    assert nothing.integral(np.array([0.0, 9.0])).tolist() == [0, 0]
    assert nothing.gaps(0, 9) == [(0, 9)]
    assert nothing.mean(0, 9) is None
    assert nothing.source == "none"


def test_gaps_are_named_at_the_edges_and_inside() -> None:
    series = _series((10, 20, 1.0), (30, 40, 1.0))
    assert series.gaps(0, 50) == [(0, 10), (20, 30), (40, 50)]
    assert series.gaps(12, 35) == [(20, 30)]
    assert series.gaps(12, 12) == []


def test_filling_cuts_to_fit_and_keeps_who_told_what() -> None:
    first = _series((10, 20, 1.0), (30, 40, 2.0), source="first")
    filled = first.fill_from(_series((0, 15, 7.0), (15, 60, 8.0), source="second"))
    assert filled.starts.tolist() == [0, 10, 20, 30, 40]
    assert filled.ends.tolist() == [10, 20, 30, 40, 60]
    assert filled.g_per_kwh.tolist() == [7, 1, 8, 2, 8]
    assert filled.sources.tolist() == ["second", "first", "second", "first", "second"]
    assert filled.source == "second + first"


def test_filling_from_nothing_or_into_nothing_gives_the_other_one() -> None:
    series = _series((0, 10, 1.0))
    nothing = empty("DE", "average", "forecast", NOW - timedelta(hours=1))
    assert series.fill_from(nothing) is series
    filled = nothing.fill_from(series)
    assert filled.g_per_kwh.tolist() == [1.0]
    assert filled.issued_at == nothing.issued_at


def test_a_series_filled_on_another_basis_states_no_basis_for_the_whole() -> None:
    lifecycle = replace(_series((0, 10, 1.0)), factors="lifecycle", flow="consumption")
    direct = replace(_series((0, 20, 2.0)), factors="direct", flow="consumption")
    mixed = lifecycle.fill_from(direct)
    assert (mixed.factors, mixed.flow) == (None, "consumption")
    assert lifecycle.fill_from(lifecycle).factors == "lifecycle"


def test_told_changes_the_statement_and_not_the_values() -> None:
    series = _series((0, 10, 1.0))
    later = series.told(NOW + timedelta(hours=1), "actual")
    assert (later.kind, later.issued_at) == ("actual", NOW + timedelta(hours=1))
    assert later.g_per_kwh is series.g_per_kwh


def test_a_flat_series_is_one_interval_or_empty() -> None:
    band = Triple(90.0, 100.0, 120.0)
    one = flat(INFO, "DE", NOW, NOW + timedelta(hours=3), NOW, band)
    assert one.mean(NOW.timestamp(), NOW.timestamp() + 9000) == band
    assert one.source == "one"
    assert len(flat(INFO, "DE", NOW, NOW, NOW, band)) == 0


def test_times_go_to_unix_seconds_and_back_and_naive_ones_are_refused() -> None:
    moment = datetime(2026, 3, 29, 3, 30, tzinfo=timezone(timedelta(hours=2)))
    assert from_unix(to_unix(moment)) == moment
    assert from_unix(to_unix(moment)).utcoffset() == timedelta(0)
    with pytest.raises(ValueError, match="has no offset"):
        to_unix(datetime(2026, 3, 29, 3, 30))  # noqa: DTZ001 - a naive time is the claim
