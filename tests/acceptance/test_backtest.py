"""``forecast --backtest`` from file to figures."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = datetime(2024, 1, 1, tzinfo=UTC)
FIELDS = {
    "region", "from", "to", "issues", "methods", "mape_percent_by_day", "zero_actuals_excluded",
    "captured_share_percent", "band_coverage_percent", "fit_seconds", "predict_ms",
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
        (("--backtest", "nowhere.csv"), 4, "nowhere.csv"),
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
