"""Jobs that wait for others."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from scheduler import engine
from scheduler.errors import UsageError
from scheduler.models import JobState

if TYPE_CHECKING:
    from datetime import datetime

    from tests.unit.conftest import Desk

HOUR = timedelta(hours=1)


def _start(desk: Desk, job_id: str) -> datetime:
    plan = desk.job(job_id).plan
    assert plan is not None
    return plan.window.start


def test_a_job_is_planned_and_started_after_those_it_waits_for(desk: Desk, now: datetime) -> None:
    first = desk.submit(earliest="2h")
    second = desk.submit(after=(first[:5], first))
    third = desk.submit(after=(second,))
    assert desk.job(second).spec.after == (first,)
    assert _start(desk, second) == now + 3 * HOUR
    assert _start(desk, third) == now + 4 * HOUR
    desk.tick(hours=2)
    desk.tick(hours=1)
    assert desk.job(first).state is JobState.SUCCEEDED
    assert desk.job(second).state is JobState.STARTING
    desk.tick(hours=1)
    desk.tick(hours=1)
    assert desk.job(third).state is JobState.SUCCEEDED


def test_what_ends_early_lets_the_next_begin_early(desk: Desk, now: datetime) -> None:
    first = desk.submit()
    second = desk.submit(after=(first,))
    assert _start(desk, second) == now + HOUR
    desk.executor.run_s = 600
    desk.tick()
    desk.tick(minutes=10)
    assert desk.job(second).state is JobState.STARTING


def test_what_ends_late_holds_back_the_next_without_a_flood_of_words(
    desk: Desk, now: datetime
) -> None:
    first = desk.submit(deadline="2h")
    second = desk.submit(after=(first,), deadline="3h")
    desk.executor.run_s = 3 * 3600
    desk.tick()
    for _ in range(30):
        desk.tick(minutes=5, seconds=58)
    assert desk.job(second).state is JobState.PLANNED, "past its latest start, and not started"
    assert "latest safe start" in desk.story(second, "late")[0]
    assert desk.story(second, "waiting")[-1] == f"for {first} (running)"
    assert len(desk.ctx.store.jobs.events(second)) < 20
    desk.tick(minutes=2)
    assert desk.job(first).state is JobState.SUCCEEDED
    assert desk.job(second).state is JobState.STARTING


def test_an_urgent_job_does_not_keep_slots_from_the_one_it_waits_for(desk: Desk) -> None:
    first = desk.submit(slots=2, deadline="10h")
    second = desk.submit(after=(first,), slots=2, deadline="2h")
    desk.tick(minutes=1)
    assert desk.job(first).state is JobState.STARTING
    assert desk.job(second).state is JobState.PLANNED


@pytest.mark.parametrize("retries", [0, 1])
def test_a_failure_cancels_all_that_waits_once_no_retry_is_left(desk: Desk, retries: int) -> None:
    first = desk.submit("false", retries=retries)
    second = desk.submit(after=(first,))
    third = desk.submit(after=(second,))
    desk.tick()
    for _ in range(retries):
        desk.tick(hours=1)
        assert desk.job(second).state is JobState.PLANNED
    desk.tick(hours=1)
    assert desk.job(first).state is JobState.FAILED
    assert desk.job(second).state is JobState.CANCELLED
    assert f"{first}, which is failed (exit code 1)" in desk.job(second).reason
    assert not desk.ctx.runs.environment(second).exists()
    desk.tick()
    assert desk.job(third).state is JobState.CANCELLED
    assert second in desk.job(third).reason


def test_a_cancelled_job_cancels_what_waits_for_it(desk: Desk) -> None:
    first = desk.submit(earliest="2h")
    second = desk.submit(after=(first,))
    engine.cancel(desk.ctx, first, desk.clock.now)
    desk.tick()
    assert desk.job(second).state is JobState.CANCELLED
    with pytest.raises(UsageError, match="that job is cancelled"):
        desk.submit(after=(first,))


def test_a_job_after_one_that_succeeded_just_runs(desk: Desk) -> None:
    first = desk.submit()
    desk.tick()
    desk.tick(hours=1)
    second = desk.submit(after=(first,))
    desk.tick()
    assert desk.job(second).state is JobState.STARTING


def test_an_assumed_deadline_counts_from_the_end_of_the_others(desk: Desk, now: datetime) -> None:
    first = desk.submit(earliest="30h", duration="2h", deadline="33h")
    second = desk.submit(after=(first,))
    assert desk.job(second).spec.deadline == now + 32 * HOUR + 25 * HOUR


@pytest.mark.parametrize("bound", [{"deadline": "3h30m"}, {"start_by": "2h"}])
def test_a_chain_that_cannot_meet_its_times_is_refused(desk: Desk, bound: dict[str, str]) -> None:
    first = desk.submit(earliest="2h", deadline="4h")
    with pytest.raises(UsageError, match="ends at 2026-03-02T12:00:00Z at the earliest"):
        desk.submit(after=(first,), **bound)
    assert len(desk.jobs()) == 1


def test_the_saving_is_counted_from_when_it_could_have_begun(desk: Desk, now: datetime) -> None:
    first = desk.submit()
    second = desk.submit(after=(first,))
    plan = desk.job(second).plan
    assert plan is not None
    assert plan.run_now.start == now + HOUR
