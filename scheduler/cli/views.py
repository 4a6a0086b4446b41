"""Small views that several commands show."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from scheduler import zones

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from providers.series import Series
    from scheduler.engine import Context
    from scheduler.models import Plan


def local_zone() -> tzinfo:
    """The zone that this machine's user reads clocks in."""
    return zones.local(None, os.environ)


def plan_series(context: Context, plan: Plan, now: datetime) -> Series | None:
    """The chosen region's forecast from now to the last moment the job may run.

    None where the region has left the config, or that moment has passed.
    """
    end = plan.last_moment or plan.start + timedelta(hours=1)
    if end <= now or plan.window.region not in context.regions:
        return None
    return context.outlook.shown(context.regions[plan.window.region], now, end, now)


def plan_lines(context: Context, plan: Plan, now: datetime) -> tuple[str, str]:
    """The strip and the reason, with a line of its own about a learned duration."""
    from scheduler.report import strip
    from scheduler.report.units import on_clocks

    series = plan_series(context, plan, now)
    why = "\n".join(filter(None, (strip.assumed(plan), plan.reason, strip.band(plan))))
    why = on_clocks(why, now, local_zone())
    encoding = sys.stdout.encoding or "ascii"
    return strip.strip(series, plan, now, local_zone(), encoding=encoding), why
