"""A backtest's figures as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.report.tables import draw, table

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of the twelve pairs of job and slack (h) these fit a line; `--json` has all.
SHOWN = ("1/24", "1/96", "4/24", "24/24", "24/96")
DEFINITIONS = (
    "MAPE by day ahead, issues at 00:00 UTC; job/slack in h: share of what perfect foresight "
    "saves over run-now, issues every 6 h; band: hours, runs: planned runs of all jobs and "
    "slacks that came within their 80 % band"
)


def summary(figures: dict[str, Any]) -> str:
    """One line a region, their mean, what the columns mean, and why a region has no figures."""
    days = [f"{'MAPE ' if day == 1 else ''}d{day} %>" for day in range(1, 5)]
    drawn = table(
        "region",
        *days,
        *(f"{cell}>" for cell in SHOWN),
        "band>",
        "runs>",
        "issues>",
        "method",
        optional=("method", "issues"),
    )
    for row in figures["regions"]:
        by_count = sorted(row["methods"], key=lambda name: -row["methods"][name])
        drawn.add_row(row["region"], *_cells(row), str(row["issues"]), ", ".join(by_count))
    scored = [row for row in figures["regions"] if row["issues"]]
    if len(scored) > 1:
        drawn.add_row("mean", *_cells(figures["mean"]), "", "")
    span = f"{figures['from']} to {figures['to']}, fitted anew each week on the past alone"
    left_out = [
        f"left out: {row['null_reasons']['fit_seconds']}"
        for row in figures["regions"]
        if not row["issues"]
    ]
    return draw(drawn, span, DEFINITIONS, *left_out, width=120)


def _cells(scores: dict[str, Any]) -> Sequence[str]:
    shares = scores["captured_share_percent"]
    return [
        *map(_number, scores["mape_percent_by_day"]),
        *(_number(shares[cell]) for cell in SHOWN),
        _number(scores["band_coverage_percent"]),
        _number(_mean(scores["runs_inside_band_percent"])),
    ]


def _mean(by_cell: dict[str, float | None]) -> float | None:
    known = [value for value in by_cell.values() if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
