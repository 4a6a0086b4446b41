"""Intensities of different accounting methods are never subtracted from each other or summed up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from support import reports

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.series import Series
from scheduler.models import JobState, Plan, Power, Settlement, Site, Window
from scheduler.report import schema, summary
from scheduler.sci import AttemptRecord, Expectation, Start, count, settle

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SITE = Site("local", "DE", Triple.exact(1.0), "declared", None)
HOME = Site("home", "FR", Triple.exact(1.0), "declared", None)


def series(g: float = 100.0, kind: Any = "actual", **facts: Any) -> Series:
    starts = T0.timestamp() + 3600.0 * np.arange(4)
    values = np.full(4, g)
    stated = {"signal": "average", "factors": "lifecycle", "flow": "consumption"} | facts
    return Series(
        zone="DE", kind=kind, issued_at=T0, starts=starts, ends=starts + 3600, g_per_kwh=values,
        low=values, high=values, sources=np.array(["a grid operator"] * 4), **stated,
    )  # fmt: skip


def settled(home: Series | None, **changes: Any) -> Settlement:
    start, energy = T0 + HOUR, Triple.exact(3.6e6)
    first = Sample(start.timestamp(), 0, (Reading("cpu", ZERO, ZERO, 0.0),))
    last = Sample(start.timestamp() + 3600, 1, (Reading("cpu", energy, energy, 3600.0),))
    journal = Journal((Component("cpu", "measured", "a counter"),), (first, last))
    fields: dict[str, Any] = {
        "attempts": [AttemptRecord(start, start + HOUR, 0, journal)],
        "site": SITE, "home": HOME, "release": T0, "intensity": series(), "home_intensity": home,
        "provisional": False, "slots": 1, "gpus": 0, "unit": None, "work": count([]),
        "first_come": Start(T0, home),
    }  # fmt: skip
    return settle(**fields | changes)


OTHERS = ({"signal": "marginal"}, {"factors": "direct"}, {"flow": "production"}, {"factors": None})


@pytest.mark.parametrize("facts", OTHERS)
def test_a_baseline_of_another_accounting_method_saves_nothing_that_is_known(
    facts: dict[str, Any],
) -> None:
    s = settled(series(500.0, **facts))
    report = schema.report_json(reports.job(), s)
    for name in ("baseline_g", "saved_g", "saved_percent"):
        assert report[name] is None
        assert report["first_come"][name] is None
        for path in (name, f"first_come.{name}"):
            assert "another accounting method" in report["null_reasons"][path]
    assert settled(series(500.0)).saved_g == Triple.exact(400.0)


@pytest.mark.parametrize("facts", OTHERS)
def test_a_plan_and_its_run_of_other_methods_are_not_compared(facts: dict[str, Any]) -> None:
    began = T0.timestamp()
    plan = Expectation(((began, began + 3600),), 1000.0, series(kind="forecast", **facts))
    s = settled(series(), expected=plan)
    assert s.planned_against_realized is None
    assert "never compared" in s.nulls["planned_against_realized"]


def _window(region: str, grams: float, told: str) -> Window:
    return Window(region, T0, T0 + HOUR, Triple.exact(grams), Triple.exact(grams), told=told)


def test_a_plan_on_another_method_than_its_start_at_release_saves_nothing_that_is_known() -> None:
    here = _window("local", 100, "average, lifecycle, consumption")
    there = _window("other", 10, "average, direct, consumption")
    plan = Plan(
        T0, there, here, "operational", "average", Power(Triple.exact(1000), "declared"), "s", T0,
        None, "because", alternatives=(here,),
    )  # fmt: skip
    assert plan.saving_percent is None
    assert replace(plan, window=replace(there, told=here.told)).saving_percent == pytest.approx(90)
    row = schema.ranked_json(there, plan, {}, {})
    assert row["saving_percent"] is None
    assert "never subtracted" in row["null_reasons"]["saving_percent"]


def test_jobs_on_several_signals_have_no_sum_of_grams() -> None:
    average = settled(series(500.0))
    marginal = {name: series(g, signal="marginal") for name, g in (("a", 100.0), ("b", 500.0))}
    other = settled(marginal["b"], intensity=marginal["a"])
    one, two = reports.job("aaaaaaaa"), reports.job("bbbbbbbb")
    sums = schema.totals([(one, average), (two, other)])
    for name in ("operational_g", "baseline_g", "saved_g", "saved_percent"):
        assert sums[name] is None
        assert "1 on average, 1 on marginal" in sums["null_reasons"][name]
    assert sums["energy_kwh"]["reserved"]["value"] == pytest.approx(2.0)
    assert schema.totals([(one, average), (two, average)])["saved_g"]["value"] == 800.0


def test_totals_name_the_jobs_that_a_sum_lacks_and_failures_save_nothing() -> None:
    known = settled(series(500.0))
    pairs = [
        (reports.job("aaaaaaaa"), known),
        (reports.job("bbbbbbbb", state=JobState.FAILED), known),
        (reports.job("cccccccc", state=JobState.CANCELLED), known),
        (reports.job("dddddddd"), settled(None)),
        (reports.job("eeeeeeee"), None),
    ]
    sums = schema.totals(pairs)
    assert sums["saved_g"]["value"] == 400.0
    assert sums["unsuccessful"]["job_ids"] == ["bbbbbbbb", "cccccccc"]
    assert sums["unsuccessful"]["saved_g"]["value"] == 800.0
    assert sums["operational_g"]["value"] == 400.0, "their emissions count"
    assert sums["left_out"]["saved_g"] == ["dddddddd", "eeeeeeee"]
    assert sums["left_out"]["operational_g"] == ["eeeeeeee"]
    assert sums["jobs_without"]["saved_g"] == 2
    shown = summary.table(summary.summarize(pairs, None))
    assert "dddddddd" in shown
    assert "800 g of 2 job(s)" in shown


def test_a_saving_on_an_estimate_is_called_one_in_every_view() -> None:
    guess = series(kind="estimate")
    s = settled(series(500.0, kind="estimate"), intensity=guess)
    report = schema.report_json(reports.job(), s)
    assert report["saving_estimated"] is True
    assert report["first_come"]["estimated"] is True
    assert schema.totals([(reports.job(), s)])["saving_estimated"] is True
