"""A plan in one line: now, the shape of what is expected, where and when, what it saves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from providers.base import BAND_PERCENT
from scheduler.models import GIVEN
from scheduler.report.units import change, clock, zone_name

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from providers.series import Series
    from scheduler.models import Plan

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-~=+*#"
BUCKETS = 12


def strip(
    series: Series | None, plan: Plan, now: datetime, tz: tzinfo, *, encoding: str = "utf-8"
) -> str:
    """``now 512 ▇▆▃▁▂▅ 23:10 local 318 g/kWh, -38 %, latest safe start 04:00 (Europe/Berlin)``.

    The shape runs from now to the last moment the job may run; a hole in it is a space. What
    is unknown is left out with a word.
    """
    window = plan.window
    head = "no forecast"
    if series is not None and len(series):
        head = _shape(series, plan, now, encoding)
    mean = f" {window.g_per_kwh.value:.0f} g/kWh" if window.g_per_kwh else ""
    parts = [f"{head} {clock(plan.start, now, tz)} {window.region}{mean}"]
    if plan.saving_percent is not None:
        parts.append(change(plan.saving_percent))
    if plan.latest_safe_start is not None:
        parts.append(f"latest safe start {clock(plan.latest_safe_start, now, tz)}")
    return f"{', '.join(parts)} ({zone_name(tz, now)})"


def assumed(plan: Plan) -> str:
    """A line about a duration that was learned; empty for one that was given."""
    if plan.duration_source == GIVEN:
        return ""
    return f"assumed duration: {plan.duration_source}"


def band(plan: Plan) -> str:
    """A line about the band of its intensity; empty where no intensity is known."""
    found = plan.window.g_per_kwh
    if found is None:
        return ""
    if not plan.window.calibrated:
        return f"band {plan.nulls.get('band_percent', 'not calibrated')}"
    return (
        f"band {found.low:.0f} to {found.high:.0f} g/kWh, as in {BAND_PERCENT:.0f} % of such runs"
    )


def _shape(series: Series, plan: Plan, now: datetime, encoding: str) -> str:
    end = plan.last_moment or plan.start + timedelta(hours=1)
    first, width = now.timestamp(), max(1.0, (end - now).total_seconds()) / BUCKETS
    means = [series.mean(first + i * width, first + (i + 1) * width) for i in range(BUCKETS)]
    known = [m.value for m in means if m is not None]
    if not known:
        return "no forecast"
    low, high = min(known), max(known)
    marks = BLOCKS
    try:
        BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        marks = ASCII
    scale = (len(marks) - 1) / (high - low) if high > low else 0.0
    shape = "".join(" " if m is None else marks[round((m.value - low) * scale)] for m in means)
    at_once = series.mean(first, first + 1.0)
    return f"now {at_once.value:.0f} {shape}" if at_once else f"now unknown {shape}"
