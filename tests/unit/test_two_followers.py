"""Two dispatchers look at one attempt at the same moment: one of them tells what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import aftermath

from scheduler.engine import reap
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.base import RunState
    from scheduler.models import Attempt, Job
    from tests.unit.conftest import Desk


def _seen(desk: Desk, job_id: str) -> Callable[[], None]:
    """What the second one does with what it has read just now, whenever it comes to that."""
    job: Job = desk.job(job_id)
    attempt: Attempt = desk.ctx.store.jobs.attempts(job_id)[-1]
    state: RunState = desk.executor.poll(desk.ctx.runs.attempt(job_id, 1), attempt.token)
    return lambda: reap._follow(desk.ctx, job, attempt, state, desk.clock.now)


def test_an_end_that_another_has_told_is_not_told_again(desk: Desk) -> None:
    job_id = desk.submit("true")
    desk.tick(minutes=1)
    desk.clock.advance(hours=2)
    late = _seen(desk, job_id)
    desk.tick()
    late()
    assert desk.job(job_id).state is JobState.SUCCEEDED
    aftermath.assert_ended_once(desk.ctx.store)


def test_an_end_is_not_taken_for_that_of_the_next_attempt(desk: Desk) -> None:
    job_id = desk.submit("false", retries=1)
    desk.tick(minutes=1)
    desk.clock.advance(hours=2)
    late = _seen(desk, job_id)
    desk.tick()
    desk.tick(minutes=1)
    assert (desk.job(job_id).state.active, desk.job(job_id).attempt) == (True, 2)
    late()
    assert desk.job(job_id).state.active, "the second attempt still runs"
    desk.tick(hours=2)
    assert desk.job(job_id).state is JobState.FAILED
    aftermath.assert_ended_once(desk.ctx.store)
