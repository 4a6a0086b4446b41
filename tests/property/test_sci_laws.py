"""Laws of settlement: nothing depends on how a journal was cut, and everything adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.series import Series
from scheduler.models import Hardware, Settlement, Site
from scheduler.sci import AttemptRecord, count, settle

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
T = T0.timestamp()
HARDWARE = Hardware(Triple(500, 1000, 2000), 4 * 365 * 24, 8, 0, "test")
SITE = Site("here", "Z", Triple(1.0, 1.1, 1.3), "test", HARDWARE)
HOME = Site("home", "H", Triple(1.2, 1.4, 1.5), "test", HARDWARE)


def _series(values: list[int], zone: str = "Z", band: float = 0.2) -> Series:
    g = np.array(values, dtype=np.float64)
    starts = T - 7200 + 600.0 * np.arange(len(g))
    sources = np.array(["s"] * len(g))
    low, high = g * (1 - band), g * (1 + band)
    return Series(zone, "average", "actual", T0, starts, starts + 600, g, low, high, sources)


# Increments: seconds, and joules of (cpu, gpu) as (low, extra to value, extra to high).
joules = st.tuples(*(st.integers(0, 50_000) for _ in range(3)))
increments = st.lists(st.tuples(st.integers(1, 900), joules, joules), min_size=1, max_size=6)
intensities = st.lists(st.integers(0, 900), min_size=60, max_size=60)

COMPONENTS = (
    Component("cpu", "modelled", "model", 50.0),
    Component("gpu:A", "measured", "counter", 300.0),
)


def _journal(parts: list[tuple[float, Any, Any]], start: float = T) -> Journal:
    totals = np.zeros((2, 3))
    at, elapsed = start, 0.0
    readings = tuple(Reading(c.name, ZERO, ZERO, 0.0) for c in COMPONENTS)
    samples = [Sample(at, 0.0, readings)]
    for seconds, cpu, gpu in parts:
        at, elapsed = at + seconds, elapsed + seconds
        for i, (low, more, most) in enumerate((cpu, gpu)):
            totals[i] += (low, low + more, low + more + most)
        readings = tuple(
            Reading(c.name, Triple(*(totals[i] / 2)), Triple(*totals[i]), elapsed)
            for i, c in enumerate(COMPONENTS)
        )
        samples.append(Sample(at, elapsed, readings))
    return Journal(COMPONENTS, tuple(samples))


def _split(parts: list[tuple[float, Any, Any]], share: float) -> list[tuple[float, Any, Any]]:
    """Every increment cut in two, energy in proportion to time."""
    return [
        (seconds * f, tuple(x * f for x in cpu), tuple(x * f for x in gpu))
        for seconds, cpu, gpu in parts
        for f in (share, 1 - share)
    ]


def _settle(
    parts: list[tuple[float, Any, Any]],
    here: list[int],
    there: list[int],
    *,
    site: Site = SITE,
    home: Site = HOME,
    wait_s: float = 0.0,
) -> Settlement:
    run_s = sum(p[0] for p in parts)
    record = AttemptRecord(T0, T0 + timedelta(seconds=run_s), 0, _journal(parts))
    return settle(
        attempts=[record],
        site=site,
        home=home,
        release=T0 - timedelta(seconds=wait_s),
        intensity=_series(here),
        home_intensity=_series(there, "H"),
        provisional=False,
        slots=1,
        gpus=0,
        unit=None,
        work=count(()),
    )


def _close(a: Triple | None, b: Triple | None) -> None:
    assert a is not None
    assert b is not None
    assert (a.low, a.value, a.high) == pytest.approx((b.low, b.value, b.high), rel=1e-6, abs=1e-9)


@given(increments, intensities, intensities, st.sampled_from([0.1, 0.5, 0.75]))
def test_splitting_samples_changes_nothing(
    parts: list[Any], here: list[int], there: list[int], share: float
) -> None:
    """An increment cut where the intensity does not change leaves every figure as it was.

    Intensities that change within an increment see its energy spread evenly, before and after.
    """
    one, two = _settle(parts, here, there), _settle(_split(parts, share), here, there)
    _close(one.operational_g, two.operational_g)
    _close(one.reserved_kwh, two.reserved_kwh)
    _close(one.baseline_g, two.baseline_g)
    _close(one.embodied_g, two.embodied_g)


@given(increments, intensities, intensities)
def test_bounds_contain_the_value_and_parts_add_up(
    parts: list[Any], here: list[int], there: list[int]
) -> None:
    s = _settle(parts, here, there)
    for figure in (
        s.active_kwh, s.reserved_kwh, s.operational_g, s.embodied_g, s.total_g, s.baseline_g,
        s.saved_g, s.sci_g_per_unit,
    ):  # fmt: skip
        assert figure is not None
        assert figure.low <= figure.value <= figure.high
    assert s.reserved_kwh is not None
    for bound in ("low", "value", "high"):
        total = sum(getattr(c.energy_kwh, bound) for c in s.components)
        assert total == pytest.approx(getattr(s.reserved_kwh, bound), rel=1e-12)
    assert s.operational_g is not None
    if s.intensity is not None:
        expected = s.reserved_kwh.value * s.intensity.g_per_kwh.value * s.pue.value
        assert s.operational_g.value == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(increments, intensities, intensities)
def test_saved_is_baseline_minus_realized(
    parts: list[Any], here: list[int], there: list[int]
) -> None:
    s = _settle(parts, here, there, wait_s=3600)
    assert s.baseline_g is not None
    assert s.saved_g is not None
    assert s.total_g is not None
    difference = s.baseline_g.value - s.total_g.value
    assert s.saved_g.value == pytest.approx(difference, rel=1e-6, abs=1e-6)


@given(increments, intensities)
def test_at_home_and_at_once_nothing_is_saved_and_nothing_lost(
    parts: list[Any], here: list[int]
) -> None:
    s = _settle(parts, here, here, home=SITE)
    assert s.saved_g == ZERO
    _close(s.baseline_g, s.total_g)


@given(increments, intensities, st.sampled_from([2, 3]))
def test_twice_the_intensity_is_twice_the_carbon(
    parts: list[Any], here: list[int], factor: int
) -> None:
    one = _settle(parts, here, here).operational_g
    more = _settle(parts, [factor * g for g in here], here).operational_g
    assert one is not None
    assert more is not None
    assert more.value == pytest.approx(factor * one.value, rel=1e-9)
