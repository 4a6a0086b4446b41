"""Jobs that pause at the end of a segment and go on at the next, on a fixed clock."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.errors import Unavailable
from scheduler import config, engine
from scheduler.engine import Context, rest, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scheduler.models import Job, Plan

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
# From 08:00 on: low at 09:00 and at 12:00, nowhere else for two days.
DE = [500, 100, 500, 500, 100, *[500] * 43]
SETTINGS = """
providers: [fake]
regions:
  local: {zone: DE, slots: 2}
"""


class Bench:
    """A context with fakes; jobs of two hours that may pause."""

    def __init__(self, tmp_path: Path, database: dict[str, str]) -> None:
        (tmp_path / "config.yaml").write_text(SETTINGS)
        self.clock = FixedClock(NOW)
        self.executor = FakeExecutor(clock=self.clock, run_s=7200)
        self.config = config.load(
            None, {"LOWTIDE_HOME": str(tmp_path / "home")} | database, tmp_path
        )
        self.provider = FakeProvider(NOW, {"DE": DE})
        self.ctx = Context.open(
            self.config, NOW, sources={"fake": self.provider}, executors={"local": self.executor}
        )

    def submit(self, *argv: str, **fields: Any) -> tuple[str, Plan]:
        given = {
            "duration": "2h", "deadline": "12h", "pausable": True, "power": "1kW",
            "resume_overhead": "0s", "min_run": "10m",
        }  # fmt: skip
        request = Request(argv=argv or ("true",), **(given | fields))
        now = self.clock.now
        spec = submission.to_spec(request, self.config, now, "me", Path("/"), need_duration=True)
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)

    def tick(self, **span: float) -> datetime | None:
        self.clock.advance(**span)
        return engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def job(self, job_id: str) -> Job:
        return self.ctx.store.jobs.get(job_id)

    def kinds(self, job_id: str) -> list[str]:
        return [event.kind for event in self.ctx.store.jobs.events(job_id)]


@pytest.fixture
def bench(tmp_path: Path, database: dict[str, str]) -> Iterator[Bench]:
    made = Bench(tmp_path, database)
    yield made
    made.ctx.close()


def _hours(plan: Plan) -> list[tuple[float, float]]:
    return [
        ((a - NOW).total_seconds() / 3600, (b - NOW).total_seconds() / 3600)
        for a, b in plan.window.spans
        if b is not None
    ]


def test_a_pausable_job_is_planned_in_segments_and_told_so(bench: Bench) -> None:
    _, plan = bench.submit()
    assert _hours(plan) == [(1, 2), (4, 5)]
    assert plan.window.grams is not None
    assert plan.window.grams.value == pytest.approx(200)
    assert "in 2 segments" in plan.reason


def test_it_pauses_by_checkpoint_and_goes_on_in_a_new_attempt(bench: Bench) -> None:
    job_id, _ = bench.submit()
    assert bench.tick() == NOW + timedelta(hours=1)
    assert bench.tick(hours=1) == NOW + timedelta(hours=2)
    assert bench.job(job_id).state is JobState.STARTING
    bench.tick(seconds=10)
    assert bench.job(job_id).state is JobState.RUNNING
    bench.tick(minutes=60)  # asked to pause
    bench.tick(seconds=10)  # seen to have paused, planned anew
    paused = bench.job(job_id)
    assert paused.state is JobState.PAUSED
    assert not paused.holds
    assert paused.plan is not None
    assert paused.plan.goes_on_at == NOW + timedelta(hours=4)
    assert paused.plan.run_now.grams is not None
    assert paused.plan.run_now.grams.value == pytest.approx(600)
    bench.tick(hours=1, minutes=58)
    assert bench.job(job_id).state is JobState.PAUSED
    bench.tick(minutes=2)
    assert bench.job(job_id).state is JobState.STARTING
    bench.tick(hours=1)
    bench.tick(minutes=2)
    done = bench.job(job_id)
    assert done.state is JobState.SUCCEEDED, done.reason
    attempts = bench.ctx.store.jobs.attempts(job_id)
    assert [(a.number, a.outcome) for a in attempts] == [(1, "paused"), (2, "succeeded")]
    assert done.ran_s == pytest.approx(7200, abs=1)
    assert done.started_at == NOW + timedelta(hours=1)
    settled = bench.ctx.store.settlements.latest(job_id)
    assert settled is not None
    assert len(settled.attempts) == 2


def test_a_job_that_is_only_stopped_keeps_its_slots_and_goes_on(bench: Bench) -> None:
    job_id, _ = bench.submit(pause_signal="stop", slots=2)
    bench.tick(hours=1)
    bench.tick(seconds=10)
    bench.tick(hours=1)
    bench.tick(seconds=10)
    paused = bench.job(job_id)
    assert paused.state is JobState.PAUSED
    assert paused.holds
    assert paused.plan is not None
    assert paused.plan.goes_on_at == NOW + timedelta(hours=4)
    with pytest.raises(UsageError, match="cannot be met beside"):
        bench.submit(pausable=False, deadline="130m", resume_overhead=None, min_run=None)
    bench.tick(minutes=30)
    assert bench.ctx.store.jobs.attempts(job_id)[-1].ended_at is None
    bench.tick(hours=1, minutes=29, seconds=50)
    assert bench.job(job_id).state is JobState.RUNNING
    bench.tick(hours=1, minutes=2)
    done = bench.job(job_id)
    assert done.state is JobState.SUCCEEDED
    assert len(bench.ctx.store.jobs.attempts(job_id)) == 1
    assert done.ran_s == pytest.approx(7200, abs=60)
    assert done.waited_s == pytest.approx(7200, abs=60)


def _to_its_pause(bench: Bench, **fields: Any) -> str:
    """A job that has been asked to pause and has been seen to have done it."""
    job_id, _ = bench.submit(**fields)
    for span in (3600, 10, 3590, 10):
        bench.tick(seconds=span)
    assert bench.job(job_id).state is JobState.PAUSED
    return job_id


def test_a_paused_job_is_cancelled_at_once(bench: Bench) -> None:
    job_id = _to_its_pause(bench)
    cancelled = engine.cancel(bench.ctx, job_id, bench.clock.now)
    assert (cancelled.state, cancelled.reason) == (JobState.CANCELLED, "cancelled while it waited")
    assert bench.tick(hours=5) is None
    assert len(bench.ctx.store.jobs.attempts(job_id)) == 1


def test_a_stopped_job_is_cancelled_with_all_that_it_holds(bench: Bench) -> None:
    job_id = _to_its_pause(bench, pause_signal="stop")
    engine.cancel(bench.ctx, job_id, bench.clock.now)
    bench.tick(seconds=1)
    assert bench.job(job_id).state is JobState.CANCELLED


def test_a_job_that_dies_of_the_request_starts_anew_and_is_not_paused_again(bench: Bench) -> None:
    bench.executor.unable = frozenset({"true"})
    job_id = _to_its_pause(bench)
    assert any("without a checkpoint" in e.detail for e in bench.ctx.store.jobs.events(job_id))
    plan = bench.job(job_id).plan
    assert plan is not None
    assert len(plan.window.spans) == 1
    assert plan.window.end is not None
    assert plan.window.end - plan.window.start == timedelta(hours=2)
    for _ in range(20):
        bench.tick(minutes=30)
    done = bench.job(job_id)
    assert done.state is JobState.SUCCEEDED
    attempts = bench.ctx.store.jobs.attempts(job_id)
    assert [a.outcome for a in attempts] == ["interrupted", "succeeded"]
    assert done.ended_at is not None
    assert done.ended_at <= NOW + timedelta(hours=12)


def test_no_pause_where_the_deadline_would_be_in_danger(bench: Bench) -> None:
    job_id, _ = bench.submit(resume_overhead="5m")
    bench.tick(hours=1)
    bench.tick(seconds=10)
    half = NOW + timedelta(hours=2)
    job = bench.job(job_id)

    def may(deadline: timedelta) -> bool:
        spec = job.spec.model_copy(update={"deadline": half + deadline})
        return rest.may_pause(bench.ctx, replace(job, spec=spec), half)

    # An hour is left, five minutes of reload, and three looks at the queue.
    assert may(timedelta(minutes=66))
    assert not may(timedelta(minutes=65))


def test_a_job_that_outlasts_its_duration_is_not_paused_any_more(bench: Bench) -> None:
    bench.executor.run_s = 4 * 3600
    job_id, _ = bench.submit()
    bench.tick(hours=1)
    bench.tick(seconds=10)
    bench.tick(hours=2)
    assert bench.job(job_id).state is JobState.RUNNING
    assert "no pause" in bench.kinds(job_id)
    bench.tick(hours=2)
    assert bench.job(job_id).state is JobState.SUCCEEDED


def test_a_pause_without_any_source_keeps_the_segments_as_planned(bench: Bench) -> None:
    job_id, _ = bench.submit()
    for span in (3600, 10, 3590):
        bench.tick(seconds=span)
    bench.provider.fails = Unavailable("the source is dead")
    bench.tick(seconds=10)
    paused = bench.job(job_id)
    assert paused.state is JobState.PAUSED
    assert paused.plan is not None
    assert paused.plan.start == NOW + timedelta(hours=4)


def test_a_job_that_checkpoints_by_itself_goes_on_at_the_next_segment(bench: Bench) -> None:
    job_id, _ = bench.submit()
    bench.tick(hours=1)
    attempt = bench.ctx.store.jobs.attempts(job_id)[-1]
    bench.tick(minutes=30)
    bench.executor.pause(Path(attempt.run_dir), attempt.token)
    bench.tick(seconds=10)
    bench.tick(seconds=50)
    again = bench.job(job_id)
    # Half an hour is done: the rest of this low hour comes first, within a minute.
    assert (again.state, again.attempt) == (JobState.STARTING, 2)
    assert again.plan is not None
    assert [round(h, 1) for span in _hours(again.plan) for h in span] == [1, 1.5, 1.5, 2, 4, 5]
    for _ in range(12):
        bench.tick(minutes=30)
    done = bench.job(job_id)
    assert done.state is JobState.SUCCEEDED
    assert done.ran_s == pytest.approx(7200, abs=1)


def test_checkpoints_without_progress_end_the_job(bench: Bench) -> None:
    job_id, _ = bench.submit(resume_overhead="1m")
    for number in (1, 2, 3):
        while bench.job(job_id).attempt < number:
            bench.tick(minutes=5)
        attempt = bench.ctx.store.jobs.attempts(job_id)[-1]
        bench.executor.pause(Path(attempt.run_dir), attempt.token)
        bench.tick(seconds=1)
    ended = bench.job(job_id)
    assert ended.state is JobState.FAILED
    assert "without any progress" in ended.reason


def test_segments_are_no_retries(bench: Bench) -> None:
    bench.executor.exit_codes = {"true": 3}
    job_id = _to_its_pause(bench, retries=1)
    for _ in range(22):
        bench.tick(minutes=30)
    outcomes = [a.outcome for a in bench.ctx.store.jobs.attempts(job_id)]
    assert outcomes[:2] == ["paused", "failed"]
    assert outcomes.count("failed") == 2
    assert bench.job(job_id).state is JobState.FAILED


def test_the_time_limit_counts_over_all_segments(bench: Bench) -> None:
    job_id = _to_its_pause(bench, time_limit="90m")
    bench.tick(hours=2)
    launches = [launch for launch, _ in bench.executor.launches.values()]
    assert [round(launch.time_limit_s or 0) for launch in launches] == [5400, 1800]
    assert launches[0].work_dir == launches[1].work_dir
    assert bench.job(job_id).state is JobState.STARTING
