"""A freed slot is used at the next pass, and jobs' own rules hold where slots are short."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler import config, engine
from scheduler.engine import Context, queue, submission
from scheduler.engine.request import Request
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from scheduler.models import Job

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
CASE = [500.0, 500, 100, 500, 300, *[500.0] * 44]
FLAT = [200.0] * 48


class Bench:
    """One region; jobs of an hour and 1 kW."""

    def __init__(self, folder: Path, hourly: list[float], slots: int) -> None:
        self.folder, self.clock, self.hourly = folder, FixedClock(NOW), hourly
        self.executor = FakeExecutor(self.clock, run_s=3600, capacity=99)
        self.ctx = self.opened(slots)

    def opened(self, slots: int) -> Context:
        """The same home, its config changed."""
        text = f"providers: [fake]\nregions: {{local: {{zone: DE, slots: {slots}}}}}\n"
        (self.folder / "config.yaml").write_text(text)
        loaded = config.load(None, {"LOWTIDE_HOME": str(self.folder / "home")}, self.folder)
        source = FakeProvider(NOW, {"DE": self.hourly})
        return Context.open(
            loaded,
            self.clock.now,
            sources={"fake": source},
            executors={"local": self.executor},
            clock=lambda: self.clock.now,
        )

    def submit(self, *argv: str, **fields: Any) -> str:
        given = {"duration": "1h", "deadline": "12h", "power": "1kW"} | fields
        request, now = Request(argv=argv or ("true",), **given), self.clock.now
        spec = submission.to_spec(
            request, self.ctx.config, now, "me", Path("/"), need_duration=True
        )
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)[0]

    def tick(self, **span: float) -> None:
        self.clock.advance(**span)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def job(self, job_id: str) -> Job:
        return self.ctx.store.jobs.get(job_id)

    def hour(self, job_id: str) -> float:
        plan = self.job(job_id).plan
        assert plan is not None
        return (plan.start - NOW) / HOUR


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def bench(hourly: list[float], slots: int = 1) -> Bench:
        made.append(Bench(tmp_path, hourly, slots))
        return made[-1]

    yield bench
    for each in made:
        each.ctx.close()


@pytest.mark.parametrize("seen", [0, 1, 3], ids=["at once", "after a pass", "after three passes"])
def test_the_hour_of_a_cancelled_job_is_taken_by_the_one_behind_it(
    make: Callable[..., Bench], seen: int
) -> None:
    bench = make(CASE)
    first, second = bench.submit(), bench.submit()
    assert (bench.hour(first), bench.hour(second)) == (2, 4)
    for _ in range(seen):
        bench.tick(seconds=10)
    engine.cancel(bench.ctx, first, bench.clock.now)
    bench.tick(seconds=10)
    assert bench.hour(second) == 2


def test_a_chain_of_waiting_jobs_moves_up(make: Callable[..., Bench]) -> None:
    bench = make([500.0, 100, 200, 300, *[500.0] * 44])
    first, second, third = (bench.submit() for _ in range(3))
    bench.tick(seconds=10)
    engine.cancel(bench.ctx, first, bench.clock.now)
    bench.tick(seconds=10)
    assert {bench.hour(second), bench.hour(third)} == {1, 2}


def test_an_early_end_lets_the_next_one_start_at_equal_carbon(make: Callable[..., Bench]) -> None:
    bench = make(FLAT)
    bench.executor.durations_s = {"sh": 600}
    first, second = bench.submit("sh"), bench.submit()
    bench.tick()
    assert bench.hour(second) == 1
    bench.tick(minutes=5)
    assert bench.job(second).state is JobState.PLANNED
    bench.tick(minutes=5, seconds=5)
    assert bench.job(first).state is JobState.SUCCEEDED
    assert bench.job(second).state is JobState.STARTING


def test_a_failure_frees_its_slot(make: Callable[..., Bench]) -> None:
    bench = make(CASE[2:])
    bench.executor.durations_s = {"false": 60}
    first, second = bench.submit("false"), bench.submit()
    bench.tick()
    assert bench.hour(second) == 2
    bench.tick(minutes=1, seconds=5)
    assert bench.job(first).state is JobState.FAILED
    assert bench.hour(second) < 0.1


def test_more_slots_in_the_config_are_used(make: Callable[..., Bench]) -> None:
    bench = make(CASE)
    first, second = bench.submit(), bench.submit()
    bench.tick(seconds=10)
    assert (bench.hour(first), bench.hour(second)) == (2, 4)
    bench.ctx.close()
    bench.ctx = bench.opened(slots=2)
    bench.tick(seconds=10)
    assert (bench.hour(first), bench.hour(second)) == (2, 2)


def test_one_job_of_many_moves_though_the_whole_saves_little(make: Callable[..., Bench]) -> None:
    bench = make(CASE)
    first, second = bench.submit(), bench.submit()
    for _ in range(6):
        bench.submit(power="100kW", deadline="48h")
    engine.cancel(bench.ctx, first, bench.clock.now)
    bench.tick(seconds=10)
    assert bench.hour(second) == 2


def test_nothing_is_planned_again_while_nothing_was_freed(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, looks, plan = make(FLAT), [], queue.plan

    def counted(*given: Any, **named: Any) -> queue.Joint:
        looks.append(given)
        return plan(*given, **named)

    monkeypatch.setattr(queue, "plan", counted)
    jobs = [bench.submit(slots=1) for _ in range(3)]
    bench.tick()
    assert len(looks) == 1
    # They start and end as planned.
    for _ in range(20):
        bench.tick(minutes=10)
    assert {bench.job(job_id).state for job_id in jobs} == {JobState.SUCCEEDED}
    assert len(looks) == 1


@pytest.mark.parametrize("later", [490.0, 495.0])
def test_the_least_saving_holds_where_the_best_hour_is_taken(
    make: Callable[..., Bench], later: float
) -> None:
    # The best hour saves 80 %, the best that is left 1 or 2 %.
    bench = make([500.0, 100, later, *[500.0] * 45])
    bench.submit(start_by="1h")
    picky = bench.submit(min_saving="10%")
    assert bench.hour(picky) == 0
    bench.tick()
    assert bench.job(picky).state is JobState.STARTING


def test_the_least_saving_holds_in_a_standing_plan_as_well(make: Callable[..., Bench]) -> None:
    bench = make([500.0, 490, 100, *[500.0] * 45])
    holder = bench.submit(earliest="2h", start_by="2h")
    blocker = bench.submit(deadline="1h")
    picky = bench.submit(min_saving="10%", earliest="10m")
    # Where it could start at once is held: it waits no longer than it has to.
    assert bench.hour(picky) == 1
    engine.cancel(bench.ctx, blocker, bench.clock.now)
    bench.tick(seconds=10)
    assert bench.hour(picky) == pytest.approx(1 / 6)
    engine.cancel(bench.ctx, holder, bench.clock.now)
    bench.tick(seconds=10)
    assert bench.hour(picky) == 2


def test_the_joint_plan_holds_to_the_forecast_s_error(make: Callable[..., Bench]) -> None:
    bench = make([500.0, 100, 480, *[500.0] * 45])
    told = FakeProvider.forecast

    class Unsure(FakeProvider):
        def forecast(self, *given: Any) -> Any:
            sure = told(self, *given)
            ahead_h = (sure.starts - NOW.timestamp()) / 3600
            return replace(sure, high=sure.g_per_kwh + 60 * ahead_h)

    bench.ctx.outlook._sources["fake"] = Unsure(NOW, {"DE": bench.hourly})  # type: ignore[index]
    bench.submit(start_by="1h")
    unsure = bench.submit()
    assert bench.hour(unsure) == 0
