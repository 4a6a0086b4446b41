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
    "saves over run-now, issues every 6 h; band: actuals within the 80 % band"
)


WHY_NULL = {
    "mape_percent_by_day": "no actual above zero is known on that day of the horizon",
    "captured_share_percent": "perfect foresight would save less than 0.1 % of running now",
    "band_coverage_percent": "no actual is known",
}


def as_json(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures, with a reason for each null beside it."""
    rows = [row | {"null_reasons": _nulls(row)} for row in figures["regions"]]
    mean = figures["mean"] | {"null_reasons": _nulls(figures["mean"])}
    return figures | {"regions": rows, "mean": mean}


def _nulls(row: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, why in WHY_NULL.items():
        value = row[name]
        parts = {"": value}
        if isinstance(value, dict):
            parts = {f".{key}": part for key, part in value.items()}
        elif isinstance(value, list):
            parts = {f".{n}": part for n, part in enumerate(value)}
        found |= {f"{name}{key}": why for key, part in parts.items() if part is None}
    return found


def summary(figures: dict[str, Any]) -> str:
    """One line a region, their mean, and what the columns mean."""
    days = [f"{'MAPE ' if day == 1 else ''}d{day} %>" for day in range(1, 5)]
    drawn = table("region", *days, *(f"{cell}>" for cell in SHOWN), "band>", "issues>", "method")
    for row in figures["regions"]:
        by_count = sorted(row["methods"], key=lambda name: -row["methods"][name])
        drawn.add_row(row["region"], *_cells(row), str(row["issues"]), ", ".join(by_count))
    if len(figures["regions"]) > 1:
        drawn.add_row("mean", *_cells(figures["mean"]), "", "")
    span = f"{figures['from']} to {figures['to']}, fitted anew each week on the past alone"
    return draw(drawn, span, DEFINITIONS, width=120)


def _cells(scores: dict[str, Any]) -> Sequence[str]:
    shares = scores["captured_share_percent"]
    return [
        *map(_number, scores["mape_percent_by_day"]),
        *(_number(shares[cell]) for cell in SHOWN),
        _number(scores["band_coverage_percent"]),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
