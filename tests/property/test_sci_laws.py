"""Laws of settlement: nothing depends on how a journal was cut, and everything adds up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.runner.journal import JournalWriter, read_journal
from providers.series import Series
from scheduler.models import Hardware, Settlement, Site
from scheduler.sci import AttemptRecord, count, settle
from scheduler.sci.uncertainty import ordered

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
T = T0.timestamp()
HARDWARE = Hardware(
    Triple(500, 1000, 2000), 4 * 365 * 24, 8, 8, "test", boards_kg=Triple(50, 100, 300)
)
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


def _cut(journal: Journal, cuts: list[float]) -> Journal:
    """More samples between those that are there, on the line from one to the next.

    ``cuts`` are places as shares of the whole journal.
    """
    samples = list(journal.samples)
    begin, end = samples[0].at, samples[-1].at
    for share in cuts:
        at = begin + share * (end - begin)
        i = next(i for i, s in enumerate(samples) if s.at >= at)
        if samples[i].at > at:
            samples.insert(i, _between(samples[i - 1], samples[i], at))
    return Journal(journal.components, tuple(samples))


def _between(one: Sample, two: Sample, at: float) -> Sample:
    f = (at - one.at) / (two.at - one.at)

    def mixed(a: Triple, b: Triple) -> Triple:
        return ordered(*(x + f * (y - x) for x, y in zip(_ends(a), _ends(b), strict=True)))

    readings = tuple(
        Reading(
            a.component,
            mixed(a.active_j, b.active_j),
            mixed(a.energy_j, b.energy_j),
            a.covered_s + f * (b.covered_s - a.covered_s),
        )
        for a, b in zip(one.readings, two.readings, strict=True)
    )
    return Sample(at, one.cpu_s + f * (two.cpu_s - one.cpu_s), readings)


def _ends(figure: Triple) -> tuple[float, float, float]:
    return figure.low, figure.value, figure.high


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
    journal: Journal | None = None,
) -> Settlement:
    run_s = sum(p[0] for p in parts)
    record = AttemptRecord(T0, T0 + timedelta(seconds=run_s), 0, journal or _journal(parts))
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


@given(increments, intensities, intensities, st.lists(st.floats(0, 1), max_size=5))
def test_more_samples_anywhere_change_nothing(
    parts: list[Any], here: list[int], there: list[int], cuts: list[float]
) -> None:
    journal = _journal(parts)
    one, two = _settle(parts, here, there), _settle(parts, here, there, journal=_cut(journal, cuts))
    for name in ("active_kwh", "reserved_kwh", "operational_g", "embodied_g", "total_g",
                 "baseline_g"):  # fmt: skip
        _close(getattr(one, name), getattr(two, name))
    for a, b in zip(one.components, two.components, strict=True):
        _close(a.energy_kwh, b.energy_kwh)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(increments, intensities, intensities)
def test_recomputed_from_the_journal_on_disk_it_is_the_same_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[Any],
    here: list[int],
    there: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("run")
    journal = _journal(parts)
    writer = JournalWriter(folder, COMPONENTS, {}, journal.samples[0].at)
    for sample in journal.samples[1:]:
        writer.sample(sample.at, sample.cpu_s, sample.readings)
    writer.close()
    first = _settle(parts, here, there, journal=read_journal(folder))
    again = _settle(parts, here, there, journal=read_journal(folder))
    stored = TypeAdapter(Settlement)
    assert again == first
    # Only what was read from disk can name its file as evidence.
    assert replace(first, evidence=None) == replace(_settle(parts, here, there), evidence=None)
    assert stored.validate_json(stored.dump_json(first)) == first
    assert stored.dump_json(again) == stored.dump_json(first)


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
    known = [c.energy_kwh for c in s.components if c.energy_kwh is not None]
    assert sum(e.value for e in known) == pytest.approx(s.reserved_kwh.value, rel=1e-12)
    # Bounds of separate counters do not all lie at one end: never wider than the sum of ends.
    assert s.reserved_kwh.high <= sum(e.high for e in known) * (1 + 1e-12)
    assert s.reserved_kwh.low >= sum(e.low for e in known) * (1 - 1e-12)
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
