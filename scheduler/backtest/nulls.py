"""Why a figure of a backtest is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.arrays import np
from scheduler.backtest.scoring import CELLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FIGURES = (
    "from", "to", "mape_percent_by_day", "captured_share_percent", "band_coverage_percent",
    "runs_inside_band_percent", "fit_seconds", "predict_ms",
)  # fmt: skip
MAPE = "no issue at 00:00 UTC has an actual above zero on that day of the horizon"
BAND = "no actual is known"
RUNS = "of no issue are both the actuals and four weeks of errors of such runs known"
UNKNOWN = "no issue has all its actuals known over job and slack: the trace has gaps"
NOTHING = "running at once emits nothing"
SMALL = "perfect foresight would save less than 0.1 % of running at once"
NO_REGION = "no region has a figure for it"


def of_region(row: Mapping[str, Any], actual: NDArray[np.float64]) -> dict[str, str]:
    """Reasons for the nulls of a region that was scored; ``actual`` is issues x hours."""
    shares = {}
    for job_h, slack_h in CELLS:
        known = ~np.isnan(actual[:, : job_h + slack_h]).any(axis=1)
        why = SMALL if (actual[known, :job_h] > 0).any() else NOTHING
        shares[f".{job_h}/{slack_h}"] = why if known.any() else UNKNOWN
    found = {f"captured_share_percent{cell}": why for cell, why in shares.items()}
    found |= {f"runs_inside_band_percent{cell}": RUNS for cell in shares}
    return {path: found.get(path, BAND if "band" in path else MAPE) for path in paths(row)}


def paths(row: Mapping[str, Any]) -> list[str]:
    """Where a row has nulls, inside its figures by key or number."""
    found = []
    for name in FIGURES:
        value = row.get(name, 0)
        parts = {"": value}
        if isinstance(value, dict):
            parts = {f".{key}": part for key, part in value.items()}
        elif isinstance(value, list):
            parts = {f".{n}": part for n, part in enumerate(value)}
        found += [name + key for key, part in parts.items() if part is None]
    return found
