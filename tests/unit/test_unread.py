"""What was held and not read: never zero, and no upper bound where none is known."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from datetime import UTC
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import HOUR, START, job, settlement

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.series import Series
from scheduler.errors import UsageError
from scheduler.models import Figures, Hardware, Settlement, Site
from scheduler.report import exports, markdown, terminal
from scheduler.report.exports import Entry, boamps, columns, openmetrics
from scheduler.report.group import group_json
from scheduler.report.runs import Run, compare
from scheduler.report.schema import totals
from scheduler.sci import AttemptRecord, count, settle
from scheduler.store import packed, values


def hourly(g_per_kwh: list[float]) -> Series:
    g = np.array(g_per_kwh)
    starts = START.timestamp() + 3600.0 * np.arange(len(g))
    sources = np.array(["s"] * len(g))
    return Series("DE", "average", "actual", START, starts, starts + 3600, g, g, g, sources)


HARDWARE = Hardware(Triple.exact(1000), 4 * 365 * 24, 10, 4, "test")
SITE = Site("here", "DE", Triple.exact(1.0), "none", HARDWARE)
BOARD = "gpu:GPU-a"
KWH = 3.6e6


def journal(*parts: tuple[Component, float], seconds: float = 3600.0) -> Journal:
    """A kilowatt-hour of each, over so much of the time (0 to 1)."""
    begin = START.timestamp()
    told = [(c, share) for c, share in parts if c.method != "missing"]
    zero = tuple(Reading(c.name, ZERO, ZERO, 0.0) for c, _ in told)
    last = tuple(
        Reading(c.name, ZERO, Triple.exact(KWH if share else 0.0), seconds * share)
        for c, share in told
    )
    return Journal(
        tuple(c for c, _ in parts), (Sample(begin, 0, zero), Sample(begin + seconds, 0, last))
    )


def settled(*journals: Journal, **changes: Any) -> Settlement:
    attempts = [AttemptRecord(START + n * HOUR, START + (n + 1) * HOUR, 0, each)
                for n, each in enumerate(journals)]  # fmt: skip
    fields: dict[str, Any] = {
        "attempts": attempts, "site": SITE, "home": SITE, "release": START,
        "intensity": hourly([100, 200, 300]), "provisional": False, "slots": 1, "gpus": 0,
        "home_intensity": hourly([100, 200, 300]), "unit": None, "work": count(()),
    }  # fmt: skip
    return settle(**(fields | changes))


def cpu(max_w: float | None = 2000.0) -> Component:
    return Component("cpu", "measured", "a counter", max_w)


def board(max_w: float | None = None, method: Any = "missing") -> Component:
    return Component(BOARD, method, "GPU is lost", max_w)


UNBOUNDED = {
    "a board that no meter reads": settled(journal((cpu(), 1.0), (board(), 0.0))),
    "a board whose readings tell of no time": settled(
        journal((cpu(), 1.0), (board(method="measured"), 0.0))
    ),
    "memory that was read for half of the time": settled(
        journal((cpu(), 1.0), (Component("dram", "measured", "a counter"), 0.5))
    ),
    "a processor that was read for half of the time": settled(journal((cpu(None), 0.5))),
    "a second attempt without its board": settled(
        journal((cpu(), 1.0), (board(method="measured"), 1.0)),
        journal((cpu(), 1.0), (board(method="measured"), 0.0)),
    ),
    "a second attempt without any record": settled(journal((cpu(), 1.0)), Journal((), ())),
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_what_is_unread_and_unbounded_leaves_no_upper_bound_and_no_score(name: str) -> None:
    s = UNBOUNDED[name]
    for figure in (s.reserved_kwh, s.active_kwh, s.operational_g, s.total_g):
        assert figure is not None
        assert figure.high == math.inf
        assert 0 <= figure.low <= figure.value < math.inf
    for unknown in (s.sci_g_per_unit, s.baseline_g, s.saved_g, s.measured_percent):
        assert unknown is None
    assert "held but not read" in s.nulls["sci_g_per_unit"]
    whole = next(r for r in s.conformance if r.rule.startswith("E should count all energy"))
    assert whole.met == "not_met"
    assert "held but not read" in s.largest_uncertainty


@pytest.mark.parametrize("name", UNBOUNDED)
def test_every_view_and_export_says_so(name: str) -> None:
    entry = Entry(job(), UNBOUNDED[name])
    content = exports.document([entry])
    jsonschema.validate(content, json.loads(exports.published("report")))
    json.dumps(content, allow_nan=False)
    (report,) = content["jobs"]
    for path in ("operational_g", "total_g"):
        assert report[path]["high"] is None
        assert report[path]["low"] <= report[path]["value"]
        assert "held but not read" in report["null_reasons"][f"{path}.high"]
    assert report["sci_g_per_unit"] is None
    assert content["totals"]["operational_g"]["high"] is None
    for text in (
        terminal.report(entry.job, entry.settlement, tz=UTC),
        markdown.report(entry.job, entry.settlement, tz=UTC),
    ):
        assert "no score: " in text
        assert "no upper bound" in text
        assert "inf" not in text.split()
    (row,) = csv.DictReader(io.StringIO(columns.write([entry])))
    assert (row["operational_g_high"], row["sci_g_per_unit"]) == ("", "")
    assert "held but not read" in json.loads(row["reasons"])["operational_g_high"]
    metrics = openmetrics.write([entry])
    assert 'bound="low"' in metrics
    assert "lowtide_job_sci_grams" not in metrics
    assert not any(line.endswith("inf") for line in metrics.splitlines())
    with pytest.raises(UsageError, match="needs a whole energy figure"):
        boamps.write(entry, START)


def test_sums_with_such_a_job_have_no_upper_bound_and_its_group_no_score() -> None:
    open_, whole = UNBOUNDED["a board that no meter reads"], settlement()
    pairs = [(job("a"), whole), (job("b"), open_)]
    sums = totals(pairs)
    assert sums["total_g"]["high"] is None
    assert sums["total_g"]["value"] > 0
    assert "no upper bound" in sums["null_reasons"]["total_g.high"]
    group = group_json("g", pairs)
    assert group["sci_g_per_job"] is None
    assert "no upper bound" in group["null_reasons"]["sci_g_per_job"]


def test_a_run_without_an_upper_bound_is_not_ranked() -> None:
    told = {"accuracy": 0.9}
    fields = {"metrics": told}
    runs = [Run(job("a"), replace(settlement(), **fields)),
            Run(job("b"), replace(UNBOUNDED["a board that no meter reads"], **fields))]  # fmt: skip
    found = compare(runs, "accuracy", "higher")
    assert [run.why for run in found.runs] == [
        "", "its energy has no upper bound: not all of it was read",
    ]  # fmt: skip


@pytest.mark.parametrize("name", UNBOUNDED)
def test_the_store_keeps_a_missing_bound_as_one(name: str) -> None:
    made = UNBOUNDED[name]
    kept = values._settlements().validate_json(packed.unpack(values.settlement_text(made)))
    assert kept == made
    figures = Figures.of(made)
    assert values.figures(values.figures_text(figures)) == figures
    assert values.figures_of(values.settlement_text(made)) == figures


def test_what_is_unread_but_bounded_counts_at_most_at_its_limit() -> None:
    s = settled(journal((cpu(), 1.0), (board(max_w=400.0), 0.0)))
    (missing,) = [c for c in s.components if c.name == BOARD]
    assert missing.energy_kwh is None
    assert s.reserved_kwh == Triple(1.0, 1.0, 1.4)
    assert s.operational_g == Triple(100.0, 100.0, 140.0)
    assert s.sci_g_per_unit is not None


def test_no_hole_of_a_short_run_is_passed_over() -> None:
    """Of a run of a second, the whole of it may be less than two samples."""
    record = AttemptRecord(START, START + HOUR / 3600, 0, journal((cpu(400.0), 0.3), seconds=1.0))
    s = settled(attempts=[record])
    assert s.reserved_kwh is not None
    assert s.reserved_kwh.high == pytest.approx(1.0 + 400 * 0.7 / KWH)


limits = st.none() | st.floats(1.0, 1e4)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0]), limits, st.booleans()), max_size=3),
    st.floats(0.0, 1.0),
)
def test_the_truth_lies_within_the_bounds_of_what_was_read(
    boards: list[tuple[float, float | None, bool]], load: float
) -> None:
    """Whatever was not read drew up to its limit; where none is known there is no upper bound."""
    parts, truth = [(cpu(), 1.0)], 1.0
    for n, (share, max_w, missing) in enumerate(boards):
        found = Component(f"gpu:{n}", "missing" if missing else "measured", "a board", max_w)
        parts.append((found, 0.0 if missing else share))
        read = 1.0 if share and not missing else 0.0
        truth += read + load * (max_w or 5000.0) / 1000 * (1 - (0.0 if missing else share))
    s = settled(journal(*parts))
    assert s.reserved_kwh is not None
    assert s.reserved_kwh.low <= truth * (1 + 1e-9)
    assert truth <= s.reserved_kwh.high * (1 + 1e-9)
    unknown = any(max_w is None and (missing or share < 1) for share, max_w, missing in boards)
    assert s.reserved_kwh.bounded is not unknown
    assert (s.sci_g_per_unit is None) is unknown
