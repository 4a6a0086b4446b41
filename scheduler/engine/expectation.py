"""What a plan counted with, for the settlement to compare the run with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scheduler import sci

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.series import Series
    from scheduler.engine.context import Context
    from scheduler.models import Attempt, Job

# A stored forecast is the one of the plan where it has the plan's mean to this share.
SAME = 1e-6


def expectation(ctx: Context, job: Job, attempts: Sequence[Attempt]) -> sci.Expectation | str:
    """The last plan of a job: when, at what power, on which forecast; or why that is not known."""
    plan = job.plan
    if plan is None:
        return "it was never planned"
    window, watts = plan.window, plan.power.watts
    if watts is None or window.grams is None:
        told = plan.nulls.get("expected_g") or plan.nulls.get("end")
        return told or "the plan has no figure for its carbon"
    if window.region != attempts[-1].region:
        return f"it was planned for {window.region} and ran in {attempts[-1].region}"
    spans = tuple((a.timestamp(), b.timestamp()) for a, b in window.spans if b is not None)
    forecast = _forecast(ctx, job, spans)
    if forecast is None:
        return "the forecast that it was planned on is no longer stored"
    return sci.Expectation(spans, watts.value, forecast)


def _forecast(ctx: Context, job: Job, spans: Sequence[tuple[float, float]]) -> Series | None:
    """The one of the plan's forecasts whose mean over its window is that of the plan."""
    assert job.plan is not None
    assert job.plan.window.g_per_kwh is not None  # grams are known
    zone = ctx.regions[job.plan.window.region].zone
    run_s = sum(b - a for a, b in spans)
    for series in ctx.store.forecasts.of(job.plan.forecast_ids):
        means = [(series.mean(a, b), b - a) for a, b in spans]
        told = [m.value * s / run_s for m, s in means if m is not None]
        same = math.isclose(sum(told), job.plan.window.g_per_kwh.value, rel_tol=SAME, abs_tol=SAME)
        if series.zone == zone and len(told) == len(spans) and same:
            return series
    return None
