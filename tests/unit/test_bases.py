"""Intensities told on different bases are never chosen between on a small gap."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from providers.base import Triple
from providers.series import Factors, Flow, Series, Signal
from scheduler.planner.bases import comparable
from scheduler.planner.choice import Place, Request

NOW = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = 3600.0
REQUEST = Request(HOUR, 0.0, 6 * HOUR, Triple.exact(100.0))


def _place(
    name: str,
    g_per_kwh: float,
    factors: Factors | None = "lifecycle",
    flow: Flow | None = "consumption",
    signal: Signal = "average",
) -> Place:
    starts = HOUR * np.arange(8.0)
    values = np.full(8, g_per_kwh)
    series = Series(
        name,
        signal,
        "forecast",
        NOW,
        starts,
        starts + HOUR,
        values,
        values,
        values,
        np.full(8, "x"),
        factors,
        flow,
    )
    return Place(name, series, Triple.exact(1.0))


def _names(*places: Place) -> list[str]:
    return [places[i].region for i in comparable(places, REQUEST, "operational")]


def test_one_basis_leaves_the_choice_as_it_is() -> None:
    assert _names(_place("a", 100), _place("b", 99)) == ["a", "b"]


@pytest.mark.parametrize("g_per_kwh", [76.0, 99.0, 500.0])
def test_another_basis_is_not_chosen_on_a_gap_below_a_quarter(g_per_kwh: float) -> None:
    assert _names(_place("a", 100), _place("b", g_per_kwh, "direct")) == ["a"]
    assert _names(_place("a", 100), _place("b", g_per_kwh, flow="production")) == ["a"]


def test_another_basis_is_chosen_where_it_is_lower_by_more() -> None:
    assert _names(_place("a", 100), _place("b", 67, "direct"), _place("c", 90)) == ["b"]


def test_two_others_are_not_chosen_between_on_a_small_gap_either() -> None:
    places = (_place("a", 100), _place("b", 70, "direct"), _place("c", 60, flow="production"))
    assert _names(*places) == ["b"]


def test_another_signal_is_never_chosen_over_the_first() -> None:
    assert _names(_place("a", 100), _place("b", 1, signal="marginal")) == ["a"]


def test_places_of_which_nothing_is_known_stay() -> None:
    unknown = replace(_place("u", 1), series=None)
    assert _names(unknown, _place("a", 100), _place("b", 90, "direct")) == ["u", "a"]
