"""One row a job, as CSV: for spreadsheets and data frames.

The columns are fixed and stand in :data:`COLUMNS`; new ones are appended. Numbers are written
with all their digits. A cell is empty where the figure is not known; ``reasons`` says why.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.report.exports import Entry

# Column, and where it stands in an object of `report --json`; a figure with bounds has three.
_PLAIN_BEFORE = (
    *((name, name) for name in ("job_id", "name", "group", "project", "user", "state", "status")),
    *((name, name) for name in ("region", "zone", "started_at", "ended_at", "deadline_met")),
    ("assumed_s", "duration.assumed_s"),
    ("actual_s", "duration.actual_s"),
)
_FIGURES = (
    ("active_kwh", "energy_kwh.active"),
    ("reserved_kwh", "energy_kwh.reserved"),
    ("g_per_kwh", "intensity.bounds"),
    ("pue", "pue.bounds"),
    *((name, name) for name in ("operational_g", "embodied_g", "total_g", "sci_g_per_unit")),
    *((name, name) for name in ("planned_g", "baseline_g", "saved_g")),
    ("first_come_baseline_g", "first_come.baseline_g"),
    ("first_come_saved_g", "first_come.saved_g"),
)
_PLAIN_AFTER = (
    *((name, name) for name in ("saved_percent", "saving_estimated")),
    ("first_come_estimated", "first_come.estimated"),
    ("basis", "basis"),
    ("unit", "functional_unit.name"),
    ("unit_count", "functional_unit.count"),
    ("measured_percent", "measured_percent"),
    ("signal", "intensity.signal"),
    ("intensity_kind", "intensity.kind"),
    ("intensity_source", "intensity.source"),
    ("pue_source", "pue.source"),
    ("largest_uncertainty", "largest_uncertainty"),
)
_LATER_FIGURES = (
    ("water_l", "water.litres"),
    ("plan_band_g_per_kwh", "planned_against_realized.band_g_per_kwh"),
)
_LATER_PLAIN = (("inside_band", "planned_against_realized.inside_band"),)
COLUMNS: tuple[str, ...] = (
    *(name for name, _ in _PLAIN_BEFORE),
    *(column for name, _ in _FIGURES for column in (f"{name}_low", name, f"{name}_high")),
    *(name for name, _ in _PLAIN_AFTER),
    "methods",
    "metrics",
    "attempts",
    "notes",
    "reasons",
    *(column for name, _ in _LATER_FIGURES for column in (f"{name}_low", name, f"{name}_high")),
    *(name for name, _ in _LATER_PLAIN),
)
# A cell that begins so is a formula to a spreadsheet (OWASP, CSV Injection), also where the
# sign is the full-width one.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def write(entries: Iterable[Entry]) -> str:
    """The header and a row for each entry.

    A text that a spreadsheet would run as a formula is led by an apostrophe; ``reasons`` is a
    JSON object of column and reason, ``metrics`` one of metric and value.
    """
    out = io.StringIO(newline="")
    # As RFC 4180 has it; with LF alone, a CR in a name would not be quoted and break its line.
    rows = csv.writer(out, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for entry in entries:
        row = _row(entry.as_json())
        rows.writerow([_cell(row[name]) for name in COLUMNS])
    return out.getvalue()


def _row(report: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, path in (*_PLAIN_BEFORE, *_PLAIN_AFTER, *_LATER_PLAIN):
        row[name] = _at(report, path)
        if row[name] is None:
            reasons[name] = _why(report, path)
    for name, path in (*_FIGURES, *_LATER_FIGURES):
        figure = _at(report, path)
        if figure is None:
            reasons[name] = _why(report, path)
            figure = dict.fromkeys(("low", "value", "high"))
        elif figure["high"] is None:
            reasons[f"{name}_high"] = report["null_reasons"][f"{path}.high"]
        row |= {f"{name}_low": figure["low"], name: figure["value"], f"{name}_high": figure["high"]}
    row["methods"] = ", ".join(f"{c['name']} {c['method']}" for c in report["components"])
    row["metrics"] = json.dumps(report["metrics"], ensure_ascii=False) if report["metrics"] else ""
    row["attempts"] = len(report["attempts"])
    row["notes"] = "; ".join(report["notes"])
    row["reasons"] = json.dumps(reasons, ensure_ascii=False) if reasons else None
    return row


def _at(report: dict[str, Any], path: str) -> Any:
    found: Any = report
    for part in path.split("."):
        found = None if found is None else found[part]
    return found


def _why(report: dict[str, Any], path: str) -> str:
    """Why a figure is not known: for a reason of its own, or of the object that it stands in."""
    nulls: dict[str, str] = report["null_reasons"]
    return nulls[path] if path in nulls else nulls[path.partition(".")[0]]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return repr(value)
