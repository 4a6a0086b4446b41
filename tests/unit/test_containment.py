"""Whatever one job, series or source runs into is its own: all others start and are settled.

Faults are raised at each step of a pass that deals with one of them, by class: of lowtide's own, of
a plugin, of the machine.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
from support.database import damage

from providers.errors import LowtideError, Unavailable
from scheduler import config, engine
from scheduler.engine import (
    Context,
    bounds,
    dependencies,
    endings,
    planner,
    promises,
    recurring,
    rest,
    settling,
)
from scheduler.errors import BusyError
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock
from tests.unit.conftest import Desk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from providers.series import Series
    from scheduler.models import JobSpec

ERRORS = (KeyError("odd"), RecursionError("deep"), ValueError("wrong"), OSError(5, "I/O error"))
EACH = cycle(ERRORS)
# What a pass does with a single job, by the name of the step.
STEPS: dict[str, Callable[[Desk], tuple[object, str]]] = {
    "plan": lambda _: (planner, "_anew"),
    "what is left": lambda _: (rest, "of"),
    "reserve": lambda _: (promises, "reservations"),
    "bounds": lambda _: (bounds, "allows"),
    "claim": lambda desk: (desk.ctx.store.jobs, "claim"),
    "start": lambda desk: (desk.executor, "start"),
    "poll": lambda desk: (desk.executor, "poll"),
    "end": lambda _: (endings, "of"),
    "forget": lambda desk: (desk.ctx.runs, "forget_environment"),
    "settle": lambda _: (settling, "compute"),
    "keep": lambda _: (settling, "_keep"),
}


def _named(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


@pytest.fixture
def alone(tmp_path: Path, now: datetime) -> Iterator[Desk]:
    """A desk on SQLite alone: what is contained where does not depend on the database."""
    made = Desk(tmp_path, now, {})
    yield made
    made.ctx.close()


def _breaks(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, about: str, error: Exception
) -> None:
    """Let a function raise where it is called about one job or series."""
    whole: Callable[..., Any] = getattr(where, name)

    def broken(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            marks = (getattr(arg, "id", ""), getattr(arg, "job_id", ""), arg)
            if any(about in str(mark) for mark in marks if not isinstance(mark, Context)):
                raise error
        return whole(*args, **kwargs)

    monkeypatch.setattr(where, name, broken)


# Each step with one class, each class at several steps: who catches one catches all.
@pytest.mark.parametrize(("step", "error"), [(s, next(EACH)) for s in STEPS], ids=_named)
def test_one_of_three_jobs_stops_neither_of_the_others(
    alone: Desk,
    make_spec: Callable[..., JobSpec],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: Exception,
) -> None:
    ids = ("aaaaaaaa", "bbbbbbbb", "cccccccc")
    for job_id in ids:
        alone.ctx.runs.keep_environment(job_id, {})
        alone.ctx.store.jobs.add(job_id, make_spec(origin=alone.ctx.here.origin), alone.clock.now)
    bad, others = ids[1], (ids[0], ids[2])
    _breaks(monkeypatch, *STEPS[step](alone), bad, error)
    for minutes in (0, 1, 1, 90, 1, 90, 1, 90):
        alone.tick(minutes=minutes)
    assert {alone.job(job_id).state for job_id in others} == {JobState.SUCCEEDED}
    assert all(alone.ctx.store.settlements.latest(job_id) for job_id in others)
    (said,) = {*alone.story(bad, "trouble"), *alone.story(bad, "start failed")}
    assert str(error.args[-1]) in said
    if alone.story(bad, "trouble"):
        troubled = alone.ctx.store.jobs.troubled(alone.clock.now, 10)
        assert [event.job_id for event in troubled] == [bad], "doctor names it"


def test_one_of_three_series_stops_neither_of_the_others(
    alone: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ERRORS[0]
    made = [alone.repeat("true", every="0 * * * *", within="90m") for _ in range(3)]
    bad = made[1][0].id
    for _, job_id in made:
        engine.cancel(alone.ctx, job_id, alone.clock.now)
    _breaks(monkeypatch, recurring, "_newest", bad, error)
    alone.tick(hours=1)
    alone.tick(minutes=1)
    living = {job.spec.recurrence for job in alone.jobs() if not job.state.ended}
    assert living == {made[0][0].id, made[2][0].id}
    assert str(error.args[-1]) in alone.story(bad, "trouble")[-1]
    assert [e.job_id for e in alone.ctx.store.jobs.troubled(alone.clock.now, 10)] == [bad]


def test_a_step_that_fails_as_a_whole_keeps_no_later_one_from_being_done(
    alone: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = alone.submit("true")

    def broken(*_: object) -> None:
        raise KeyError("everything")

    monkeypatch.setattr(dependencies, "cancel_orphans", broken)
    with pytest.raises(Exception, match=r"KeyError: 'everything' \(test_containment.py:\d+\)"):
        alone.tick(minutes=1)
    assert alone.job(job_id).state.active
    (told,) = alone.ctx.store.jobs.troubled(alone.clock.now, 10)
    assert (told.job_id, told.kind) == ("lowtide", "cancel orphans")


def test_a_job_that_cannot_be_planned_starts_all_the_same(
    alone: Desk, make_spec: Callable[..., JobSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("nowhere")

    monkeypatch.setattr(planner, "_make", broken)
    alone.ctx.runs.keep_environment("aaaaaaaa", {})
    spec = make_spec(origin=alone.ctx.here.origin)
    alone.ctx.store.jobs.add("aaaaaaaa", spec, alone.clock.now)
    alone.tick(seconds=1)
    assert alone.job("aaaaaaaa").state.active
    (said,) = alone.story("aaaaaaaa", "trouble")
    assert "KeyError: 'nowhere'" in said


def test_a_start_that_can_wait_no_longer_comes_before_any_plan(
    alone: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, seen = alone.submit("true", start_by="5s"), []

    def broken(*_: object, **__: object) -> None:
        seen.append(alone.job(job_id).state)
        raise RecursionError("deep")

    monkeypatch.setattr(planner, "replan", broken)
    with pytest.raises(LowtideError, match="deep"):
        alone.tick(seconds=1)
    assert all(state.active for state in seen)


def test_what_plans_hold_is_added_up_again_where_it_cannot_be(desk: Desk) -> None:
    job_id = desk.submit("true", earliest="1h", deadline="5h")
    before = desk.ctx.store.reservations.promised()
    assert before
    damage(desk.ctx.store, "UPDATE promised SET slots = 1000000")
    desk.tick(seconds=1)
    assert desk.ctx.store.reservations.promised() == before
    assert desk.job(job_id).state is JobState.PLANNED
    assert [e.kind for e in desk.ctx.store.jobs.troubled(desk.clock.now, 9)] == ["reservations"]


class Plugin(FakeProvider):
    """A source that fails on one zone, in a way that no source may."""

    broken: object = None

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        return self._odd() if zone == "FR" else super().forecast(zone, start, end, now)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        return self._odd() if zone == "FR" else super().actual(zone, start, end)

    def _odd(self) -> Any:
        if isinstance(self.broken, Exception):
            raise self.broken
        return self.broken


SETTINGS = """
refresh: 60s
providers: [plugin]
regions:
  a: {zone: DE, executor: fake, slots: 2}
  b: {zone: FR, executor: fake, slots: 2}
  c: {zone: ES, executor: fake, slots: 2}
