"""The window planner on cases that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from providers.base import Triple
from providers.series import Series
from scheduler.planner.choice import Place, Request
from scheduler.planner.window import at, decide

HOUR = 3600.0
ONE = Triple.exact(1.0)
KW = Triple.exact(1000.0)


def _place(
    name: str, values: list[float], *, pue: float = 1.0, step: float = HOUR, m: float | None = None
) -> Place:
    starts = step * np.arange(len(values), dtype=np.float64)
    g = np.array(values, dtype=np.float64)
    known = ~np.isnan(g)
    arrays = (starts[known], starts[known] + step, g[known], g[known], g[known])
    sources = np.array(["s"] * int(known.sum()))
    issued = datetime(2026, 1, 1, tzinfo=UTC)
    series = Series("Z", "average", "forecast", issued, *arrays, sources)
    return Place(name, series, Triple.exact(pue), None if m is None else Triple.exact(m))


def test_the_optimum_may_end_on_an_edge_and_start_within_a_step() -> None:
    """90 minutes ending where the dear hour begins: the start lies at half past."""
    place = _place("a", [500, 100, 50, 900])
    chosen = decide([place], Request(1.5 * HOUR, 0, 3 * HOUR, KW)).chosen
    assert chosen is not None
    assert chosen.start_s == 1.5 * HOUR
    assert chosen.g_per_kwh.value == pytest.approx((0.5 * 100 + 50) / 1.5)
    assert chosen.grams is not None
    assert chosen.grams.value == pytest.approx(100)


def test_a_start_that_is_fixed_is_kept() -> None:
    place = _place("a", [500, 100, 50])
    chosen = decide([place], Request(HOUR, 1800, 1800, KW)).chosen
    assert chosen is not None
    assert chosen.start_s == 1800


def test_a_window_never_spans_a_hole() -> None:
    place = _place("a", [500, 10, np.nan, 10, 500, 500])
    chosen = decide([place], Request(2 * HOUR, 0, 4 * HOUR, KW)).chosen
    assert chosen is not None
    assert chosen.start_s in {0.0, 3 * HOUR}
    assert at(place, 1.5 * HOUR, Request(HOUR, 0, 9 * HOUR, KW), "operational") is None


def test_pue_and_regions_count() -> None:
    cheap_air = _place("cool", [110, 110], pue=1.0)
    clean_grid = _place("clean", [100, 100], pue=1.2)
    chosen = decide([clean_grid, cheap_air], Request(HOUR, 0, HOUR, KW)).chosen
    assert chosen is not None
    assert chosen.region == "cool"


def test_equal_places_go_by_start_then_by_order() -> None:
    later = _place("later", [500, 100, 100])
    early = _place("early", [100, 500, 500])
    same = _place("same", [100, 500, 500])
    chosen = decide([later, early, same], Request(HOUR, 0, 2 * HOUR, KW)).chosen
    assert chosen is not None
    assert chosen.region == "early"


@pytest.mark.parametrize(("share", "starts_later"), [(49.0, True), (50.0, True), (51.0, False)])
def test_a_delay_must_save_its_minimum(share: float, starts_later: bool) -> None:
    place = _place("a", [200, 100])
    decision = decide([place], Request(HOUR, 0, HOUR, KW, min_saving_percent=share))
    assert decision.chosen is not None
    assert (decision.chosen.start_s > 0) == starts_later
    assert decision.rule == ("lowest" if starts_later else "min_saving")


def test_embodied_carbon_counts_only_where_known_everywhere() -> None:
    known = _place("known", [100, 100], m=0.05)
    low_m = _place("low", [120, 120], m=0.0)
    unknown = _place("unknown", [110, 110])
    both = decide([known, low_m], Request(HOUR, 0, HOUR, KW))
    assert both.basis == "total"
    assert both.chosen is not None
    assert both.chosen.region == "low", "180 g of M tip the balance"
    mixed = decide([known, low_m, unknown], Request(HOUR, 0, HOUR, KW))
    assert mixed.basis == "operational"
    assert mixed.chosen is not None
    assert mixed.chosen.region == "known"


def test_without_power_places_are_compared_but_have_no_grams() -> None:
    decision = decide([_place("a", [500, 100], m=1.0)], Request(HOUR, 0, HOUR, None))
    assert decision.chosen is not None
    assert decision.chosen.start_s == HOUR
    assert decision.chosen.grams is None
    assert decision.basis == "operational"


def test_places_without_series_are_never_chosen() -> None:
    decision = decide([Place("dark", None, ONE)], Request(HOUR, 0, HOUR, KW))
    assert decision.chosen is None
    assert decision.per_place == (None,)
    lit = decide([Place("dark", None, ONE), _place("lit", [1, 1])], Request(HOUR, 0, HOUR, KW))
    assert lit.chosen is not None
    assert lit.chosen.region == "lit"


def test_grams_carry_the_bounds_of_power_and_pue() -> None:
    place = Place("a", _place("a", [100, 100]).series, Triple(1.0, 1.1, 1.2))
    chosen = decide([place], Request(HOUR, 0, 0, Triple(500, 1000, 2000))).chosen
    assert chosen is not None
    assert chosen.grams is not None
    assert (chosen.grams.low, chosen.grams.value, chosen.grams.high) == pytest.approx(
        (50, 110, 240)
    )


@pytest.mark.parametrize("bad", [(0, 0, 1), (-1, 0, 1), (1, 2, 1)])
def test_an_impossible_request_is_refused(bad: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="no window"):
        Request(*bad, KW)


def _banded(values: list[float], above: list[float]) -> Place:
    place = _place("a", values)
    assert place.series is not None
    return replace(place, series=replace(place.series, high=np.array(values) + np.array(above)))


@pytest.mark.parametrize(
    ("above", "rule"),
    [
        ([0, 0], "lowest"),
        ([50, 50], "lowest"),  # an error of the level is shared by both
        ([0, 199], "lowest"),
        ([0, 201], "forecast_error"),
        ([30, 229], "lowest"),
        ([30, 231], "forecast_error"),
    ],
)
def test_a_delay_saves_half_of_what_the_later_forecast_is_less_sure(
    above: list[float], rule: str
) -> None:
    decision = decide([_banded([200, 100], above)], Request(HOUR, 0, HOUR, KW))
    assert decision.rule == rule
    assert decision.chosen is not None
    assert decision.chosen.start_s == (HOUR if rule == "lowest" else 0)


@pytest.mark.parametrize(("above", "rule"), [([99, 99], "lowest"), ([101, 101], "cautious")])
def test_a_cautious_delay_pays_even_if_only_the_later_window_is_dirty(
    above: list[float], rule: str
) -> None:
    request = Request(HOUR, 0, HOUR, KW, cautious=True)
    assert decide([_banded([200, 100], above)], request).rule == rule
