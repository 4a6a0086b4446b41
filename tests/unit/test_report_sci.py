"""The SCI report in its three views: all say the same, and a loss is shown as a loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.series import Series
from scheduler.models import Hardware, Job, JobSpec, JobState, Plan, Power, Settlement, Site, Window
from scheduler.report import group, markdown, schema, summary, terminal
from scheduler.sci import AttemptRecord, Expectation, Start, boundary, count, methodology, settle

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HARDWARE = Hardware(
    Triple(500, 1000, 2000), 4 * 365 * 24, 10, 1, "a data sheet", boards_kg=Triple.exact(0)
)
SITE = Site("local", "DE", Triple(1.1, 1.2, 1.3), "declared by the operator", HARDWARE)
RISING = [100.0, 100.0, 300.0, 300.0]
Make = Callable[..., Job]


def _series(values: list[float], kind: Any = "actual") -> Series:
    g = np.array(values)
    starts = T0.timestamp() + 3600.0 * np.arange(len(g))
    sources = np.array(["a grid operator"] * len(g))
    return Series("DE", "average", kind, T0, starts, starts + 3600, g, 0.9 * g, 1.2 * g, sources)


def _journal(start: datetime, parts: tuple[str, ...] = ("cpu", "gpu:A")) -> Journal:
    components = tuple(Component(n, "measured", f"counter of {n}") for n in parts)
    at = start.timestamp()
    energy = Triple(0.9, 1.0, 1.1).scaled(3.6e6)
    first = tuple(Reading(n, ZERO, ZERO, 0.0) for n in parts)
    last = tuple(Reading(n, energy.scaled(0.5), energy, 3600.0) for n in parts)
    return Journal(components, (Sample(at, 0, first), Sample(at + 3600, 1800, last)))


def settled(
    late_h: int = 2, lines: tuple[tuple[str, float], ...] = (), **changes: Any
) -> Settlement:
    """An hour at 2 kW, begun ``late_h`` hours after release."""
    start = T0 + late_h * HOUR
    fields: dict[str, Any] = {
        "attempts": [AttemptRecord(start, start + HOUR, 0, _journal(start))],
        "site": SITE,
        "home": SITE,
        "release": T0,
        "intensity": _series(RISING),
        "home_intensity": _series(RISING),
        "provisional": False,
        "slots": 1,
        "gpus": 0,
        "unit": None,
        "work": count(lines),
        "first_come": Start(T0, _series(RISING)),
        "step_s": 3600.0,
    }
    return settle(**(fields | changes))


@pytest.fixture
def make_job(make_spec: Callable[..., JobSpec]) -> Make:
    def make(job_id: str = "j", state: JobState = JobState.SUCCEEDED, **spec: Any) -> Job:
        window = Window("local", T0, T0 + HOUR, Triple.exact(200), Triple.exact(100))
        plan = Plan(
            made_at=T0, window=window, run_now=window, basis="operational", signal="average",
            power=Power(Triple.exact(2000), "declared"), forecast_source="s",
            forecast_issued_at=T0, latest_safe_start=None, reason="because",
        )  # fmt: skip
        return Job(
            job_id, make_spec(**spec), state, 1, "local", plan, T0 + 2 * HOUR, T0 + 3 * HOUR,
            False, "exit code 0",
        )  # fmt: skip

    return make


def _views(job: Job, s: Settlement) -> dict[str, str]:
    document = schema.report_json(job, s)
    return {
        "terminal": terminal.report(job, s, tz=UTC),
        "markdown": markdown.report(job, s, tz=UTC),
        "json": json.dumps(document, allow_nan=False),
    }


def test_a_loss_is_a_loss_in_every_view(make_job: Make) -> None:
    """It was put off from 100 to 300 g/kWh: 2 kWh x 200 x 1.2 more than at release."""
    job, s = make_job(), settled()
    assert s.saved_g is not None
    assert s.saved_g.value == pytest.approx(-480)
    views = _views(job, s)
    assert "-480 g" in views["terminal"]
    assert "(-198 %)" in views["terminal"]
    assert "-480 g" in views["markdown"]
    document = json.loads(views["json"])
    assert document["saved_g"]["value"] == pytest.approx(-480)
    assert document["saved_percent"] == pytest.approx(-197.7, abs=0.1)
    pairs = [(job, s), (job, s)]
    sums = schema.totals(pairs)
    assert sums["saved_g"]["value"] == pytest.approx(-960)
    assert sums["saved_percent"] == pytest.approx(-197.7, abs=0.1)
    assert "-960 g (-198 %)" in summary.table(summary.summarize(pairs, None))
    assert "-960 g" in group.table("sweep", pairs)


def test_boundary_and_methodology_are_the_same_in_every_view(make_job: Make) -> None:
    job, s = make_job(), settled()
    views, limits = _views(job, s), boundary(s)
    document = json.loads(views["json"])
    assert document["boundary"] == {"in": list(limits.inside), "out": list(limits.outside)}
    assert document["methodology"] == list(methodology(s))
    for text in (*limits.inside, *limits.outside, *methodology(s)):
        assert text in views["terminal"]
        assert text in views["markdown"]


def test_boundary_and_methodology_say_what_was_used_and_nothing_else() -> None:
    whole = settled()
    text = " ".join((*boundary(whole).inside, *methodology(whole)))
    for used in ("cpu, gpu:A", "counter of gpu:A", "a grid operator", "PUE 1.2", "TiR", "1 value "):
        assert used in text
    bare = replace(SITE, pue=Triple.exact(1.0), pue_source="at home", hardware=None)
    less = settled(site=bare, home=bare)
    inside, outside = (" ".join(part) for part in boundary(less))
    assert "embodied" not in inside
    assert "embodied" in outside
    assert "PUE 1: at home" in outside
    assert "not an SCI" in " ".join(methodology(less))
    assert "TiR" not in " ".join(methodology(less))
    unread = _journal(T0)
    missing = Component("gpu:B", "missing", "no meter")
    unread = replace(unread, components=(*unread.components, missing))
    part = settled(attempts=[AttemptRecord(T0, T0 + HOUR, 0, unread)] * 2)
    assert "gpu:B" not in " ".join(boundary(part).inside)
    assert "gpu:B, which was held but not read" in boundary(part).outside
    assert any("all 2 attempts" in line for line in boundary(part).inside)


def test_without_grid_or_energy_nothing_is_claimed_in_words_either() -> None:
    dark = settled(intensity=None, home_intensity=None, no_intensity_reason="no zone")
    assert "g/kWh" not in " ".join(methodology(dark))
    assert "no score: no zone" in " ".join(methodology(dark))
    nothing = settled(attempts=[AttemptRecord(T0, T0 + HOUR, 0, Journal((), ()))])
    assert "nothing was metered" in methodology(nothing)[0]
    assert {r.met for r in nothing.conformance if r.rule.startswith("the SCI is")} == {"not_met"}


def test_sci_for_ai_is_scored_per_unit_and_scaled_for_people(make_job: Make) -> None:
    lines = (("flop", 2e15), ("token", 5e5), ("tokens", 5e5), ("parameters", 7e9))
    s = settled(unit="flop", lines=lines)
    assert s.total_g is not None
    assert (s.unit, s.unit_count) == ("flops", 2e15)
    document = schema.report_json(make_job(), s)
    scores = {u["name"]: u["sci_g_per_unit"]["value"] for u in document["functional_units"]}
    total = s.total_g.value
    assert scores == pytest.approx(
        {"flops": total / 2e15, "tokens": total / 1e6, "parameters": total / 7e9}
    )
    assert document["functional_unit"] == {"name": "flops", "count": 2e15}
    assert document["sci_g_per_unit"]["value"] == pytest.approx(total / 2e15)
    shown = terminal.report(make_job(), s, tz=UTC)
    assert "CO2e per 1e15 FLOP" in shown
    assert "CO2e per million tokens" in shown
    assert "CO2e per billion parameters" in shown
    assert "per epochs" in terminal.report(
        make_job(), settled(unit="epochs", lines=(("epochs", 2.0),)), tz=UTC
    )


def test_the_sound_example_of_sci_for_ai() -> None:
    """200,000 kg over 5e22 FLOP: 4 g per 1e15 (the specification's own figure is per 1e18)."""
    from scheduler.report.units import per_unit

    assert per_unit("flops", Triple.exact(2e8 / 5e22)) == "4 g CO2e per 1e15 FLOP"


def test_units_that_count_nothing_have_no_score_and_a_reason(make_job: Make) -> None:
    s = settled(lines=(("epochs", 0.0),))
    document = schema.report_json(make_job(), s)
    assert document["functional_units"] == [
        {"name": "epochs", "count": 0.0, "sci_g_per_unit": None}
    ]
    assert "not above zero" in document["null_reasons"]["functional_units.0.sci_g_per_unit"]


def test_metrics_are_shown_and_are_no_units(make_job: Make) -> None:
    s = settled(lines=(("metric.accuracy", 0.5), ("metric.accuracy", 0.97)))
    document = schema.report_json(make_job(), s)
    assert document["metrics"] == {"accuracy": 0.97}
    assert document["functional_units"] == []
    assert "accuracy 0.97" in terminal.report(make_job(), s, tz=UTC)


def test_the_deviation_is_told_with_its_parts_or_its_reason(make_job: Make) -> None:
    plan = Expectation(
        ((T0.timestamp(), T0.timestamp() + 3600),), 2000.0, _series(RISING, "forecast")
    )
    s = settled(expected=plan)
    document = schema.report_json(make_job(), s)
    told = document["planned_against_realized"]
    assert told == {
        "basis": "operational", "planned_g": pytest.approx(240), "realized_g": pytest.approx(720),
        "difference_g": pytest.approx(480), "forecast_error_g": 0.0,
        "start_error_g": pytest.approx(480), "duration_error_g": 0.0, "power_error_g": 0.0,
        "band_g_per_kwh": None, "inside_band": None,
    }  # fmt: skip
    shown = terminal.report(make_job(), s, tz=UTC)
    assert "+480 g against 240 g planned, operational: forecast 0 g, start +480 g" in shown
    none = schema.report_json(make_job(), settled())
    assert none["planned_against_realized"] is None
    assert none["null_reasons"]["planned_against_realized"] == "there is no plan to compare with"
    early = replace(settled(), nulls={})
    old = schema.report_json(make_job(), early)
    assert "settled before" in old["null_reasons"]["planned_against_realized"]
    assert "unknown: settled before" in terminal.report(make_job(), early, tz=UTC)


def test_every_contributor_is_named_with_its_share(make_job: Make) -> None:
    s = settled()
    views = _views(make_job(), s)
    document = json.loads(views["json"])
    assert [c["name"] for c in document["uncertainty"]] == [c.name for c in s.uncertainty]
    assert sum(c["share_percent"] for c in document["uncertainty"]) == pytest.approx(100)
    assert "root of their squares" in document["uncertainty_rule"]
    for c in s.uncertainty:
        assert c.name in views["terminal"]
        assert c.name in views["markdown"]
        assert c.kind in views["markdown"]
    dark = settled(intensity=None, home_intensity=None, no_intensity_reason="no zone")
    report = schema.report_json(make_job(), dark)
    assert report["uncertainty"][0]["low_g"] is None
    assert report["null_reasons"]["uncertainty.0.low_g"] == "no zone"
    assert "unknown" in markdown.report(make_job(), dark, tz=UTC)


def test_a_group_counts_all_attempts_of_all_its_jobs(make_job: Make) -> None:
    good = settled(lines=(("tokens", 100.0), ("parameters", 7e9)))
    better = settled(lines=(("tokens", 300.0), ("parameters", 1e9)))
    start = T0 + HOUR
    record = AttemptRecord(start, start + HOUR, 1, _journal(start))
    failed = settled(attempts=[record] * 2)
    pairs = [
        (make_job("a"), good), (make_job("b"), better), (make_job("c", JobState.FAILED), failed)
    ]  # fmt: skip
    found = group.group_json("sweep", pairs)
    totals = [s.total_g.value for s in (good, better, failed) if s.total_g]
    assert (found["jobs"], found["attempts"], found["failed_jobs"]) == (3, 4, 1)
    assert found["total_g"]["value"] == pytest.approx(sum(totals))
    assert found["sci_g_per_job"]["value"] == pytest.approx(sum(totals) / 3)
    assert found["units"] == {"tokens": 400.0, "parameters": 7e9}
    scores = {u["name"]: u["sci_g_per_unit"]["value"] for u in found["functional_units"]}
    assert scores["tokens"] == pytest.approx(sum(totals) / 400)
    assert scores["parameters"] == pytest.approx(sum(totals) / 7e9)
    shown = group.table("sweep", pairs)
    assert "group sweep: 3 job(s), 4 attempt(s), 1 not successful" in shown
    assert "per million tokens" in shown


def test_a_group_with_an_unknown_total_has_no_score(make_job: Make) -> None:
    bare = replace(SITE, hardware=None)
    pairs = [(make_job("a"), settled()), (make_job("b"), settled(site=bare, home=bare))]
    found = group.group_json("sweep", pairs)
    assert found["sci_g_per_job"] is None
    assert found["null_reasons"]["sci_g_per_job"].startswith("1 of 2 jobs have no total")
    assert found["operational_g"] is not None
    assert "no score: 1 of 2 jobs" in group.table("sweep", pairs)
    none = group.group_json("sweep", [(make_job("a"), None)])
    assert none["sci_g_per_job"] is None
    assert "unknown" in group.table("sweep", [(make_job("a"), None)])
