"""Grams against finish and money: what `plan --pareto` shows, and that nothing beats it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JOB = (
    "--duration", "2h", "--deadline", "20h", "--power", "1kW",
    "--region", "aws:eu-central-1", "--region", "aws:eu-west-3",
)  # fmt: skip


@pytest.fixture
def start(tmp_path: Path) -> datetime:
    """Germany falls hour by hour and is cheap; France is flat, lower and dear."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    with (tmp_path / "trace.csv").open("w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["timestamp_utc", "region", "g_per_kwh"])
        for hour in range(48):
            at = f"{begin + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"
            rows.writerow([at, "DE", max(30, 600 - 40 * hour)])
            rows.writerow([at, "FR", 90])
    (tmp_path / "config.yaml").write_text(
        "providers: [mine]\n"
        "currency: CHF\n"
        "sources: {mine: {type: trace, path: trace.csv}}\n"
        "regions:\n"
        "  local: {zone: DE}\n"
        "  aws:eu-central-1: {price: {per_slot_hour: 1.0}, pue: {value: 1.0, source: t}}\n"
        "  aws:eu-west-3: {price: {per_slot_hour: 3.0}, pue: {value: 1.0, source: t}}\n"
    )
    return begin


def _figures(row: dict[str, Any]) -> tuple[float, str, float]:
    return row["expected_g"]["value"], row["end"], row["cost"]


@pytest.mark.usefixtures("start")
def test_no_plan_shown_beats_another_and_both_ends_are_there(lowtide: Callable[..., Any]) -> None:
    document = lowtide("plan", *JOB, "--pareto", "--json").json
    front = document["pareto"]
    assert len(front) > 3
    assert [row["end"] for row in front] == sorted(row["end"] for row in front)
    for one, other in permutations(front, 2):
        assert not all(a <= b for a, b in zip(_figures(one), _figures(other), strict=True))
    # France at once is the soonest low one; Germany is cheaper at any time, and lower at the end.
    assert {row["region"] for row in front} == {"aws:eu-central-1", "aws:eu-west-3"}
    assert {row["cost"] for row in front} == {2.0, 6.0}
    assert {row["currency"] for row in front} == {"CHF"}
    lowest = min(front, key=lambda row: row["expected_g"]["value"])
    assert lowest["expected_g"] == document["plan"]["expected_g"]
    assert lowest["saving_percent"] == pytest.approx(document["plan"]["saving_percent"])


@pytest.mark.usefixtures("start")
def test_people_see_a_table_and_a_plot_for_time_and_for_money(lowtide: Callable[..., Any]) -> None:
    shown = lowtide("plan", *JOB, "--pareto").out
    assert "costs CHF" in shown
    assert "g against finish" in shown
    assert "g against cost" in shown
    assert "\x1b" not in shown


@pytest.mark.usefixtures("start")
def test_segments_and_a_bound_on_money_take_part(lowtide: Callable[..., Any]) -> None:
    options = ("--pausable", "--resume-overhead", "0s", "--min-run", "10m", "--max-cost", "2")
    front = lowtide("plan", *JOB, *options, "--pareto", "--json").json["pareto"]
    assert {row["region"] for row in front} == {"aws:eu-central-1"}
    refused = lowtide("plan", *JOB, "--max-cost", "1", "--pareto")
    assert refused.code == 2
    assert "the cheapest region, aws:eu-central-1, costs 2.00 CHF" in refused.err
