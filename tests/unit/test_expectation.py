"""What a plan counted with, as the settlement finds it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

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


def test_the_forecast_of_the_plan_is_found_by_its_mean(desk: Desk, job: Job) -> None:
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


def test_a_plan_that_cannot_be_compared_says_why(desk: Desk, job: Job) -> None:
    plan = job.plan
    assert plan is not None

    def why(changed: Job, region: str = "local") -> str:
        told = expectation(desk.ctx, changed, _attempt(job, region))
        assert isinstance(told, str)
        return told

    assert why(replace(job, plan=None)) == "it was never planned"
    assert why(job, "away") == "it was planned for local and ran in away"
    gone = replace(job, plan=replace(plan, forecast_ids=()))
    assert "no longer stored" in why(gone)
    other = replace(plan.window, g_per_kwh=Triple.exact(7))
    assert "no longer stored" in why(replace(job, plan=replace(plan, window=other)))
    bare: Window = replace(plan.window, grams=None)
    dark = replace(plan, window=bare, nulls={"expected_g": "no source answers"})
    assert why(replace(job, plan=dark)) == "no source answers"
    silent = replace(plan, window=bare, nulls={})
    assert why(replace(job, plan=silent)) == "the plan has no figure for its carbon"
