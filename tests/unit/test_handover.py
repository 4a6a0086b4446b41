"""Planned jobs at an engine that keeps begin times itself, on a fixed clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Capabilities, RunState
from providers.errors import ExecutorError
from scheduler import config, engine
from scheduler.engine import Context, handover, submission
from scheduler.engine.request import Request
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.base import Launch
    from scheduler.models import Attempt, Job

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SETTINGS = """
providers: [fake]
home: north
regions:
  north: {zone: SE-SE3, slots: 2, executor: far}
  south: {zone: DE, slots: 2, executor: far}
  here: {zone: FR, slots: 2, executor: local}
"""
LOW, HIGH = 50.0, 500.0


def _low_at(hour: int) -> list[float]:
    return [LOW if h == hour else HIGH for h in range(48)]


class Desk:
    """Three regions: two of one engine with begin times, and this machine."""

    def __init__(self, folder: Path) -> None:
        (folder / "config.yaml").write_text(SETTINGS)
        self.clock = FixedClock(NOW)
        self.far = FakeExecutor(
            self.clock, run_s=3600, capabilities=Capabilities(begin_time=True, assigns_gpus=True)
        )
        self.local = FakeExecutor(self.clock, run_s=3600)
        self.source = FakeProvider(
            NOW, {"SE-SE3": _low_at(5), "DE": [HIGH] * 48, "FR": [HIGH] * 48}
        )
        self.config = config.load(None, {"LOWTIDE_HOME": str(folder / "home")}, folder)
        self.ctx = Context.open(
            self.config,
            NOW,
            sources={"fake": self.source},
            executors={"far": self.far, "local": self.local},
        )

    def submit(self, **fields: Any) -> str:
        given = {"argv": ("true",), "duration": "1h", "deadline": "30h", "power": "1kW"} | fields
        request, now = Request(**given), self.clock.now
        spec = submission.to_spec(request, self.config, now, "me", Path("/"), need_duration=True)
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)[0]

    def tell(self, **hourly: list[float]) -> None:
        """The source tells something else from now on."""
        self.source.hourly = dict(self.source.hourly) | hourly

    def tick(self, **span: float) -> None:
        self.clock.advance(**span)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def job(self, job_id: str) -> Job:
        return self.ctx.store.jobs.get(job_id)

    def attempt(self, job_id: str) -> Attempt:
        return self.ctx.store.jobs.attempts(job_id)[-1]

    def begins(self, job_id: str) -> datetime:
        return self.far.launches[self.attempt(job_id).run_dir][1]

    def kinds(self, job_id: str) -> list[str]:
        return [event.kind for event in self.ctx.store.jobs.events(job_id)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.ctx.close()


def _at(hour: float) -> datetime:
    return NOW + timedelta(hours=hour)


def test_a_planned_job_waits_at_its_engine_and_begins_though_nobody_looks(desk: Desk) -> None:
    job_id = desk.submit(gpus=2)
    desk.tick()
    assert desk.job(job_id).state is JobState.PLANNED
    assert desk.begins(job_id) == _at(5)
    launch = desk.far.launches[desk.attempt(job_id).run_dir][0]
    assert (launch.gpus, launch.gpu_count, launch.region) == ((), 2, "north")
    desk.tick(hours=6, minutes=30)  # nobody looked for hours
    job = desk.job(job_id)
    assert job.state is JobState.SUCCEEDED
    assert (job.started_at, job.ended_at) == (_at(5), _at(6))
    assert [a.number for a in desk.ctx.store.jobs.attempts(job_id)] == [1]


def test_a_new_plan_moves_it_in_time_and_to_another_region(desk: Desk) -> None:
    job_id = desk.submit(region=("north", "south"))
    desk.tick()
    desk.tell(**{"SE-SE3": _low_at(9)})
    desk.tick(minutes=20)
    assert desk.begins(job_id) == _at(9)
    desk.tell(**{"SE-SE3": [HIGH] * 48, "DE": _low_at(3)})
    desk.tick(minutes=20)
    attempt = desk.attempt(job_id)
    assert (attempt.number, attempt.region) == (1, "south")
    assert desk.begins(job_id) == _at(3)
    assert desk.far.launches[attempt.run_dir][0].region == "south"
    desk.tick(hours=3)
    assert desk.job(job_id).state is JobState.RUNNING
    assert desk.job(job_id).region == "south"


def test_for_an_engine_that_is_another_it_is_taken_back_first(desk: Desk) -> None:
    job_id = desk.submit(region=("north", "here"))
    desk.tick()
    first = desk.attempt(job_id)
    desk.tell(**{"SE-SE3": [HIGH] * 48, "FR": _low_at(2)})
    desk.tick(minutes=20)
    assert desk.ctx.store.jobs.attempts(job_id)[0].outcome == "withdrawn"
    assert desk.far.poll(Path(first.run_dir), first.token).phase == "gone"
    desk.tick(hours=2)
    desk.tick(seconds=10)
    assert desk.job(job_id).state is JobState.RUNNING
    assert desk.attempt(job_id).number == 2
    assert list(desk.local.launches) == [desk.attempt(job_id).run_dir]
    desk.tick(hours=2)
    assert desk.job(job_id).state is JobState.SUCCEEDED


def test_what_waits_there_can_be_cancelled(desk: Desk) -> None:
    job_id = desk.submit()
    desk.tick()
    engine.cancel(desk.ctx, job_id, desk.clock.now)
    desk.tick(seconds=10)
    assert desk.job(job_id).state is JobState.CANCELLED
    attempt = desk.attempt(job_id)
    desk.clock.advance(hours=10)
    assert desk.far.poll(Path(attempt.run_dir), attempt.token).phase == "gone"


def test_what_its_engine_lets_go_of_is_started_anew(desk: Desk) -> None:
    job_id = desk.submit()
    desk.tick()
    first = desk.attempt(job_id)
    desk.far.stop(Path(first.run_dir), first.token, 1.0)  # scancel, by its owner
    desk.tick(minutes=1)
    desk.tick(minutes=1)
    assert "withdrawn" in desk.kinds(job_id)
    assert desk.attempt(job_id).number == 2
    desk.tick(hours=7)
    assert desk.job(job_id).state is JobState.SUCCEEDED


def test_what_waits_for_another_job_is_not_handed_over(desk: Desk) -> None:
    first = desk.submit()
    request = Request(argv=("true",), duration="1h", deadline="30h", power="1kW")
    spec = submission.to_spec(request, desk.config, NOW, "me", Path("/"), need_duration=True)
    spec = spec.model_copy(update={"after": (first,)})
    second, _ = engine.submit(desk.ctx, request, spec, dict(os.environ), NOW)
    desk.tick()
    assert desk.ctx.store.jobs.attempts(second) == []
    assert len(desk.ctx.store.jobs.attempts(first)) == 1


def test_a_retry_is_handed_over_once_more(desk: Desk) -> None:
    desk.tell(**{"SE-SE3": [LOW if h in {1, 4} else HIGH for h in range(48)]})
    job_id = desk.submit(argv=("false",), retries=1)
    desk.tick()
    desk.tick(hours=2, minutes=1)
    desk.tick(minutes=1)
    numbers = [(a.number, a.outcome) for a in desk.ctx.store.jobs.attempts(job_id)]
    assert numbers == [(1, "failed"), (2, None)]
    assert desk.begins(job_id) == _at(4)
    desk.tick(hours=4)
    assert desk.job(job_id).state is JobState.FAILED


def _two_lows() -> list[float]:
    return [LOW if h in {1, 5} else HIGH for h in range(48)]


def test_what_has_checkpointed_waits_at_its_engine_for_its_next_segment(desk: Desk) -> None:
    desk.far.run_s = 2 * 3600
    desk.tell(**{"SE-SE3": _two_lows()})
    job_id = desk.submit(duration="2h", pausable=True, region=("north",))
    desk.tick()
    assert desk.begins(job_id) == _at(1)
    desk.tick(hours=1, minutes=1)
    assert desk.job(job_id).state is JobState.RUNNING
    desk.tick(hours=1)
    desk.tick(minutes=1)
    assert (desk.job(job_id).state, desk.attempt(job_id).number) == (JobState.PAUSED, 2)
    assert desk.begins(job_id) == _at(5)
    assert not desk.job(job_id).holds
    desk.tick(hours=6)  # nobody looked for hours
    job, (first, second) = desk.job(job_id), desk.ctx.store.jobs.attempts(job_id)
    assert job.state is JobState.SUCCEEDED
    assert (first.outcome, second.started_at, job.attempt) == ("paused", _at(5), 2)


def test_a_pause_that_waits_at_its_engine_is_moved_and_cancelled_there(desk: Desk) -> None:
    desk.far.run_s = 2 * 3600
    desk.tell(**{"SE-SE3": _two_lows()})
    job_id = desk.submit(duration="2h", pausable=True, region=("north",))
    for span in ({}, {"hours": 1, "minutes": 1}, {"hours": 1}, {"minutes": 1}):
        desk.tick(**span)
    desk.tell(**{"SE-SE3": _low_at(9)})
    desk.tick(minutes=20)
    assert desk.begins(job_id) == _at(9)
    engine.cancel(desk.ctx, job_id, desk.clock.now)
    desk.tick(minutes=1)
    assert desk.job(job_id).state is JobState.CANCELLED
    assert desk.attempt(job_id).started_at is None
    desk.tick(hours=10)
    assert [a.number for a in desk.ctx.store.jobs.attempts(job_id)] == [1, 2]


def test_a_better_place_now_takes_it_back_and_starts_it_at_once(desk: Desk) -> None:
    job_id = desk.submit(region=("north", "here"))
    desk.tick()
    first = desk.attempt(job_id)
    desk.tell(**{"SE-SE3": [HIGH] * 48, "FR": _low_at(0)})
    desk.tick(minutes=20)
    assert desk.ctx.store.jobs.attempts(job_id)[0].outcome == "withdrawn"
    desk.tick(seconds=10)
    job, second = desk.job(job_id), desk.attempt(job_id)
    assert (job.state, job.region, second.number) == (JobState.RUNNING, "here", 2)
    assert desk.far.poll(Path(first.run_dir), first.token).phase == "gone"


def test_what_has_begun_there_meanwhile_is_not_taken_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = desk.submit(region=("north", "here"))
    desk.tick()
    first = desk.attempt(job_id)
    look = desk.far.poll

    def begins_meanwhile(run_dir: Path, token: str) -> RunState:
        seen = look(run_dir, token)
        if seen.phase == "waiting":
            desk.far.start(desk.far.launches[first.run_dir][0])
        return seen

    monkeypatch.setattr(desk.far, "poll", begins_meanwhile)
    desk.tell(**{"SE-SE3": [HIGH] * 48, "FR": _low_at(2)})
    desk.tick(minutes=20)
    desk.tick(seconds=10)
    assert (desk.job(job_id).state, desk.job(job_id).region) == (JobState.RUNNING, "north")
    assert desk.far.stopped == {}
    desk.tick(hours=2)
    assert desk.job(job_id).state is JobState.SUCCEEDED
    assert desk.local.launches == {}


def test_a_cancel_while_it_is_handed_over_reaches_its_engine(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, jobs = desk.submit(), desk.ctx.store.jobs
    handed, passes = jobs.handed, [1]

    def handed_just_before(job: Job) -> Attempt | None:
        found = handed(job)
        if passes:
            passes.pop()
            desk.tick()
        return found

    monkeypatch.setattr(jobs, "handed", handed_just_before)
    engine.cancel(desk.ctx, job_id, desk.clock.now)
    assert not passes
    for _ in range(3):
        desk.tick(seconds=10)
    assert desk.job(job_id).state is JobState.CANCELLED
    attempt = desk.attempt(job_id)
    desk.tick(hours=10)
    assert desk.far.poll(Path(attempt.run_dir), attempt.token).phase == "gone"
    assert desk.attempt(job_id).ended_at is not None


@pytest.mark.parametrize("first", ["claim", "withdraw"])
def test_an_attempt_is_claimed_or_withdrawn_and_not_both(desk: Desk, first: str) -> None:
    job_id, jobs = desk.submit(), desk.ctx.store.jobs
    desk.tick()
    job, attempt = desk.job(job_id), desk.attempt(job_id)
    if first == "claim":
        assert jobs.claim(job, attempt, (), None)
        jobs.withdraw(job, attempt, desk.clock.now, "it is gone")
        assert (desk.job(job_id).state, desk.attempt(job_id).ended_at) == (JobState.STARTING, None)
    else:
        jobs.withdraw(job, attempt, desk.clock.now, "it is gone")
        assert not jobs.claim(job, attempt, (), None)
        assert desk.job(job_id).state is JobState.PLANNED
    assert desk.kinds(job_id).count("withdrawn") == (first == "withdraw")


def test_only_the_next_jobs_wait_at_their_engines(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "AT_MOST", 2)
    desk.tell(**{"SE-SE3": [LOW if h in {5, 6} else HIGH for h in range(48)]})
    jobs = [desk.submit(region=("north",)) for _ in range(4)]
    for _ in range(3):
        desk.tick(minutes=1)
    handed = [job_id for job_id in jobs if desk.ctx.store.jobs.attempts(job_id)]
    assert len(handed) == 2
    for _ in range(8):
        desk.tick(hours=1)
    assert {desk.job(job_id).state for job_id in jobs} == {JobState.SUCCEEDED}


def test_what_began_and_died_unseen_is_lost_and_not_run_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = desk.submit()
    desk.tick()
    first = desk.attempt(job_id)
    begun_s = _at(5).timestamp()
    died = RunState("gone", begun_s, detail="NODE_FAIL")
    monkeypatch.setattr(desk.far, "poll", lambda *_: died)
    desk.tick(hours=9)
    (attempt,) = desk.ctx.store.jobs.attempts(job_id)
    assert desk.job(job_id).state is JobState.LOST
    assert (attempt.outcome, attempt.started_at) == ("lost", _at(5))
    assert "withdrawn" not in desk.kinds(job_id)
    assert first.number == attempt.number


def test_what_its_engine_refuses_is_started_where_a_new_plan_says(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = desk.submit(region=("north", "here"))

    def refuse(launch: Launch, begin_s: float | None = None) -> None:
        raise ExecutorError("sbatch: error: Invalid account")

    monkeypatch.setattr(desk.far, "start", refuse)
    desk.tick()
    assert "hand over failed" in desk.kinds(job_id)
    desk.tell(**{"SE-SE3": [HIGH] * 48, "FR": _low_at(1)})
    desk.tick(minutes=20)
    desk.tick(hours=1)
    desk.tick(seconds=10)
    assert (desk.job(job_id).state, desk.job(job_id).region) == (JobState.RUNNING, "here")


def test_one_that_is_due_and_still_waits_for_its_old_hour_is_asked_for_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = desk.submit(region=("north",))
    desk.tick()
    assert desk.begins(job_id) == _at(5)
    start, silent = desk.far.start, [True]

    def once_silent(launch: Launch, begin_s: float | None = None) -> None:
        if silent:
            silent.pop()
            raise ExecutorError("scontrol did not answer")
        start(launch, begin_s)

    monkeypatch.setattr(desk.far, "start", once_silent)
    desk.tell(**{"SE-SE3": _low_at(0)})
    desk.tick(minutes=20)
    assert desk.job(job_id).state is JobState.STARTING
    assert "start failed" in desk.kinds(job_id)
    desk.tick(seconds=10)
    desk.tick(seconds=10)
    assert desk.job(job_id).state is JobState.RUNNING
