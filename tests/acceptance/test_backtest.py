"""``forecast --backtest`` from file to figures."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2024, 1, 1, tzinfo=UTC)
FIELDS = {
    "region", "from", "to", "issues", "methods", "mape_percent_by_day", "zero_actuals_excluded",
    "captured_share_percent", "band_coverage_percent", "runs_inside_band_percent", "fit_seconds",
    "predict_ms",
    "null_reasons",
}  # fmt: skip
CELLS = {f"{job}/{slack}" for job in (1, 4, 12, 24) for slack in (24, 48, 96)}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Fifty days that recur exactly in DE, and never change in IS; gzip."""
    rows = ["timestamp_utc,region,g_per_kwh"]
    for n in range(50 * 24):
        at = START + timedelta(hours=n)
        rows.append(f"{at:%Y-%m-%dT%H:%M:%SZ},DE,{200 + (at.hour * 37) % 24 * 10}")
        rows.append(f"{at:%Y-%m-%dT%H:%M:%SZ},IS,28")
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    return path


def test_recurring_days_are_captured_wholly(lowtide: Callable[..., Any], trace: Path) -> None:
    got = lowtide("forecast", "--backtest", trace.name, "--from", "2024-01-20", "--json")
    assert (got.code, got.err) == (0, "")
    found = got.json
    assert found.keys() == {"schema_version", "file", "from", "to", "regions", "mean"}
    assert (found["file"], found["from"], found["to"]) == (
        trace.name,
        "2024-01-20T00:00:00Z",
        "2024-02-20T00:00:00Z",
    )
    recurring, flat = found["regions"]
    assert recurring.keys() == flat.keys() == FIELDS
    assert recurring["captured_share_percent"].keys() == CELLS
    for cell, share in recurring["captured_share_percent"].items():
        # A job of a day costs the same at any hour: there is nothing to capture.
        assert share is None if cell.startswith("24/") else share == pytest.approx(100.0)
        why = recurring["null_reasons"].get(f"captured_share_percent.{cell}")
        assert (why is not None) == (share is None)
    assert recurring["mape_percent_by_day"] == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert recurring["band_coverage_percent"] == pytest.approx(100.0)
    # Fitted on the 20th, 27th, and so on: on February 10th the first time on 35 days or more.
    assert recurring["methods"] == {"hod7decay": 84, "ridge": 21}
    assert recurring["issues"] == 105
    assert recurring["zero_actuals_excluded"] == 0
    assert recurring["fit_seconds"] > 0
    assert recurring["predict_ms"] > 0
    assert set(flat["captured_share_percent"].values()) == {None}
    assert found["mean"]["captured_share_percent"]["1/24"] == pytest.approx(100.0)


def _csv(path: Path, *series: tuple[str, float, int], holes: range = range(0)) -> str:
    """Series of (zone, step in h, rows) with a daily course, without the rows in ``holes``."""
    rows = ["timestamp_utc,region,g_per_kwh"]
    for zone, step_h, count in series:
        for n in sorted(set(range(count)) - set(holes)):
            at = START + timedelta(hours=n * step_h)
            rows.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{zone},{200 + (at.hour * 37) % 24 * 10}")
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_a_region_that_cannot_be_scored_has_its_reason_and_spoils_no_other(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    path = _csv(tmp_path / "a.csv", ("DE", 1, 720), ("NEW", 1, 240), ("OLD", 3, 240))
    found = lowtide("forecast", "--backtest", path, "--json").json
    scored, new, old = found["regions"]
    assert scored["issues"] > 0
    assert new.keys() == old.keys() == FIELDS
    assert new["mape_percent_by_day"] == [None] * 4
    assert new["captured_share_percent"] == dict.fromkeys(CELLS)
    assert (new["issues"], new["band_coverage_percent"], new["fit_seconds"]) == (0, None, None)
    assert {"mape_percent_by_day.3", "captured_share_percent.24/96", "predict_ms"} <= set(
        new["null_reasons"]
    )
    (why,) = set(new["null_reasons"].values())
    assert "NEW from 2024-01-01T00:00:00Z to 2024-01-11T00:00:00Z" in why
    assert "steps of 3 h" in old["null_reasons"]["captured_share_percent.1/24"]
    for figure in ("mape_percent_by_day", "captured_share_percent", "band_coverage_percent"):
        assert found["mean"][figure] == scored[figure]
    shown = lowtide("forecast", "--backtest", path).out
    assert "left out: trace has NEW from 2024-01-01" in shown
    assert "mean" not in shown
    none = lowtide("forecast", "--backtest", path, "--region", "NEW")
    assert (none.code, none.out) == (4, "")


def test_a_share_that_gaps_leave_unknown_says_so(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    path = _csv(tmp_path / "a.csv", ("DE", 1, 1200), holes=range(0, 1200, 90))
    (row,) = lowtide("forecast", "--backtest", path, "--json").json["regions"]
    assert row["captured_share_percent"]["1/24"] == pytest.approx(100, abs=5)
    assert row["captured_share_percent"]["1/96"] is None
    assert "the trace has gaps" in row["null_reasons"]["captured_share_percent.1/96"]


def test_nothing_is_captured_of_nothing(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    path = Path(_csv(tmp_path / "a.csv", ("IS", 1, 600)))
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], *(f"{row.rpartition(',')[0]},0" for row in rows[1:])]))
    found = lowtide("forecast", "--backtest", str(path), "--json").json
    (row,) = found["regions"]
    assert row["mape_percent_by_day"] == [None] * 4
    assert row["zero_actuals_excluded"] == 96 * len(range(14 * 24, 600 - 120 + 1, 24))
    assert set(row["captured_share_percent"].values()) == {None}
    assert row["null_reasons"]["captured_share_percent.4/48"] == "running at once emits nothing"
    assert "above zero" in row["null_reasons"]["mape_percent_by_day.0"]
    assert found["mean"]["null_reasons"].keys() == row["null_reasons"].keys()


def test_people_get_a_table_and_what_it_means(lowtide: Callable[..., Any], trace: Path) -> None:
    shown = lowtide("forecast", "--backtest", trace.name, "--to", "2024-01-25").out
    assert "mean" in shown
    assert "share of what perfect foresight" in shown
    one = lowtide("forecast", "--backtest", str(trace), "--region", "DE").out
    assert "DE" in one
    assert "IS" not in one


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "REGION, --backtest FILE or --accuracy"),
        (("DE", "--backtest", "trace.csv.gz"), 2, "--region DE"),
        (("DE", "--from", "2024-01-20"), 2, "parts of --backtest"),
        (("--backtest", "nowhere.csv"), 4, "nowhere.csv cannot be read: No such file"),
        (("--backtest", "trace.csv.gz", "--region", "FR"), 4, "no zone FR"),
        (("--backtest", "trace.csv.gz", "--from", "soon"), 2, "'soon' is no date"),
        (("--backtest", "trace.csv.gz", "--from", "2024-02-01", "--to", "2024-02-01"), 2, "before"),
        (("--backtest", "trace.csv.gz", "--from", "2024-02-19"), 4, "120 h of actuals"),
        (("--backtest", "trace.csv.gz", "--to", "2024-01-10"), 4, "14 days of history"),
    ],
)
def test_bad_input_is_one_clear_line(
    options: tuple[str, ...], code: int, said: str, lowtide: Callable[..., Any], trace: Path
) -> None:
    assert trace.is_file()
    got = lowtide("forecast", *options)
    assert got.code == code, got
    assert got.out == ""
    assert len(got.err.splitlines()) == 1
    assert said in got.err
