"""What a plan counted with, as the settlement finds it again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers.base import Triple
from scheduler.engine.expectation import expectation
from scheduler.models import Attempt, Job, Window
from scheduler.sci import Expectation

if TYPE_CHECKING:
    from conftest import Desk


@pytest.fixture
def job(desk: Desk) -> Job:
    return desk.job(desk.submit(power="1000W", deadline="6h"))


def _attempt(job: Job, region: str = "local") -> list[Attempt]:
    return [Attempt(job.id, 1, region, "/nowhere", "token", job.spec.release)]


def test_the_forecast_of_the_plan_is_found_by_its_id(desk: Desk, job: Job) -> None:
    found = expectation(desk.ctx, job, _attempt(job))
    assert isinstance(found, Expectation)
    assert job.plan is not None
    assert job.plan.window.g_per_kwh is not None
    assert found.watts == 1000
    (span,) = found.spans
    assert span[1] - span[0] == 3600
    mean = found.forecast.mean(*span)
    assert mean is not None
    assert mean.value == pytest.approx(job.plan.window.g_per_kwh.value)


def test_a_forecast_is_never_matched_by_its_values(desk: Desk, job: Job) -> None:
    plan = job.plan
    assert plan is not None
    assert plan.forecast_id in plan.forecast_ids
    (mine,) = desk.ctx.store.forecasts.of((plan.forecast_id or 0,))
    # Another forecast of the zone, with the same mean and another course.
    other = replace(mine, g_per_kwh=mine.g_per_kwh + 0.0, sources=np.full(len(mine), "other"))
    row_id = desk.ctx.store.forecasts.remember("other", other, desk.clock.now)
    both = replace(plan, forecast_ids=(row_id, plan.forecast_id or 0))
    found = expectation(desk.ctx, replace(job, plan=both), _attempt(job))
    assert isinstance(found, Expectation)
    assert found.forecast.source == mine.source
    # The plan's own forecast counts, whatever mean the plan states.
    window = replace(plan.window, g_per_kwh=Triple.exact(7))
    found = expectation(desk.ctx, replace(job, plan=replace(plan, window=window)), _attempt(job))
    assert isinstance(found, Expectation)


def test_a_plan_that_cannot_be_compared_says_why(desk: Desk, job: Job) -> None:
    plan = job.plan
    assert plan is not None

    def why(changed: Job, region: str = "local") -> str:
        told = expectation(desk.ctx, changed, _attempt(job, region))
        assert isinstance(told, str)
        return told

    assert why(replace(job, plan=None)) == "it was never planned"
    assert why(job, "away") == "it was planned for local and ran in away"
    gone = replace(job, plan=replace(plan, forecast_id=999))
    assert "no longer stored" in why(gone)
    early = replace(job, plan=replace(plan, forecast_id=None))
    assert "was not stored with its plan" in why(early)
    end = plan.window.end
    assert end is not None
    beyond = replace(plan.window, end=end + timedelta(days=90))
    assert "covers a part of it only" in why(replace(job, plan=replace(plan, window=beyond)))
    bare: Window = replace(plan.window, grams=None)
    dark = replace(plan, window=bare, nulls={"expected_g": "no source answers"})
    assert why(replace(job, plan=dark)) == "no source answers"
    silent = replace(plan, window=bare, nulls={})
    assert why(replace(job, plan=silent)) == "the plan has no figure for its carbon"
