"""``lowtide plan`` says what ``submit`` would get, and what it would refuse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

# A low hour in turn with a high one, for three days from this hour on.
ASKED = ("--duration", "1h", "--deadline", "20h", "--power", "1kW")
TIGHT = ("--duration", "2h", "--deadline", "3h", "--power", "1kW")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [500, 500, 100, 500, 300, *[500] * 67]
    rows = [f"{(first + timedelta(hours=h)).isoformat()},DE,{g}" for h, g in enumerate(hours)]
    (tmp_path / "trace.csv").write_text("\n".join(["timestamp_utc,region,g_per_kwh", *rows]) + "\n")
    (tmp_path / "config.yaml").write_text(
        "providers: [trace]\nsources: {trace: {path: trace.csv}}\n"
        "regions: {local: {zone: DE, slots: 1}}\n"
    )
    return tmp_path


def _starts(result: Any) -> datetime:
    assert result.code == 0, result.err
    return datetime.fromisoformat(result.json["plan"]["start"])


def test_plan_and_submit_say_the_same_beside_the_queue(
    lowtide: Callable[..., Any], home: Path
) -> None:
    taken = _starts(lowtide("submit", *ASKED, "--json", "--", "true"))
    assert _starts(lowtide("plan", *ASKED, "--alone", "--json")) == taken
    beside = _starts(lowtide("plan", *ASKED, "--json"))
    assert beside == taken + timedelta(hours=2)
    assert _starts(lowtide("submit", *ASKED, "--json", "--", "true")) == beside


def test_plan_says_what_submit_would_refuse(lowtide: Callable[..., Any], home: Path) -> None:
    assert lowtide("submit", *TIGHT, "--", "true").code == 0
    refused = lowtide("submit", *TIGHT, "--", "true")
    assert refused.code == 2
    planned = lowtide("plan", *TIGHT)
    assert planned.code == 0
    said = planned.err.removeprefix("lowtide: ").removeprefix("submit would refuse it: ")
    assert said.startswith("the deadline ")
    assert "cannot be met beside what runs and 1 queued job(s)" in refused.err
    assert "cannot be met beside what runs and 1 queued job(s)" in said
    as_json = lowtide("plan", *TIGHT, "--json").json
    assert "cannot be met beside" in as_json["refused"]
    assert "refused" not in lowtide("plan", *TIGHT, "--alone", "--json").json
    assert lowtide("status", "--json").json["jobs"][0]["state"] == "planned"


def test_plan_says_that_a_program_is_missing(lowtide: Callable[..., Any], home: Path) -> None:
    planned = lowtide("plan", *ASKED, "--json", "--", "no-such-program-here")
    assert "no-such-program-here" in planned.json["refused"]
