"""What goes wrong with one job, or comes in between, is that job's: a pass goes on."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from providers.base import Receipt, RunState
from providers.errors import ExecutorError
from scheduler import engine
from scheduler.engine import dependencies, recurring
from scheduler.engine.turns import Round
from scheduler.errors import StoreError
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scheduler.models import JobSpec
    from tests.unit.conftest import Desk

UNSTORABLE = "a surrogate \ud800, a NUL \0 and a bell \a"


def test_one_that_cannot_be_planned_stops_no_other(
    desk: Desk, make_spec: Callable[..., JobSpec]
) -> None:
    lost = make_spec(regions=("gone",), origin=desk.ctx.here.origin)
    desk.ctx.store.jobs.add("lost", lost, desk.clock.now)
    other = desk.submit("true")
    desk.tick()
    desk.tick(minutes=1)
    assert desk.job(other).state is JobState.RUNNING
    assert desk.job("lost").state is JobState.QUEUED
    assert "gone" in desk.story("lost", "trouble")[-1]


def test_a_job_s_trouble_is_found_where_users_look(
    desk: Desk, make_spec: Callable[..., JobSpec]
) -> None:
    lost = make_spec(regions=("gone",), origin=desk.ctx.here.origin)
    desk.ctx.store.jobs.add("lost", lost, desk.clock.now)
    desk.tick()
    found = desk.ctx.store.jobs.troubled(desk.clock.now, 10)
    assert [event.job_id for event in found] == ["lost"]
    later = desk.clock.now + timedelta(days=2)
    assert desk.ctx.store.jobs.troubled(later, 10) == []


@pytest.mark.parametrize("step", ["_wants", "_cancel_orphan", "_make_next"])
def test_a_step_that_fails_for_one_job_goes_on_with_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    first = desk.submit("true")
    desk.submit("true", after=(first,))
    desk.repeat("true", every="* * * * *", within="2h")

    def broken(*_: object, **__: object) -> None:
        raise ExecutorError("this step is broken")

    where = {"_wants": Round, "_cancel_orphan": dependencies, "_make_next": recurring}[step]
    monkeypatch.setattr(where, step, broken)
    for _ in range(3):
        desk.tick(minutes=40)
    told = [e.detail for job in desk.jobs() for e in desk.ctx.store.jobs.events(job.id)]
    assert "this step is broken" in told or step == "_make_next"
    assert desk.ctx.store.beats.last(f"tick {desk.ctx.here.owner}") == desk.clock.now


def test_an_engine_that_is_silent_about_its_slots_stops_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, make_spec: Callable[..., JobSpec]
) -> None:
    def silent(_: str) -> tuple[int, ...]:
        raise ExecutorError("slurmctld does not answer")

    desk.ctx.store.jobs.add("new", make_spec(origin=desk.ctx.here.origin), desk.clock.now)
    with monkeypatch.context() as patched:
        patched.setattr(desk.ctx, "capacity_by_hour", silent)
        desk.tick()
    assert "slurmctld" in desk.story("new", "trouble")[-1]
    desk.tick(minutes=1)
    desk.tick(minutes=1)
    assert desk.job("new").state is JobState.RUNNING


def test_what_a_receipt_says_is_stored_whatever_it_holds(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = desk.submit("true"), desk.submit("true")
    desk.tick(minutes=1)
    look, at = desk.executor.poll, desk.clock.now.timestamp()
    receipt = Receipt(bad, 1, "not_started", at, at, None, None, 0.0, UNSTORABLE)

    def poll(run_dir: Path, token: str) -> RunState:
        seen = look(run_dir, token)
        return RunState("ended", at, receipt) if bad in str(run_dir) else seen

    monkeypatch.setattr(desk.executor, "poll", poll)
    desk.tick(hours=2)
    assert (desk.job(bad).state, desk.job(good).state) == (JobState.FAILED, JobState.SUCCEEDED)
    said = r"not started: a surrogate \ud800, a NUL \x00 and a bell \x07"
    assert desk.job(bad).reason == said
    assert desk.story(bad, "failed") == [said]
    desk.ctx.store.jobs.tell(bad, desk.clock.now, "engine", UNSTORABLE)
    desk.ctx.store.jobs.tell(bad, desk.clock.now, "engine", UNSTORABLE)
    assert len(desk.story(bad, "engine")) == 1


def test_due_jobs_of_a_host_that_is_away_are_not_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = desk.submit("true"), desk.submit("true")
    with desk.ctx.store._database.write() as session:
        change = text("UPDATE job SET host = 'elsewhere' WHERE id = :id")
        session.connection().execute(change, {"id": theirs})
    read: list[str] = []
    get = desk.ctx.store.jobs.get
    monkeypatch.setattr(desk.ctx.store.jobs, "get", lambda job: (read.append(job), get(job))[1])
    due = Round.of(desk.ctx, desk.clock.now).due(desk.clock.now, desk.clock.now)
    assert [(job.id, free) for job, free in due] == [(ours, True)]
    assert read == [ours]


def test_a_series_whose_environment_cannot_be_copied_stops_no_job(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    series, first = desk.repeat("true")
    engine.cancel(desk.ctx, first, desk.clock.now)
    other = desk.submit("true")

    def full(*_: str) -> None:
        raise StoreError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(desk.ctx.runs, "copy_environment", full)
        desk.tick()
    assert desk.story(series.id, "trouble") == [
        "its environment cannot be copied: no space left",
    ]
    desk.tick(minutes=1)
    assert desk.job(other).state is JobState.RUNNING
    assert len(desk.jobs()) == 3, "the next of the series has come"


def test_a_leader_steps_down_after_its_pass(desk: Desk) -> None:
    desk.tick()
    assert engine.leader(desk.ctx, desk.clock.now) is not None
    within, over = threading.Event(), threading.Event()

    def lasting_pass() -> None:
        with engine.engine._turn(desk.ctx):
            within.set()
            over.wait()

    threads = [threading.Thread(target=lasting_pass)]
    threads[0].start()
    within.wait()
    threads.append(threading.Thread(target=engine.step_down, args=(desk.ctx,)))
    threads[1].start()
    threads[1].join(0.3)
    assert threads[1].is_alive()
    over.set()
    for thread in threads:
        thread.join()
    assert engine.leader(desk.ctx, desk.clock.now) is None
