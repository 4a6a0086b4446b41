"""A daemon that dies after any one of its commits: what comes next finds nothing half done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support import aftermath

from scheduler import engine
from scheduler.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.conftest import Desk


class Killed(BaseException):
    """What ``kill -9`` is to a process, told to a test in that process."""


class Fuse:
    """Lets so many commits pass, and "kills" right after the last of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        real = Database.write

        @contextmanager
        def write(database: Database) -> Iterator[Any]:
            with real(database) as session:
                yield session
            if self.left is not None:
                self.left -= 1
                if self.left == 0:
                    self.left = None
                    raise Killed

        monkeypatch.setattr(Database, "write", write)


def _live(desk: Desk, job_id: str) -> bool:
    """Look after a job until it is settled; whether somebody was killed meanwhile."""
    died, span = False, {"minutes": 40}
    settled = desk.ctx.store.settlements.latest
    while not (desk.job(job_id).state.ended and settled(job_id)):
        try:
            desk.tick(**span)
            span = {"minutes": 40}
        except Killed:
            died, span = True, {"seconds": 10}
    return died


@pytest.fixture
def database() -> dict[str, str]:
    """What a transaction is, other tests try on both kinds."""
    return {}


def test_killed_after_any_commit_a_pass_leaves_nothing_half_done(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse, desk.executor.watts, commits, died = Fuse(monkeypatch), 10.0, 0, True
    while died:
        commits += 1
        job_id = desk.submit("false", retries=1)
        fuse.left = commits
        died = _live(desk, job_id)
        fuse.left = None
        assert [a.outcome for a in desk.ctx.store.jobs.attempts(job_id)] == ["failed", "failed"]
        assert len(desk.story(job_id, "running")) == 2, "both attempts were seen to run"
    assert commits > 10, "too few commits were tried"
    aftermath.assert_ended_once(desk.ctx.store)
    aftermath.assert_settled(desk.ctx.store)
    aftermath.assert_forgotten(desk.ctx.store)


def test_killed_after_any_commit_a_series_leaves_out_no_occurrence_unsaid(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse, desk.executor.run_s, commits, died = Fuse(monkeypatch), 3.5 * 3600, 0, True
    while died:
        commits += 1
        series, first = desk.repeat(every="0 * * * *", within="2h")
        desk.tick(hours=1)
        fuse.left = commits
        died = False
        for span in ({"hours": 3.5}, {"seconds": 10}):
            try:
                desk.tick(**span)
            except Killed:
                died = True
        fuse.left = None
        (made,) = {job.id for job in desk.jobs() if job.spec.recurrence == series.id} - {first}
        assert len(desk.story(made, "skipped")) == 1, f"killed after commit {commits}"
        engine.cancel_series(desk.ctx, series.id, desk.clock.now)
    assert commits > 5, "too few commits were tried"
