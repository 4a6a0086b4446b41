"""Figures for people, the strip, and secrets that never show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from providers.base import Triple
from providers.series import Series
from scheduler.models import Plan, Power, Window
from scheduler.report import strip, units
from scheduler.report.plot import forecast_plot, forecast_table

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _series(values: list[float | None]) -> Series:
    starts = NOW.timestamp() + 3600.0 * np.arange(len(values))
    known = np.array([v is not None for v in values])
    g = np.array([v for v in values if v is not None], dtype=np.float64)
    sources = np.array(["s"] * len(g))
    part = starts[known]
    return Series("DE", "average", "forecast", NOW, part, part + 3600, g, g * 0.9, g * 1.1, sources)


def _plan(saving: float, *, known: bool = True) -> Plan:
    grams = Triple.exact(100 - saving) if known else None
    window = Window("local", NOW + 3 * HOUR, NOW + 4 * HOUR, grams, Triple.exact(318))
    return Plan(
        made_at=NOW,
        window=window,
        run_now=Window("local", NOW, NOW + HOUR, Triple.exact(100) if known else None, None),
        basis="operational",
        signal="average",
        power=Power(Triple.exact(100), "declared"),
        forecast_source="s",
        forecast_issued_at=NOW,
        latest_safe_start=NOW + 20 * HOUR,
        reason="because",
    )


def test_the_strip_is_one_line_with_all_that_matters() -> None:
    line = strip.strip(_series([512, 400, 300, 318, *[500] * 20]), _plan(38), NOW, UTC)
    assert line.startswith("now 512 ")
    assert line.endswith(" 11:00 local 318 g/kWh, -38 %, latest safe start Tue 04:00 (UTC)")
    assert any(block in line for block in strip.BLOCKS)


def test_the_strip_shows_a_loss_as_a_loss_and_leaves_out_the_unknown() -> None:
    assert ", +5 %," in strip.strip(_series([500] * 24), _plan(-5), NOW, UTC)
    line = strip.strip(None, _plan(0, known=False), NOW, UTC)
    assert line.startswith("no forecast 11:00 local")
    assert "%" not in line


def test_holes_in_the_strip_are_blanks() -> None:
    values: list[float | None] = [500.0] * 24
    values[8:12] = [None] * 4
    line = strip.strip(_series(values), _plan(0), NOW, UTC)
    assert "▁ " in line


def test_a_terminal_without_blocks_gets_ascii() -> None:
    line = strip.strip(_series([500, 100] * 12), _plan(0), NOW, UTC, encoding="ascii")
    line.encode("ascii")


def test_a_plot_marks_the_window_and_leaves_holes_open() -> None:
    plan = _plan(10)
    drawn = forecast_plot(_series([500, 400, None, 318, 300]), UTC, window=plan.window)
    assert "window Mon 11:00 in local" in drawn
    assert "#" in drawn
    assert "\x1b" not in drawn, "no colour unless asked"
    table = forecast_table(_series([500.0] * 100), UTC, rows=10)
    assert "one in 10 of 100" in table


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 g"), (0.0098, "9.8 mg"), (318.2, "318 g"), (1240.0, "1.24 kg"), (-5.0, "-5 g")],
)
def test_grams_have_three_digits_and_a_fitting_unit(value: float, shown: str) -> None:
    assert units.grams(value) == shown


def test_energy_and_change() -> None:
    assert units.energy(1.24) == "1.24 kWh"
    assert units.energy(0.0034) == "3.4 Wh"
    assert units.change(38.2) == "-38 %"
    assert units.change(0.2) == "0 %"
    assert units.clock(NOW + 30 * 24 * HOUR, NOW, UTC) == "2026-04-01 08:00"
    assert units.triple(None, units.grams, "no zone") == "unknown: no zone"
