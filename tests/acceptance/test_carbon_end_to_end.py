"""A job from its forecast to its final report, on a source that fails, lags and revises.

The source is a real one (NESO's parser and requests, over HTTP) against a local server whose
clock is the test's: actuals come an hour late and are revised a day later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.server import Asked, Play, Reply, SourceServer

from scheduler import config, engine
from scheduler.cli import options
from scheduler.engine import Context, accuracy, submission
from scheduler.engine.request import Request
from scheduler.models import JobSpec, JobState, Plan
from scheduler.report import schema
from scheduler.testing import FakeExecutor, FixedClock

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HALF = timedelta(minutes=30)
PATH = re.compile(r"/intensity/(?P<low>[^/]+)/(?P<high>[^/]+)")
SETTINGS = """
providers: [neso, climatology]
sources:
  neso: {{base_url: "{url}", ttl_s: 0, call_every_s: 0.001, final_after_h: 48}}
regions:
  local: {{zone: GB, slots: 2, pue: {{value: 1.5, source: "of this test"}}}}
"""


@dataclass
class Grid:
    """The source's side: what it says at the clock's time, and whether it answers."""

    clock: FixedClock
    answers: bool = True
    takes: timedelta = timedelta(0)
    revised_by: int = 0
    asked: list[str] = field(default_factory=list)

    def play(self, asked: Asked) -> Reply:
        self.asked.append(asked.path)
        self.clock.now += self.takes
        if not self.answers:
            return Reply("<html>maintenance</html>", 503, {"Content-Type": "text/html"})
        found = PATH.fullmatch(asked.path)
        assert found, asked.path
        low = _time(found["low"])
        high = low + 48 * HOUR if found["high"] == "fw48h" else _time(found["high"])
        periods = []
        # The half hour before the boundary belongs to the real answer, too.
        at = low - HALF
        while at < min(high, self.clock.now + 48 * HOUR):
            periods.append(self._period(at))
            at += HALF
        return Reply(json.dumps({"data": periods}))

    def _period(self, at: datetime) -> dict[str, object]:
        known = at + HALF + HOUR <= self.clock.now
        actual = actual_of(at) + self.revised_by if known else None
        told = {"forecast": forecast_of(at), "actual": actual, "index": "moderate"}
        stamps = {"from": f"{at:%Y-%m-%dT%H:%MZ}", "to": f"{at + HALF:%Y-%m-%dT%H:%MZ}"}
        return stamps | {"intensity": told}


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)


def forecast_of(at: datetime) -> int:
    """Two low hours from 12:00 on."""
    return 100 if at.hour in {12, 13} else 300


def actual_of(at: datetime) -> int:
    """What really came of it: a little more."""
    return forecast_of(at) + 20


@dataclass
class Scene:
    """Clock, source and engine."""

    clock: FixedClock
    grid: Grid
    ctx: Context

    def submit(self, deadline: str) -> str:
        request, spec = self._spec(deadline)
        environ = {"PATH": "/usr/bin:/bin"}
        return engine.submit(self.ctx, request, spec, environ, self.clock.now)[0]

    def plan(self, deadline: str) -> Plan:
        return engine.plan(self.ctx, self._spec(deadline)[1], self.clock.now, to_run=False)

    def _spec(self, deadline: str) -> tuple[Request, JobSpec]:
        request = Request(argv=("true",), duration="1h", deadline=deadline, power="1000W")
        now, folder = self.clock.now, Path("/")
        return request, submission.to_spec(
            request, self.ctx.config, now, "me", folder, need_duration=True
        )

    def tick(self, **span: float) -> None:
        self.clock.advance(**span)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(minutes=10))

    def report(self, job_id: str) -> dict[str, object]:
        store = self.ctx.store
        return schema.report_json(
            store.jobs.get(job_id),
            store.settlements.latest(job_id),
            versions=store.settlements.versions(job_id),
        )


@pytest.fixture
def scene(
    tmp_path: Path, serve: Callable[[Play], SourceServer], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    clock = FixedClock(NOW)
    grid = Grid(clock)
    (tmp_path / "config.yaml").write_text(SETTINGS.format(url=serve(grid.play).url))
    loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    executor = FakeExecutor(clock=clock, run_s=3600, watts=1000.0)
    # The wait between two tries of one question is real time; it says nothing here.
    monkeypatch.setattr("providers.transport.FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr("providers.transport.LONGEST_PAUSE_S", 0.0)
    ctx = Context.open(loaded, NOW, executors={"local": executor}, clock=lambda: clock.now)
    yield Scene(clock, grid, ctx)
    ctx.close()


def test_a_job_lives_through_an_outage_late_actuals_and_a_revision(scene: Scene) -> None:
    job_id = scene.submit("12h")
    jobs, settlements = scene.ctx.store.jobs, scene.ctx.store.settlements
    plan = jobs.get(job_id).plan
    assert plan is not None
    assert plan.window.start == NOW.replace(hour=12)
    assert (plan.forecast_source, plan.signal) == ("NESO", "average")

    # An outage from before the start until after the end: the plan holds, the job runs in time.
    scene.grid.answers = False
    scene.tick(hours=2)
    plan = jobs.get(job_id).plan
    assert plan is not None
    assert plan.window.start == NOW.replace(hour=12)
    said = ": its last known forecast, of 2026-03-02T08:00Z, is used"
    assert said in scene.plan("8h").reason
    scene.tick(hours=2)
    assert jobs.get(job_id).holds
    asked = len(scene.grid.asked)
    scene.tick(seconds=10)
    assert len(scene.grid.asked) == asked, "a dead source costs nothing"
    scene.tick(hours=1)
    job = jobs.get(job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.started_at == NOW.replace(hour=12)

    # Settled on the last forecast, said to be so, and open to what comes.
    (first,) = settlements.versions(job_id)
    assert first.settlement.status == "provisional"
    assert first.settlement.intensity is not None
    assert first.settlement.intensity.kind == "estimate"
    assert first.settlement.intensity.g_per_kwh.value == pytest.approx(100)
    assert any("the last forecast stands in" in note for note in first.settlement.notes)

    # The source is back, and its actuals with it.
    scene.grid.answers = True
    scene.tick(hours=3)
    second = settlements.versions(job_id)[-1]
    assert second.number == 2
    assert second.settlement.status == "provisional"
    assert second.settlement.intensity is not None
    assert second.settlement.intensity.kind == "actual"
    assert second.settlement.intensity.g_per_kwh.value == pytest.approx(120)
    assert not second.settlement.saving_estimated

    # The same again adds no version.
    scene.tick(hours=3)
    assert len(settlements.versions(job_id)) == 2

    # A revision does, and the difference is told.
    scene.grid.revised_by = 30
    scene.tick(hours=20)
    third = settlements.versions(job_id)[-1]
    assert (third.number, third.settlement.status) == (3, "provisional")
    assert third.settlement.intensity is not None
    assert third.settlement.intensity.g_per_kwh.value == pytest.approx(150)

    # Final once the source no longer revises it; whatever it says later is too late.
    scene.tick(hours=48)
    assert settlements.versions(job_id)[-1].settlement.status == "final"
    count = len(settlements.versions(job_id))
    scene.grid.revised_by = 90
    scene.tick(hours=48)
    assert len(settlements.versions(job_id)) == count

    told = [e.detail for e in jobs.events(job_id) if e.kind == "settled"]
    assert any("version 2" in line and "actual of NESO, was estimate of NESO" in line
               for line in told)  # fmt: skip
    assert any("version 3" in line and "+25.0 %" in line and "revised" in line for line in told)
    # 1 kWh x 100 g/kWh x 1.5 were planned; what the forecast got wrong came with the actuals.
    told = [v.settlement.planned_against_realized for v in settlements.versions(job_id)]
    assert plan.window.grams is not None
    assert [d and d.planned_g for d in told] == pytest.approx([plan.window.grams.value] * count)
    assert [d and d.forecast_error_g for d in told] == pytest.approx([0, 30, *[75] * (count - 2)])
    assert [d and d.difference_g for d in told] == pytest.approx([0, 30, *[75] * (count - 2)])
    report = scene.report(job_id)
    rows = report["settlements"]
    assert isinstance(rows, list)
    assert [row["version"] for row in rows] == list(range(1, count + 1))
    assert "+25.0 %" in rows[2]["difference"]


def test_with_every_source_dead_from_the_start_the_deadline_still_holds(scene: Scene) -> None:
    scene.grid.answers = False
    job_id = scene.submit("3h")
    job = scene.ctx.store.jobs.get(job_id)
    assert job.plan is not None
    # The embedded climatology stands in.
    assert job.plan.forecast_source is not None
    assert "climatology" in job.plan.forecast_source
    for _ in range(12):
        scene.tick(minutes=15)
    job = scene.ctx.store.jobs.get(job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.ended_at is not None
    assert job.ended_at <= NOW + 3 * HOUR


def test_a_deadline_does_not_wait_for_a_source_that_takes_its_time(scene: Scene) -> None:
    scene.clock.advance(hours=3)
    # The cheapest window is the last one that is in time: half of it in the low hours.
    scene.submit("12h")
    job_id = scene.submit("91m")
    last = NOW.replace(hour=11, minute=31)
    plan = scene.ctx.store.jobs.get(job_id).plan
    assert plan is not None
    assert plan.window.start == plan.latest_safe_start == last
    scene.grid.takes = timedelta(seconds=150)
    before = len(scene.grid.asked)
    scene.tick(minutes=29)
    assert len(scene.grid.asked) > before
    assert scene.clock.now > last
    scene.grid.takes = timedelta(0)
    scene.tick(minutes=1)
    job = scene.ctx.store.jobs.get(job_id)
    assert job.started_at is not None
    assert job.started_at <= last


def test_in_one_pass_live_sources_are_asked_for_a_minute_at_most(scene: Scene) -> None:
    scene.submit("12h")
    scene.clock.advance(hours=1)
    scene.ctx.outlook.begin_pass()
    scene.clock.advance(seconds=61)
    before, now = len(scene.grid.asked), scene.clock.now
    known = scene.ctx.outlook.ask(scene.ctx.regions["local"], now, now + HOUR, now)
    assert len(scene.grid.asked) == before
    assert known.series is not None
    assert known.series.source == "NESO"
    scene.ctx.outlook.begin_pass()
    scene.ctx.outlook.ask(scene.ctx.regions["local"], now, now + HOUR, now)
    assert len(scene.grid.asked) > before


def test_what_was_believed_and_what_happened_is_scored(scene: Scene) -> None:
    scene.submit("12h")
    for _ in range(30):
        scene.tick(hours=1)
    since, now = NOW - HOUR, scene.clock.now
    (found,) = accuracy.of_sources(scene.ctx, since, now)
    assert (found.source, found.zone) == ("neso", "GB")
    first = found.leads[0]
    assert first.bias_g_per_kwh == pytest.approx(-20)
    assert first.mape_percent is not None
    assert 100 * 20 / 320 <= first.mape_percent <= 100 * 20 / 120
    plans = accuracy.of_plans(scene.ctx, since, now)
    assert plans.jobs == 1
    assert plans.captured_percent == pytest.approx(100)


def test_what_it_was_worth_is_shown(
    scene: Scene, lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.submit("12h")
    scene.submit("7h")
    for _ in range(30):
        scene.tick(hours=1)
    monkeypatch.setattr(options, "utc_now", lambda: scene.clock.now)
    told = lowtide("forecast", "--accuracy", "--json")
    assert told.code == 0, told.err
    (source,) = told.json["sources"]
    assert (source["source"], source["zone"]) == ("neso", "GB")
    # The actuals of the jobs' day are known, to its last hour.
    assert [(lead["from_h"], lead["to_h"]) for lead in source["leads"]] == [(0, 6), (6, 24)]
    for lead in source["leads"]:
        assert lead["bias_g_per_kwh"] == pytest.approx(-20)
        # Of hours that were 120 or 320.
        assert 100 * 20 / 320 <= lead["mape_percent"] <= 100 * 20 / 120
    plans = told.json["plans"]
    assert plans["jobs"] == 2
    # 320 g/kWh at release, 120 at best; PUE of 1.5.
    assert plans["run_now_g_per_kwh"] == pytest.approx(480)
    assert plans["planned_g_per_kwh"] == pytest.approx(180)
    assert plans["captured_percent"] == pytest.approx(100)
    assert told.json["null_reasons"] == {}
    shown = lowtide("forecast", "--accuracy").out
    assert re.search(r"neso +GB +\d+ +\d+\.\d % -20 +\d+\.\d % -20", shown)
    assert "plans of 2 jobs: captured 100.0 % of what perfect foresight saves" in shown
    assert "(480 g/kWh at release, 180 as planned, 180 at best)" in shown
    lately = lowtide("forecast", "--accuracy", "--since", "1m", "--json").json
    assert lately["plans"]["jobs"] == 0
    assert "plans.captured_percent" in lately["null_reasons"]
