"""At any width ids and states stay whole, and every time of a view is in one time zone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def queue(lowtide: Callable[..., Any], tmp_path: Path) -> list[str]:
    """Jobs that wait, one of them with a name that is too long for any table."""
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    options = ("--duration", "1h", "--deadline", "30h", "--power", "3000", "--json")
    names = ("train", "a-very-long-name-of-a-job-that-does-not-fit-into-a-narrow-terminal")
    return [
        lowtide("submit", *options, "--name", name, "--", "true").json["job_id"] for name in names
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 110])
def test_ids_and_states_stay_whole(
    lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, queue: list[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = lowtide("status").out.splitlines()
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= columns
    for job_id in queue:
        (row,) = (line for line in table if line.strip().startswith(job_id))
        assert "planned" in row.split()
    joined = re.sub(r"\s", "", "".join(table))
    assert "…" not in joined
    assert joined.count("planned") == len(queue)


@pytest.mark.parametrize("columns", [60, 80])
def test_other_tables_fit_as_well(
    lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, queue: list[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in (
        ("regions", "--provider", "aws", "--within", "EU"),
        ("forecast", "local"),
        ("providers",),
    ):
        shown = lowtide(*words).out
        rule = next(line for line in shown.splitlines() if line.strip().startswith("──"))
        assert len(rule) <= columns, words
    assert "aws:eu-central-1" in lowtide("regions", "--provider", "aws", "--within", "DE").out
    plot = lowtide("show", queue[0]).out.splitlines()
    assert max(len(line) for line in plot if "┤" in line) <= columns


def test_a_view_is_in_one_time_zone_and_names_it_once(
    lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, queue: list[str]
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    for words in (("show", queue[0]), ("why", queue[0]), ("status",)):
        shown = lowtide(*words).out
        assert not re.search(r"\dT\d\d:\d\d(:\d\d)?Z", shown), words
        assert "Asia/Kathmandu" in shown
    utc = lowtide("show", queue[0], "--json").json["job"]["plan"]["start"]
    assert utc.endswith("Z")


def test_no_figure_of_everyday_size_has_an_exponent(
    lowtide: Callable[..., Any], queue: list[str]
) -> None:
    shown = lowtide("show", queue[0]).out
    assert "3000 W" in shown
    assert not re.search(r"\de\+\d", shown)
