"""Several hosts and accounts on one database: who plans, and who starts what."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Capabilities
from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scheduler.models import Job

LAB = """
providers: [fake]
regions:
  local: {zone: DE, slots: 2}
  lab: {zone: FR, executor: lab, host: b, slots: 2}
"""


class Machine:
    """One lowtide: a host, a home and engines of its own; intensity in DE falls at 10:00."""

    def __init__(
        self, folder: Path, host: str, settings: str, database: dict[str, str], now: datetime
    ) -> None:
        (folder / "config.yaml").write_text(settings)
        home = folder / host
        environ = {"LOWTIDE_HOME": str(home), "LOWTIDE_HOST": host} | database
        self.clock = FixedClock(now)
        self.executor = FakeExecutor(clock=self.clock, run_s=3600, capacity=2)
        self.config = config.load(None, environ, folder)
        hours = {"DE": [500.0, 500, *[100.0] * 46], "FR": [50.0] * 48}
        self.ctx = Context.open(
            self.config,
            now,
            sources={"fake": FakeProvider(now, hours)},
            executors={"local": self.executor, "lab": self.executor},
            environ=environ,
        )

    def submit(self, **fields: Any) -> str:
        given = {"duration": "1h", "deadline": "12h", "region": ("local",)} | fields
        request = Request(argv=("true",), **given)
        now = self.clock.now
        spec = submission.to_spec(request, self.config, now, "me", Path("/"), need_duration=True)
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)[0]

    def tick(self, **span: float) -> None:
        self.clock.advance(**span)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def job(self, job_id: str) -> Job:
        return self.ctx.store.jobs.get(job_id)


@pytest.fixture
def machine(
    tmp_path: Path, now: datetime, database: dict[str, str]
) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []
    shared = database or {"LOWTIDE_DATABASE": f"sqlite:///{tmp_path}/shared.db"}

    def make(host: str, settings: str = LAB) -> Machine:
        made.append(Machine(tmp_path, host, settings, shared, now))
        return made[-1]

    yield make
    for each in made:
        each.ctx.close()


def _shared(settings: str = LAB) -> str:
    return f"shared_runs: runs\n{settings}"


def test_a_job_without_a_host_runs_where_it_was_submitted(machine: Callable[..., Machine]) -> None:
    a, b = machine("a"), machine("b")
    job_id = a.submit(start_by="1s")
    b.tick(minutes=1)
    assert a.job(job_id).state is JobState.PLANNED, "b has not taken it"
    a.tick(minutes=1)
    assert a.job(job_id).state is JobState.STARTING
    assert a.ctx.store.jobs.attempts(job_id)[0].host == "a"
    b.tick(minutes=5)
    assert b.executor.launches == {}
    b.tick(hours=3)
    assert a.job(job_id).state is JobState.STARTING, "b does not follow what runs on a"
    a.tick(minutes=1)
    assert a.job(job_id).state is JobState.RUNNING


def test_a_host_that_sees_no_run_folders_is_no_choice(machine: Callable[..., Machine]) -> None:
    a = machine("a")
    with pytest.raises(UsageError, match=r"lab is on host b.*shared_runs"):
        a.submit(region=("lab",))
    anywhere = a.submit(region=())
    plan = a.job(anywhere).plan
    assert plan is not None
    assert plan.window.region == "local"


def test_with_shared_run_folders_the_regions_host_takes_it(
    machine: Callable[..., Machine],
) -> None:
    a, b = machine("a", _shared()), machine("b", _shared())
    job_id = a.submit(region=("lab",), start_by="1s")
    a.tick(minutes=1)
    assert a.job(job_id).state is JobState.PLANNED
    b.tick(minutes=1)
    assert a.job(job_id).state is JobState.STARTING
    (attempt,) = a.ctx.store.jobs.attempts(job_id)
    assert (attempt.host, attempt.region) == ("b", "lab")
    assert Path(attempt.run_dir).is_relative_to(a.config.base_dir / "runs")
    a.tick(minutes=2)
    assert a.job(job_id).state is JobState.STARTING
    b.tick(minutes=2)
    assert a.job(job_id).state is JobState.RUNNING


def test_a_job_of_another_account_is_left_alone(machine: Callable[..., Machine]) -> None:
    a, b = machine("a", _shared()), machine("a", _shared())
    theirs = b.ctx.here.origin.model_copy(update={"account": "somebody"})
    b.ctx.here = replace(b.ctx.here, origin=theirs)
    job_id = b.submit(start_by="1s")
    a.tick(minutes=1)
    assert a.job(job_id).state is JobState.PLANNED
    with pytest.raises(UsageError, match="somebody's"):
        engine.cancel(a.ctx, job_id, a.clock.now)
    b.tick(minutes=1)
    assert a.job(job_id).state is JobState.STARTING


def test_slots_are_those_of_each_host(machine: Callable[..., Machine]) -> None:
    a, b = machine("a"), machine("b")
    first = a.submit(slots=2, start_by="1s")
    a.tick(minutes=1)
    with pytest.raises(UsageError, match="cannot be met beside what runs"):
        a.submit(slots=2, start_by="1s")
    second = b.submit(slots=2, start_by="1s")
    b.tick(minutes=1)
    assert [a.job(job_id).state for job_id in (first, second)] == [JobState.STARTING] * 2


def test_jobs_of_other_hosts_are_in_nobodys_way(machine: Callable[..., Machine]) -> None:
    """Both have the best hour of their own host, and none is refused for the other."""
    a, b = machine("a"), machine("b")
    ids = [m.submit(slots=2, deadline="2h30m") for m in (a, b)]
    plans = [a.job(job_id).plan for job_id in ids]
    assert all(p is not None for p in plans)
    assert len({p.window.start for p in plans if p is not None}) == 1
    a.tick(seconds=5)
    queue = a.ctx.store.queue_plans.latest()
    assert queue is not None
    assert (queue.jobs, queue.late) == (2, 0)


def test_only_the_leader_plans_and_it_plans_for_all(machine: Callable[..., Machine]) -> None:
    a, b = machine("a"), machine("b")
    a.tick(seconds=1)
    leader = engine.leader(a.ctx, a.clock.now)
    assert leader is not None
    assert leader.owner == a.ctx.here.owner
    job_id = b.submit(retries=1, start_by="1s")
    b.executor.exit_codes = {"true": 1}
    for _ in range(2):
        a.tick(hours=1)
        b.tick(hours=1)
    assert b.job(job_id).state is JobState.QUEUED, "to be run again, and b plans nothing"
    a.tick(seconds=1)
    assert a.job(job_id).state is JobState.PLANNED
    b.tick(seconds=2)
    assert b.job(job_id).state is JobState.STARTING


def test_one_steps_down_and_the_other_leads(machine: Callable[..., Machine]) -> None:
    a, b = machine("a"), machine("b")
    a.tick(seconds=1)
    b.tick(seconds=1)
    engine.step_down(a.ctx)
    b.tick(seconds=1)
    leader = engine.leader(b.ctx, b.clock.now)
    assert leader is not None
    assert leader.owner == b.ctx.here.owner


def test_a_job_of_another_host_is_cancelled_by_that_host(machine: Callable[..., Machine]) -> None:
    a, b = machine("a"), machine("b")
    job_id = a.submit()
    kept = a.ctx.runs.environment(job_id)
    asked = engine.cancel(b.ctx, job_id, b.clock.now)
    assert asked.cancel_requested
    assert not asked.state.ended
    assert kept.exists()
    a.tick(minutes=1)
    assert a.job(job_id).state is JobState.CANCELLED
    assert not kept.exists()


def test_a_series_goes_on_at_its_own_host(machine: Callable[..., Machine]) -> None:
    a, b = machine("a"), machine("b")
    request = Request(argv=("true",), duration="1h", every="0 12 * * *", within="3h", tz="UTC")
    now = a.clock.now
    spec = submission.to_spec(request, a.config, now, "me", Path("/"), need_duration=True)
    _, first, _ = engine.submit_series(a.ctx, request, spec, dict(os.environ), now)
    engine.cancel(a.ctx, first, now)
    b.tick(minutes=1)
    assert len(a.ctx.store.jobs.find()) == 1
    a.tick(minutes=1)
    assert len(a.ctx.store.jobs.find()) == 2


def test_only_who_sees_the_journals_settles(machine: Callable[..., Machine]) -> None:
    a, b = machine("a"), machine("b")
    job_id = a.submit(start_by="1s")
    a.executor.watts = 100.0
    for _ in range(3):
        a.tick(hours=1)
    assert a.job(job_id).state is JobState.SUCCEEDED
    settled = a.ctx.store.settlements.versions(job_id)
    assert settled
    b.clock.now = a.clock.now
    b.tick(hours=30)
    assert a.ctx.store.settlements.versions(job_id) == settled
    assert engine.settlement_of(b.ctx, b.job(job_id), b.clock.now) is None


def test_a_job_waits_at_its_engine_for_the_host_that_handed_it_over(
    machine: Callable[..., Machine],
) -> None:
    """Both see its run folder; one alone hands it over, looks at it and moves it."""
    a, b = machine("a", _shared()), machine("b", _shared())
    for each in (a, b):
        each.executor.capabilities = Capabilities(begin_time=True)
    job_id = a.submit()
    b.tick(seconds=1)
    assert b.executor.launches == {}
    a.tick(seconds=2)
    handed = a.ctx.store.jobs.handed(a.job(job_id))
    assert handed is not None
    assert handed.host == "a"
    assert len(a.executor.launches) == 1
    b.tick(seconds=3)
    assert b.executor.launches == {}
