"""Each verdict on a rule of SCI is earned: every rule has a report that does not meet it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.series import Series
from scheduler.models import Hardware, Settlement, Site
from scheduler.sci import AttemptRecord, count, settle

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MACHINE = Hardware(Triple.exact(1000), 4 * 365 * 24, 10, 0, "the maker's data sheet")
SITE = Site("local", "DE", Triple(1.1, 1.2, 1.3), "declared by the operator", MACHINE)
TOKENS = count([("tokens", 1e6)])

RULES = (
    "E should count", "E should account for the data centre's PUE", "I shall be",
    "off the grid I shall", "E and I should have the highest", "market-based measures shall not",
    "M shall be included", "M should rest", "units shall be", "R shall be one",
    "conversions between units", "the SCI is the sum", "the boundary shall be articulated",
    "supporting infra", "each component shall be quantified", "score, boundary and methodology",
    "a baseline shall", "SCI for AI: R shall be FLOP", "SCI for AI: the provider's boundary",
    "SCI for AI: R shall be stated", "SCI for AI: training shall count whole",
)  # fmt: skip
# Nothing that could be seen makes these met, or applies them.
NEVER_MET = {"supporting infra", "SCI for AI: the provider's boundary"}
NEVER_APPLIES = {"conversions between units"}


def series(
    source: str = "a grid operator", g: float = 300.0, kind: Any = "actual", **facts: Any
) -> Series:
    starts = T0.timestamp() + 3600.0 * np.arange(4)
    values = np.full(4, g)
    stated = {"factors": "lifecycle", "flow": "consumption"} | facts
    sources = np.array([source] * 4)
    return Series(
        "DE", "average", kind, T0, starts, starts + 3600, values, values, values, sources, **stated
    )


def journal(*missing: str, covered_s: float = 3600.0) -> Journal:
    parts = [Component("cpu", "measured", "a counter")]
    parts += [Component(name, "missing", "no meter") for name in missing]
    at, energy = T0.timestamp() + 3600, Triple(0.9, 1.0, 1.1).scaled(3.6e6)
    first = Sample(at, 0, (Reading("cpu", ZERO, ZERO, 0.0),))
    last = Sample(at + 3600, 1800, (Reading("cpu", energy.scaled(0.5), energy, covered_s),))
    return Journal(tuple(parts), (first, last))


def settled(record: Journal | None = None, intensity: Any = "", **changes: Any) -> Settlement:
    start = T0 + HOUR
    known = series() if intensity == "" else intensity
    fields: dict[str, Any] = {
        "attempts": [AttemptRecord(start, start + HOUR, 0, record or journal())],
        "site": SITE, "home": SITE, "release": T0, "intensity": known, "home_intensity": known,
        "provisional": False, "slots": 1, "gpus": 0, "unit": "tokens", "work": TOKENS,
        "step_s": 3600.0, "unit_rationale": "its cost grows with the tokens seen",
    }  # fmt: skip
    return settle(**fields | changes)


def verdicts(s: Settlement) -> dict[str, str]:
    assert all(r.why for r in s.conformance)
    pairs = zip(RULES, s.conformance, strict=True)
    return {name: r.met for name, r in pairs if r.rule.startswith(name)}


def test_a_whole_report_meets_every_rule_that_can_be_met() -> None:
    found = verdicts(settled())
    assert set(found) == set(RULES), "each rule once, in this order"
    assert {k for k, v in found.items() if v == "not_met"} == NEVER_MET
    assert {k for k, v in found.items() if v == "not_applicable"} == NEVER_APPLIES | {
        "off the grid I shall"
    }


Case = tuple[str, Callable[[], Settlement], str]
CASES: list[Case] = [
    ("E should count", lambda: settled(journal("gpu:A")), "not read: gpu:A"),
    ("E should count", lambda: settled(journal(covered_s=0.49 * 3600)), "cpu was read 49 %"),
    (
        "E should account for the data centre's PUE",
        lambda: settled(site=replace(SITE, pue_source="not declared: between a and b")),
        "not declared",
    ),
    ("I shall be", lambda: settled(intensity=None, no_intensity_reason="no zone"), "no zone"),
    (
        "I shall be",
        lambda: settled(intensity=series("100 % renewable by PPA", 0.001)),
        "market-based by its name",
    ),
    (
        "I shall be",
        lambda: settled(intensity=series("our utility", 0.001)),
        "less than any source of electricity",
    ),
    (
        "I shall be",
        lambda: settled(intensity=series("constant (our utility)", 300.0)),
        "nothing shows that it is the grid's own",
    ),
    ("off the grid I shall", lambda: settled(site=replace(SITE, zone=None)), "no grid zone"),
    (
        "E and I should have the highest",
        lambda: settled(intensity=series("country mean (Ember 2024)", kind="estimate")),
        "not what the grid was at the time",
    ),
    ("E and I should have the highest", lambda: settled(step_s=None), "not known"),
    ("E and I should have the highest", lambda: settled(step_s=86400.0), "holds for 24 hours"),
    (
        "market-based measures shall not",
        lambda: settled(intensity=series("Guarantees of origin, hydro")),
        "named as a market-based measure",
    ),
    (
        "market-based measures shall not",
        lambda: settled(site=replace(SITE, hardware=replace(MACHINE, source="net-zero server"))),
        "net-zero server",
    ),
    ("M shall be included", lambda: settled(site=replace(SITE, hardware=None)), "no hardware"),
    (
        "M should rest",
        lambda: settled(
            site=replace(SITE, hardware=replace(MACHINE, total_kg=Triple(500, 1000, 2000)))
        ),
        "not the device's own assessment",
    ),
    ("units shall be", lambda: settled(site=replace(SITE, hardware=None)), "M"),
    ("R shall be one", lambda: settled(unit="epochs"), "the job wrote no epochs"),
    (
        "the SCI is the sum",
        lambda: settled(Journal((), (), ("no energy journal",))),
        "no energy journal",
    ),
    (
        "the boundary shall be articulated",
        lambda: settled(Journal((), (), ("no energy journal",))),
        "nothing is in it",
    ),
    ("supporting infra", settled, "network and remote storage"),
    ("each component shall be quantified", lambda: settled(journal("gpu:A")), "gpu:A missing"),
    ("score, boundary and methodology", lambda: settled(unit="epochs"), "the job wrote no epochs"),
    ("a baseline shall", lambda: settled(home_intensity=None), "not known over the baseline"),
    (
        "a baseline shall",
        lambda: settled(home_intensity=series(factors="direct")),
        "another accounting method",
    ),
    (
        "a baseline shall",
        lambda: settled(home_intensity=series(kind="estimate")),
        "settled on an actual intensity, the baseline on an estimate",
    ),
    ("SCI for AI: R shall be FLOP", lambda: settled(work=count([])), "no tokens"),
    ("SCI for AI: the provider's boundary", settled, "retirement"),
    ("SCI for AI: R shall be stated", lambda: settled(unit_rationale=""), "--unit-rationale"),
    (
        "SCI for AI: training shall count whole",
        lambda: settled(journal("gpu:A")),
        "not read: gpu:A",
    ),
]


@pytest.mark.parametrize(("rule", "make", "why"), CASES)
def test_a_rule_is_not_met_where_nothing_shows_that_it_is(
    rule: str, make: Callable[[], Settlement], why: str
) -> None:
    found = next(r for r in make().conformance if r.rule.startswith(rule))
    assert found.met == "not_met"
    assert why in found.why


def test_every_rule_has_a_report_that_does_not_meet_it() -> None:
    assert {rule for rule, _, _ in CASES} == set(RULES) - NEVER_APPLIES


def test_a_job_without_units_of_ai_is_no_report_for_it() -> None:
    found = verdicts(settled(unit=None, work=count([])))
    assert {v for k, v in found.items() if k.startswith("SCI for AI")} == {"not_applicable"}


def test_all_attempts_of_a_job_are_training() -> None:
    start = T0 + HOUR
    twice = [AttemptRecord(start, start + HOUR, 1, journal())] * 2
    assert verdicts(settled(attempts=twice, unit=None, work=count([])))[RULES[-1]] == "met"