"""


@pytest.mark.parametrize("error", [*ERRORS, {"data": []}, None], ids=_named)
def test_a_source_that_fails_on_one_zone_stops_no_job_elsewhere(
    tmp_path: Path, now: datetime, make_spec: Callable[..., JobSpec], error: object
) -> None:
    (tmp_path / "config.yaml").write_text(SETTINGS)
    clock, hourly = FixedClock(now), [100.0] * 240
    source = Plugin(now, dict.fromkeys(("DE", "FR", "ES"), hourly), actuals=True, name="plugin")
    source.broken = error
    ctx = Context.open(
        config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path),
        now,
        sources={"plugin": source},
        executors={"fake": FakeExecutor(clock=clock, run_s=60)},
    )
    for place in "abc":
        ctx.runs.keep_environment(place * 8, {})
        spec = make_spec(regions=(place,), home=place, origin=ctx.here.origin)
        ctx.store.jobs.add(place * 8, spec, clock.now)
    for minutes in (0, 1, 5, 5):
        clock.advance(minutes=minutes)
        engine.tick(ctx, clock.now, clock.now + timedelta(seconds=10))
    for place in "ac":
        job, settled = ctx.store.jobs.get(place * 8), ctx.store.settlements.latest(place * 8)
        assert job.state is JobState.SUCCEEDED
        assert job.plan is not None
        assert job.plan.window.g_per_kwh is not None
        assert settled is not None
    said = str(error.args[-1]) if isinstance(error, Exception) else "a series"
    plan = ctx.store.jobs.get("b" * 8).plan
    assert plan is not None
    assert any(said in reason for reason in plan.nulls.values()), "its plan says why"
    (told,) = ctx.store.jobs.troubled(clock.now, 10)
    assert (told.job_id, told.kind) == ("lowtide", "source plugin for FR")
    assert said in told.detail
    ctx.close()


def test_a_pass_that_another_one_keeps_from_its_turn_changes_nothing(alone: Desk) -> None:
    alone.submit("true")
    with engine.engine._turn(alone.ctx), pytest.raises(BusyError, match="another pass"):
        alone.tick(minutes=1)
    assert alone.ctx.store.beats.last(f"tick {alone.ctx.here.owner}") is None


@pytest.mark.parametrize("weigh", [(), ("delay=10%",)])
def test_a_new_job_that_cannot_wait_for_sources_is_planned_without_them(
    desk: Desk, weigh: tuple[str, ...]
) -> None:
    given = {"duration": "1m", "every": "* * * * *", "within": "2m", "power": "20W"}
    series, first = desk.repeat(**given, weigh=weigh)
    engine.cancel(desk.ctx, first, desk.clock.now)
    damage(desk.ctx.store, "DELETE FROM forecast")
    desk.clock.advance(minutes=5)
    recurring.spawn(desk.ctx, desk.clock.now)
    desk.ctx.outlook.begin_pass()
    quiet = desk.ctx.with_outlook(desk.ctx.outlook.remembering())
    planner.replan(quiet, desk.clock.now)
    assert desk.jobs()[-1].spec.recurrence == series.id
    assert desk.jobs()[-1].state is JobState.PLANNED


def test_a_plan_that_is_older_than_an_outage_stops_no_joint_plan(desk: Desk) -> None:
    first = desk.submit(earliest="1h", deadline="9h")
    desk.submit(after=(first,), deadline="9h")
    damage(desk.ctx.store, "DELETE FROM forecast")
    desk.provider.fails = Unavailable("it does not answer")
    for _ in range(2):
        desk.submit(earliest="2h", deadline="9h")
        desk.tick(seconds=20)
    assert {job.state for job in desk.jobs()} == {JobState.PLANNED}
