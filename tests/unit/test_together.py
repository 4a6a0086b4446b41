"""Many small steps in one transaction: whole or not at all, and one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event

from scheduler.engine import Context, reap
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from conftest import Desk

    from providers.base import RunState
    from scheduler.models import JobSpec
    from scheduler.store import Store


def test_what_is_done_together_is_seen_within_and_kept_as_a_whole(
    store: Store, make_spec: Callable[..., JobSpec], now: datetime
) -> None:
    with store.together():
        store.jobs.add("a", make_spec(), now)
        assert store.jobs.get("a").state is JobState.QUEUED
        assert store.jobs.transition("a", JobState.QUEUED, JobState.CANCELLED, now, "so")
        assert store.jobs.get("a").state is JobState.CANCELLED
    assert [e.kind for e in store.jobs.events("a")] == ["submitted", "cancelled"]


def test_nothing_of_it_is_kept_where_it_fails(
    store: Store, make_spec: Callable[..., JobSpec], now: datetime
) -> None:
    def fail() -> None:
        with store.together():
            store.jobs.add("a", make_spec(), now)
            store.jobs.transition("a", JobState.QUEUED, JobState.SUCCEEDED, now, "no such move")

    with pytest.raises(ValueError, match="no move"):
        fail()
    assert store.jobs.find() == []
    store.jobs.add("b", make_spec(), now)
    assert [job.id for job in store.jobs.find()] == ["b"]


def test_a_pass_does_not_commit_more_often_where_more_jobs_have_ended(desk: Desk) -> None:
    commits: list[int] = []
    event.listen(desk.ctx.store._database._engine, "commit", lambda _: commits.append(1))

    def commits_for(count: int) -> int:
        ids = [desk.submit("true") for _ in range(count)]
        desk.tick()
        desk.tick(seconds=1)
        assert [desk.job(job_id).state for job_id in ids] == [JobState.RUNNING] * count
        commits.clear()
        desk.tick(hours=1)
        assert [desk.job(job_id).state for job_id in ids] == [JobState.SUCCEEDED] * count
        assert all(desk.ctx.store.settlements.latest(job_id) for job_id in ids)
        return len(commits)

    assert commits_for(1) == commits_for(2)


def test_what_another_has_recorded_since_we_looked_is_recorded_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, poll = desk.submit("true"), desk.executor.poll
    desk.tick()
    desk.tick(seconds=1)
    desk.clock.advance(hours=1)
    other = Context.open(desk.config, desk.clock.now, executors={"local": desk.executor})

    def overtaken(run_dir: Path, token: str) -> RunState:
        state = poll(run_dir, token)
        monkeypatch.setattr(desk.executor, "poll", poll)
        reap.reap(other, desk.clock.now)
        return state

    monkeypatch.setattr(desk.executor, "poll", overtaken)
    reap.reap(desk.ctx, desk.clock.now)
    other.close()
    assert len(desk.story(job_id, "succeeded")) == 1
