"""What a paused job is compared with: the same work in one unbroken run at release."""

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
HOUR = timedelta(hours=1)
S0 = T0.timestamp()
HARDWARE = Hardware(Triple.exact(1000), 4 * 365 * 24, 10, 0, "test")
SITE = Site("here", "DE", Triple.exact(1.0), "none", None)
GRID = [500.0, 400, 100, 200, 50, 300, 50, 600]


def _series(values: list[float]) -> Series:
    g = np.array(values)
    starts = S0 + 3600.0 * np.arange(len(g))
    sources = np.array(["s"] * len(g))
    return Series("DE", "average", "actual", T0, starts, starts + 3600, g, g, g, sources)


def _attempt(parts: list[tuple[float, float]], start_h: float, **fields: Any) -> AttemptRecord:
    """``parts`` are hours and kW one after the other, from ``start_h`` hours after T0 on."""
    at, joules = S0 + start_h * 3600, 0.0
    samples = [Sample(at, 0, (Reading("cpu", ZERO, ZERO, 0.0),))]
    for hours, kw in parts:
        at += hours * 3600
        joules += kw * hours * 3.6e6
        covered = at - samples[0].at
        samples.append(Sample(at, 0, (Reading("cpu", ZERO, Triple.exact(joules), covered),)))
    journal = Journal((Component("cpu", "measured", "test"),), tuple(samples))
    begun = T0 + start_h * HOUR
    end = T0 + timedelta(seconds=at - S0)
    return AttemptRecord(begun, end, 0, journal, **fields)


def _settle(*attempts: AttemptRecord, site: Site = SITE) -> Settlement:
    return settle(
        attempts=attempts,
        site=site,
        home=site,
        release=T0,
        intensity=_series(GRID),
        home_intensity=_series(GRID),
        provisional=False,
        slots=1,
        gpus=0,
        unit=None,
        work=count(()),
    )


def test_waits_between_segments_are_no_part_of_the_baseline() -> None:
    s = _settle(_attempt([(1, 1)], 2), _attempt([(1, 1)], 4, resumed=True))
    assert s.operational_g is not None
    assert s.operational_g.value == pytest.approx(100 + 50)
    assert s.baseline_g is not None
    assert s.baseline_g.value == pytest.approx(500 + 400)
    assert s.saved_g is not None
    assert s.saved_g.value == pytest.approx(750)


def test_a_reload_costs_the_paused_job_only() -> None:
    first = _attempt([(1, 1)], 2)
    again = _attempt([(0.5, 2), (1, 1)], 4, resumed=True, reload_s=1800)
    s = _settle(first, again)
    assert s.reserved_kwh is not None
    assert s.reserved_kwh.value == pytest.approx(3)
    assert s.operational_g is not None
    assert s.operational_g.value == pytest.approx(100 + 2 * 0.5 * 50 + 0.5 * 50 + 0.5 * 300)
    assert s.baseline_g is not None
    assert s.baseline_g.value == pytest.approx(500 + 400)


def test_what_a_stopped_job_holds_counts_for_it_and_not_for_the_baseline() -> None:
    stops = ((S0 + 3 * 3600, S0 + 4 * 3600),)
    parts: list[tuple[float, float]] = [(1, 1), (1, 0.25), (1, 1)]
    s = _settle(_attempt(parts, 2, stops=stops))
    assert s.operational_g is not None
    assert s.operational_g.value == pytest.approx(100 + 0.25 * 200 + 50)
    assert s.baseline_g is not None
    assert s.baseline_g.value == pytest.approx(500 + 400)


def test_hardware_is_held_for_longer_by_a_job_that_is_stopped() -> None:
    site = Site("here", "DE", Triple.exact(1.0), "none", HARDWARE)
    stops = ((S0 + 3 * 3600, S0 + 4 * 3600),)
    stopped = _settle(_attempt([(1, 1), (1, 0), (1, 1)], 2, stops=stops), site=site)
    whole = _settle(_attempt([(2, 1)], 2), site=site)
    assert stopped.embodied_g is not None
    assert whole.embodied_g is not None
    assert stopped.embodied_g.value == pytest.approx(1.5 * whole.embodied_g.value)
    assert stopped.baseline_g is not None
    assert whole.baseline_g is not None
    assert stopped.baseline_g.value == pytest.approx(whole.baseline_g.value)
    assert stopped.saved_g is not None
    assert stopped.operational_g is not None
    realized = stopped.operational_g.value + stopped.embodied_g.value
    assert stopped.saved_g.value == pytest.approx(stopped.baseline_g.value - realized)


@given(
    st.lists(st.tuples(st.floats(0.1, 0.6), st.floats(0.0, 0.5)), min_size=1, max_size=4),
    st.floats(0.1, 5),
)
def test_however_it_is_cut_the_baseline_is_the_same(
    pieces: list[tuple[float, float]], kw: float
) -> None:
    """Pieces are hours run and hours waited after them; pauses are free."""
    attempts, at = [], 1.0
    for run, wait in pieces:
        attempts.append(_attempt([(run, kw)], at, resumed=bool(attempts)))
        at += run + wait
    cut = _settle(*attempts)
    whole = _settle(_attempt([(sum(run for run, _ in pieces), kw)], 1.0))
    assert cut.baseline_g is not None
    assert whole.baseline_g is not None
    assert cut.baseline_g.value == pytest.approx(whole.baseline_g.value, rel=1e-6)
