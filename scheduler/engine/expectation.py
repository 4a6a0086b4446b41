"""What a plan counted with, for the settlement to compare the run with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler import sci

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.engine.context import Context
    from scheduler.models import Attempt, Job


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
    if plan.forecast_id is None:
        return "which forecast it was planned on was not stored with its plan"
    found = ctx.store.forecasts.of((plan.forecast_id,))
    if not found:
        return "the forecast that it was planned on is no longer stored"
    if any(found[0].mean(*span) is None for span in spans):
        return "the forecast that it was planned on covers a part of it only"
    band = window.g_per_kwh if window.calibrated else None
    return sci.Expectation(spans, watts.value, found[0], band)
