"""Hard bounds where a job starts: its release, its next segment, the regions that it may use."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from providers.base import Capabilities
from scheduler import engine
from scheduler.engine import bounds, dispatch
from scheduler.errors import UsageError
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conftest import Desk

MINUTES = timedelta(minutes=5)


@pytest.mark.parametrize("ahead", [timedelta(minutes=1), MINUTES], ids=["cron", "a slow daemon"])
def test_a_release_between_two_looks_is_waited_for_and_woken_for(
    desk: Desk, ahead: timedelta
) -> None:
    """Its latest safe start is its release, which lies before the next look."""
    job_id = desk.submit(duration="1h", earliest="55s", deadline="61m")
    release = desk.job(job_id).spec.release
    due = engine.tick(desk.ctx, desk.clock.now, desk.clock.now + ahead)
    assert desk.job(job_id).state is JobState.PLANNED
    assert due == release
    desk.clock.advance(seconds=54)
    engine.tick(desk.ctx, desk.clock.now, desk.clock.now + ahead)
    assert desk.executor.launches == {}
    desk.clock.advance(seconds=1)
    engine.tick(desk.ctx, desk.clock.now, desk.clock.now + ahead)
    assert desk.job(job_id).state is JobState.STARTING


def test_a_latest_start_before_the_next_look_starts_a_job_that_is_released(desk: Desk) -> None:
    job_id = desk.submit(duration="1h", earliest="55s", deadline="62m")
    desk.clock.advance(seconds=56)
    engine.tick(desk.ctx, desk.clock.now, desk.clock.now + MINUTES)
    assert desk.job(job_id).state is JobState.STARTING


def test_an_occurrence_does_not_run_before_its_minute(desk: Desk) -> None:
    series, job_id = desk.repeat(duration="30s", every="* * * * *", within="55s")
    at = desk.job(job_id).spec.release
    engine.tick(desk.ctx, desk.clock.now, desk.clock.now + timedelta(minutes=1))
    assert desk.job(job_id).state is JobState.PLANNED
    desk.clock.now = at
    engine.tick(desk.ctx, desk.clock.now, desk.clock.now + timedelta(minutes=1))
    assert desk.job(job_id).state is JobState.STARTING
    assert series.next > at


def test_a_begin_time_at_an_engine_is_not_moved_before_the_release(desk: Desk) -> None:
    desk.executor.capabilities = Capabilities(begin_time=True)
    job_id = desk.submit(duration="1h", earliest="55s", deadline="61m")
    for _ in range(3):
        engine.tick(desk.ctx, desk.clock.now, desk.clock.now + MINUTES)
        desk.clock.advance(seconds=10)
    ((_, begin),) = desk.executor.launches.values()
    assert begin == desk.job(job_id).spec.release


def test_an_attempt_that_was_claimed_on_a_fast_clock_is_not_launched_before_its_release(
    desk: Desk,
) -> None:
    job_id = desk.submit(earliest="2h", deadline="12h")
    desk.tick()
    job = desk.job(job_id)
    early = dispatch.draft(desk.ctx, job, desk.clock.now, ())
    assert desk.ctx.store.jobs.claim(job, early, (), 2)
    desk.tick(minutes=1)
    assert desk.executor.launches == {}
    desk.tick(hours=2)
    assert len(desk.executor.launches) == 1


def test_a_region_that_a_job_may_not_use_is_no_place_to_start(desk: Desk) -> None:
    job = desk.job(desk.submit(region=("local",)))
    now = desk.clock.now
    assert bounds.allows(desk.ctx, job, "local", now, now)
    elsewhere = replace(job, spec=job.spec.model_copy(update={"regions": ("lab",)}))
    assert not bounds.allows(desk.ctx, elsewhere, "local", now, now)
    assert "only in lab" in desk.story(job.id, "trouble")[-1]


def test_a_job_whose_region_has_left_the_config_starts_in_time_in_another(
    make_desk: Callable[[str], Desk],
) -> None:
    before = make_desk("  spare: {zone: DE, executor: local, slots: 2}\n")
    other = before.submit(slots=2, deadline="1h")
    job_id = before.submit(slots=2, earliest="10m", deadline="70m")
    plan = before.job(job_id).plan
    assert plan is not None
    assert plan.window.region == "spare"
    engine.cancel(before.ctx, other, before.clock.now)
    desk = make_desk("")
    desk.tick(minutes=5)
    desk.tick(minutes=5)
    assert desk.job(job_id).region == "local"
    assert desk.job(job_id).state is JobState.STARTING


def test_a_plan_in_a_region_that_has_left_the_config_is_no_trouble_of_newcomers(
    make_desk: Callable[[str], Desk],
) -> None:
    before = make_desk("  spare: {zone: DE, executor: local, slots: 2}\n")
    for _ in range(2):
        before.submit(slots=2, deadline="1h")
    desk = make_desk("")
    with pytest.raises(UsageError, match="cannot be met beside"):
        desk.submit(slots=2, deadline="1h")
    desk.submit(slots=2, deadline="4h")
