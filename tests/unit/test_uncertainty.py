"""How bounds combine: separate counters as the root of their squares, everything else linearly."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import ZERO, Component, Journal, Method, Reading, Sample, Triple
from providers.series import Series
from scheduler.models import Hardware, Settlement, Site
from scheduler.sci import AttemptRecord, count, settle
from scheduler.sci.uncertainty import COUNTER_TOLERANCE, Effect, Part, contributors, total

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SITE = Site("here", "DE", Triple.exact(1.0), "none", None)
KWH = 3.6e6


def _grid(low: float, value: float, high: float) -> Series:
    starts = np.array([T0.timestamp()])
    band = (np.array([x]) for x in (value, low, high))
    return Series("DE", "average", "actual", T0, starts, starts + 7200, *band, np.array(["s"]))


def _settle(
    parts: dict[str, tuple[Method, Triple]], *, grid: Series | None = None, site: Site = SITE
) -> Settlement:
    """One hour; energies in kWh."""
    components = tuple(Component(n, m, "test") for n, (m, _) in parts.items())
    first = tuple(Reading(n, ZERO, ZERO, 0.0) for n in parts)
    last = tuple(Reading(n, ZERO, e.scaled(KWH), 3600.0) for n, (_, e) in parts.items())
    begin = T0.timestamp()
    journal = Journal(components, (Sample(begin, 0, first), Sample(begin + 3600, 0, last)))
    series = _grid(100, 100, 100) if grid is None else grid
    return settle(
        attempts=[AttemptRecord(T0, T0 + timedelta(hours=1), 0, journal)],
        site=site,
        home=site,
        release=T0,
        intensity=series,
        home_intensity=series,
        provisional=False,
        slots=1,
        gpus=0,
        unit=None,
        work=count(()),
    )


def _boards(method: Method, n: int, error: float = 0.05) -> dict[str, tuple[Method, Triple]]:
    return {f"gpu:{i}": (method, Triple(1 - error, 1, 1 + error)) for i in range(n)}


def test_four_counters_are_twice_as_sure_as_one() -> None:
    s = _settle(_boards("measured", 4))
    assert s.reserved_kwh is not None
    assert s.operational_g is not None
    assert s.reserved_kwh.value == 4
    assert s.reserved_kwh.high == pytest.approx(4 + 0.05 * 2)
    assert s.reserved_kwh.low == pytest.approx(4 - 0.05 * 2)
    assert s.operational_g.high == pytest.approx(410)
    assert s.operational_g.low == pytest.approx(390)
    assert s.attempts[0].energy_kwh == s.reserved_kwh


@pytest.mark.parametrize("method", ["modelled", "integrated", "declared"])
def test_what_has_one_cause_adds_linearly(method: Method) -> None:
    s = _settle(_boards(method, 4))
    assert s.operational_g is not None
    assert s.operational_g.high == pytest.approx(420)
    assert s.operational_g.low == pytest.approx(380)


def test_a_counter_is_independent_only_up_to_its_tolerance() -> None:
    """Wider bounds are of unread time or of sharing, which boards have in common."""
    s = _settle(_boards("measured", 4, 0.5))
    assert s.reserved_kwh is not None
    assert s.reserved_kwh.high == pytest.approx(4 + 4 * 0.45 + 2 * COUNTER_TOLERANCE)
    kinds = {c.name: c.kind for c in s.uncertainty}
    assert kinds["gpu:0 energy (measured)"] == "independent"
    beyond = "gpu:0 energy (measured) beyond its tolerance (time not read, sharing, edges)"
    assert kinds[beyond] == "systematic"


def test_one_board_has_the_same_error_over_all_attempts() -> None:
    record = AttemptRecord(T0, T0 + timedelta(hours=1), 0, Journal((), ()))
    one = _settle(_boards("measured", 1))
    assert one.reserved_kwh is not None
    parts = (Component("gpu:0", "measured", "test"),)
    first = (Reading("gpu:0", ZERO, ZERO, 0.0),)
    last = (Reading("gpu:0", ZERO, Triple(0.95, 1, 1.05).scaled(KWH), 3600.0),)
    at = T0.timestamp()
    journal = Journal(parts, (Sample(at, 0, first), Sample(at + 3600, 0, last)))
    series = _grid(100, 100, 100)
    twice = settle(
        attempts=[replace(record, journal=journal)] * 2, site=SITE, home=SITE, release=T0,
        intensity=series, home_intensity=series, provisional=False, slots=1, gpus=0, unit=None,
        work=count(()),
    )  # fmt: skip
    assert twice.reserved_kwh is not None
    assert twice.reserved_kwh.high - twice.reserved_kwh.value == pytest.approx(0.1)
    assert twice.operational_g is not None
    assert twice.operational_g.high == pytest.approx(210)


def test_each_side_is_combined_by_itself() -> None:
    s = _settle({
        "gpu:A": ("measured", Triple(1.0, 1, 1.03)),
        "gpu:B": ("measured", Triple(0.98, 1, 1.04)),
    })  # fmt: skip
    assert s.reserved_kwh is not None
    assert s.reserved_kwh.high == pytest.approx(2.05)
    assert s.reserved_kwh.low == pytest.approx(1.98)


def test_intensity_pue_and_embodied_move_all_parts_together() -> None:
    none = Triple.exact(0)
    hardware = Hardware(Triple(500, 1000, 2000), 4 * 365 * 24, 1, 4, "test", boards_kg=none)
    site = Site("here", "DE", Triple(1.0, 1.2, 1.5), "test", hardware)
    s = _settle(_boards("measured", 4), grid=_grid(80, 100, 150), site=site)
    assert s.operational_g is not None
    assert s.total_g is not None
    assert s.embodied_g is not None
    assert s.operational_g.value == pytest.approx(480)
    assert s.operational_g.high == pytest.approx(1.5 * 150 * 4.1)
    assert s.operational_g.low == pytest.approx(1.0 * 80 * 3.9)
    assert s.total_g.high == pytest.approx(s.operational_g.high + s.embodied_g.high)
    by_name = {c.name: c for c in s.uncertainty}
    assert by_name["carbon intensity (actual)"].high_g == pytest.approx(1.2 * 4 * 50)
    assert by_name["carbon intensity (actual)"].low_g == pytest.approx(1.2 * 4 * 20)
    assert by_name["PUE"].high_g == pytest.approx(0.3 * 400)
    assert by_name["embodied carbon"].low_g == pytest.approx(500e3 / 35040)
    assert by_name["gpu:2 energy (measured)"].high_g == pytest.approx(0.05 * 120)
    assert sum(c.share_percent for c in s.uncertainty) == pytest.approx(100)
    shares = [c.share_percent for c in s.uncertainty]
    assert shares == sorted(shares, reverse=True)
    assert s.largest_uncertainty.startswith("carbon intensity (actual): ")
    assert s.largest_uncertainty.startswith(s.uncertainty[0].name)


def test_without_grams_energies_are_still_ranked() -> None:
    s = _settle({"cpu": ("modelled", Triple(1, 2, 4)), "gpu:A": ("measured", Triple(1, 1, 1.01))},
                grid=_grid(1, 1, 1).clip(0, 1))  # fmt: skip
    assert s.operational_g is None
    assert [c.name for c in s.uncertainty] == ["cpu energy (modelled)", "gpu:A energy (measured)"]
    assert {(c.low_g, c.high_g) for c in s.uncertainty} == {(None, None)}
    assert _settle({"cpu": ("modelled", Triple.exact(1))}).uncertainty == ()


figures = st.tuples(*(st.floats(0, 1e6) for _ in range(3))).map(lambda x: Triple(*sorted(x)))
sums = st.lists(st.builds(Part, figures, st.booleans()), min_size=1, max_size=8)


@given(sums)
def test_a_sum_holds_its_value_within_interval_arithmetic(parts: list[Part]) -> None:
    found = total(parts)
    assert found is not None
    assert found.value == pytest.approx(sum(p.figure.value for p in parts))
    slack = 1e-9 * max(1.0, found.value)
    assert found.low >= sum(p.figure.low for p in parts) - slack
    assert found.high <= sum(p.figure.high for p in parts) + slack
    for p in parts:
        assert found.high - found.value >= p.figure.high - p.figure.value - slack - 1e-6
        assert found.value - found.low >= p.figure.value - p.figure.low - slack - 1e-6


@given(sums)
def test_without_counters_it_is_interval_arithmetic(parts: list[Part]) -> None:
    found = total([p._replace(counted=False) for p in parts])
    assert found is not None
    for bound in ("low", "value", "high"):
        plain = sum(getattr(p.figure, bound) for p in parts)
        assert getattr(found, bound) == pytest.approx(plain, rel=1e-9, abs=1e-9)


@given(st.lists(figures, min_size=1, max_size=6), st.booleans())
def test_contributors_hold_all_of_the_width(terms: list[Triple], counted: bool) -> None:
    found = contributors([Effect(f"c{i}", f, counted) for i, f in enumerate(terms)], grams=True)
    width = sum(c.low_g + c.high_g for c in found if c.low_g is not None and c.high_g is not None)
    assert width == pytest.approx(sum(f.high - f.low for f in terms), rel=1e-6, abs=1e-3)
    for kind in ("low_g", "high_g"):
        assert all(getattr(c, kind) >= 0 for c in found)


def test_nothing_adds_up_to_nothing() -> None:
    assert total([]) is None
