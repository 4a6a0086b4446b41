"""A replay's figures as a table."""

from __future__ import annotations

from typing import Any

from scheduler.quantities import duration
from scheduler.report.tables import draw, table
from scheduler.report.units import grams


def summary(figures: dict[str, Any]) -> str:
    """What was saved, what could have been, and how that is known."""
    drawn = table("", "grams>", "saved>")
    for name, key, share in (
        ("run now", "run_now_g", None),
        (f"policy {figures['policy']}", "emissions_g", "saved_percent"),
        ("oracle", "oracle_g", "oracle_saved_percent"),
        ("lower bound", "lower_bound_g", None),
    ):
        drawn.add_row(name, grams(figures[key]), _percent(figures[share]) if share else "")
    delay, reasons = figures["mean_delay_s"], figures["null_reasons"]
    captured = reasons.get("captured_percent")
    lines = [
        f"{figures['jobs']} jobs, mean delay {duration(delay) if delay else '0 s'}, "
        f"at most {figures['peak_slots']} slots at once",
        f"{figures['missed_deadlines']} missed their deadline{_lateness(figures)}; first come, "
        f"first served on the same slots {figures['run_now_missed_deadlines']}, the oracle "
        f"{figures['oracle_missed_deadlines']}",
        f"captured {_percent(figures['captured_percent'])} of what the oracle saves"
        + (f" ({captured})" if captured else ""),
        f"within {_percent(figures['gap_percent'])} of the lower bound",
    ]
    if (cost := figures["reserve_cost_percent"]) is not None:
        lines.append(f"slots kept free for jobs still to come cost {cost:.2f} points of saving")
    lines += [f"refused {n}: {why.replace('_', ' ')}" for why, n in figures["refused"].items()]
    lines += [f"note: {note}" for note in figures["notes"]]
    lines.append(f"planned in {figures['planning_seconds']:.2f} s")
    return draw(drawn, *lines, width=100)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f} %"


def _lateness(figures: dict[str, Any]) -> str:
    if not figures["missed_deadlines"]:
        return ""
    together, worst = (duration(figures[k]) for k in ("lateness_s", "worst_lateness_s"))
    return f", by {together} together and {worst} at most"
