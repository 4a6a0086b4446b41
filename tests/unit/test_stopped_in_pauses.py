"""A pause that only stops a job keeps its hardware held: plans count that as settlements do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from scheduler import config, engine
from scheduler.engine import Context, power, submission
from scheduler.engine.request import Request
from scheduler.models import JobState
from scheduler.sci import AttemptRecord, count, settle
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from scheduler.models import JobSpec, Plan, Settlement

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
# Low at 09:00 and at 13:00.
GRID = [500.0, 100, 500, 500, 500, 100, *[500.0] * 42]
SETTINGS = """
providers: [fake]
regions:
  local:
    zone: DE
    slots: 2
    {hardware}
"""
HARDWARE = "hardware: {{embodied_kg: {kg}, lifespan: 4y, slots: 2, source: test}}"


class Bench:
    """One region with hardware of so many kg; jobs of two hours that are stopped in pauses."""

    def __init__(self, folder: Path, kg: float) -> None:
        hardware = HARDWARE.format(kg=kg) if kg else ""
        (folder / "config.yaml").write_text(SETTINGS.format(hardware=hardware))
        self.clock = FixedClock(NOW)
        self.executor = FakeExecutor(self.clock, run_s=7200)
        self.config = config.load(None, {"LOWTIDE_HOME": str(folder / "home")}, folder)
        self.source = FakeProvider(NOW, {"DE": GRID})
        self.ctx = Context.open(
            self.config, NOW, sources={"fake": self.source}, executors={"local": self.executor}
        )

    def request(self, **fields: Any) -> tuple[Request, JobSpec]:
        given = {
            "duration": "2h", "deadline": "12h", "pausable": True, "pause_signal": "stop",
            "power": "1kW", "resume_overhead": "0s",
        }  # fmt: skip
        request = Request(argv=("true",), **(given | fields))
        now = self.clock.now
        spec = submission.to_spec(request, self.config, now, "me", Path("/"), need_duration=True)
        return request, spec

    def plan(self, **fields: Any) -> tuple[JobSpec, Plan]:
        _, spec = self.request(**fields)
        return spec, engine.plan(self.ctx, spec, self.clock.now, to_run=True)

    def settled(self, spec: JobSpec, plan: Plan) -> Settlement:
        """What a run would cost that follows the plan to the second."""
        watts = plan.power.watts
        assert watts is not None
        idle = power.held(spec, watts)
        assert idle is not None
        spans = [(a.timestamp(), b.timestamp()) for a, b in plan.window.spans if b is not None]
        joules, samples = 0.0, [Sample(spans[0][0], 0, (Reading("cpu", ZERO, ZERO, 0.0),))]
        for a, b in spans:
            joules += (a - samples[-1].at) * idle.value
            for at, drawn in ((a, 0.0), (b, (b - a) * watts.value)):
                joules += drawn
                read = Reading("cpu", ZERO, Triple.exact(joules), at - spans[0][0])
                samples.append(Sample(at, 0, (read,)))
        journal = Journal((Component("cpu", "measured", "test"),), tuple(samples))
        stops = tuple((spans[i][1], spans[i + 1][0]) for i in range(len(spans) - 1))
        begun, end = plan.window.start, plan.window.end
        region = self.ctx.regions["local"]
        told = self.source.forecast("DE", NOW, NOW + 48 * HOUR, NOW)
        return settle(
            attempts=[AttemptRecord(begun, end, 0, journal, stops=stops)],
            site=region.site,
            home=region.site,
            release=spec.release,
            intensity=told,
            home_intensity=told,
            provisional=False,
            slots=spec.slots,
            gpus=0,
            unit=None,
            work=count(()),
        )


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[float], Bench]]:
    made: list[Bench] = []

    def bench(kg: float) -> Bench:
        made.append(Bench(tmp_path, kg))
        return made[-1]

    yield bench
    for each in made:
        each.ctx.close()


def _segments(plan: Plan) -> int:
    return len(plan.window.spans)


@pytest.mark.parametrize("kg", [0, 100, 1000], ids=["no hardware", "light", "usual"])
@pytest.mark.parametrize("watts", ["1kW", "100W"])
def test_a_run_that_follows_its_plan_costs_what_was_planned(
    make: Callable[[float], Bench], kg: float, watts: str
) -> None:
    bench = make(kg)
    spec, plan = bench.plan(power=watts)
    settlement = bench.settled(spec, plan)
    realized = settlement.total_g if kg else settlement.operational_g
    assert plan.basis == settlement.basis == ("total" if kg else "operational")
    assert realized is not None
    assert plan.window.grams is not None
    assert plan.window.grams.value == pytest.approx(realized.value)
    assert settlement.baseline_g is not None
    assert plan.run_now.grams is not None
    assert plan.run_now.grams.value == pytest.approx(settlement.baseline_g.value)


def test_a_long_pause_is_planned_where_it_pays(make: Callable[[float], Bench]) -> None:
    _, plan = make(0).plan()
    assert _segments(plan) == 2


def test_no_pause_is_planned_that_costs_more_than_it_saves(make: Callable[[float], Bench]) -> None:
    # 20 t over four years: half of it held for an hour is 285 g, and four hours would save 400 g.
    spec, plan = (bench := make(20000)).plan()
    assert _segments(plan) == 1
    assert bench.settled(spec, plan).total_g is not None
    assert plan.saving_percent is not None
    assert plan.saving_percent >= 0


def test_pauses_keep_their_slots_in_the_plans_of_others(make: Callable[[float], Bench]) -> None:
    bench = make(0)
    request, spec = bench.request(slots=2)
    job_id, plan = engine.submit(bench.ctx, request, spec, dict(os.environ), NOW)
    assert _segments(plan) == 2
    other = Request(argv=("true",), duration="1h", deadline="20h", power="1kW", earliest="2h")
    spec = submission.to_spec(other, bench.config, NOW, "me", Path("/"), need_duration=True)
    _, beside = engine.submit(bench.ctx, other, spec, dict(os.environ), NOW)
    assert plan.window.end is not None
    assert beside.window.start >= plan.window.end
    engine.tick(bench.ctx, NOW, NOW + timedelta(seconds=10))
    again = bench.ctx.store.jobs.get(job_id).plan
    assert again is not None
    assert again.window.spans == plan.window.spans


def test_what_it_costs_to_stand_longer_counts_when_it_is_planned_again(
    make: Callable[[float], Bench],
) -> None:
    bench = make(100)
    request, spec = bench.request()
    job_id, plan = engine.submit(bench.ctx, request, spec, dict(os.environ), NOW)
    assert _segments(plan) == 2
    for at in (HOUR, HOUR + timedelta(seconds=10), 2 * HOUR, 2 * HOUR + timedelta(seconds=10)):
        bench.clock.now = NOW + at
        engine.tick(bench.ctx, bench.clock.now, bench.clock.now + timedelta(seconds=10))
    paused = bench.ctx.store.jobs.get(job_id)
    assert paused.state is JobState.PAUSED
    assert paused.plan is not None
    assert paused.plan.basis == plan.basis == "total"
    assert paused.plan.start == NOW + 5 * HOUR
    assert paused.plan.window.grams is not None
    assert plan.window.grams is not None
    assert paused.plan.window.grams.value == pytest.approx(plan.window.grams.value, rel=0.02)
