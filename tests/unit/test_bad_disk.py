"""Disks that are full or broken: whoever is told no has left nothing behind."""

from __future__ import annotations

import errno
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event

from providers.base import Receipt
from providers.executors.local import Local
from providers.runner import journal, proc
from scheduler.errors import StoreError, StoreUnreachable
from scheduler.models import JobState
from scheduler.outage import Outage
from scheduler.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    from conftest import Desk

    from providers.base import RunState
    from scheduler.models import JobSpec

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _raise(error: Exception) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> Any:
        raise error

    return raising


def _left(desk: Desk) -> list[Path]:
    runs = desk.config.home / "runs"
    return list(runs.iterdir()) if runs.exists() else []


def test_a_job_whose_environment_cannot_be_kept_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", _raise(FULL))
        with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\)"):
            desk.submit("true")
    assert desk.jobs() == []
    assert _left(desk) == []


@pytest.mark.parametrize("step", ["add", "plan_all"])
def test_a_job_that_cannot_be_put_into_the_queue_wholly_is_not_there_at_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(desk.ctx.store.jobs, step, _raise(StoreError("no room")))
        with pytest.raises(StoreError, match="no room"):
            desk.submit("true")
    assert desk.jobs() == []
    assert _left(desk) == []


def test_where_the_answer_alone_may_be_lost_its_environment_is_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.ctx.store.jobs, "plan_all", _raise(StoreUnreachable("gone")))
    with pytest.raises(StoreUnreachable):
        desk.submit("true")
    assert len(_left(desk)) == 1


def test_a_run_folder_that_cannot_be_read_is_the_trouble_of_its_job_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good, poll = desk.submit("true"), desk.submit("true"), desk.executor.poll
    desk.tick()
    folder = desk.ctx.store.jobs.attempts(bad)[-1].run_dir

    def polled(run_dir: Path, token: str) -> RunState:
        if str(run_dir) == folder:
            raise FULL
        return poll(run_dir, token)

    monkeypatch.setattr(desk.executor, "poll", polled)
    desk.tick(hours=1)
    assert desk.job(good).state is JobState.SUCCEEDED
    assert desk.story(bad, "trouble") == [str(FULL)]


def test_a_full_disk_is_called_one(
    tmp_path: Path, make_spec: Callable[..., JobSpec], now: datetime
) -> None:
    store = Store(tmp_path / "home", now)

    def small(connection: Any, *_: object) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1")

    def add_many() -> None:
        for n in range(200):
            store.jobs.add(f"job{n}", make_spec(), now)

    event.listen(store._database._engine, "begin", small)
    with pytest.raises(
        StoreError, match=r"full\): nothing was changed; see that its disk has room"
    ):
        add_many()
    store.close()


def test_a_receipt_says_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = Receipt("a", 1, "exited", 1.0, 2.0, 0, None, 0.5)
    journal.write_json(tmp_path / "receipt.json", asdict(receipt))
    monkeypatch.setattr(proc, "marked", _raise(AssertionError("it looked at every process")))
    assert Local().poll(tmp_path, "token").receipt == receipt


def test_a_fault_is_told_once_and_its_end(
    now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    outage = Outage()
    outage.is_over(now)
    for error in (FULL, FULL, StoreError("full"), StoreError("still full")):
        outage.goes_on(error, now)
    outage.is_over(now)
    outage.is_over(now)
    outage.goes_on(FULL, now)
    goes_on = "running jobs go on, and so does the queue once this is over"
    assert capsys.readouterr().err.splitlines() == [
        f"lowtide: {FULL}; {goes_on}",
        f"lowtide: full; {goes_on}",
        "lowtide: the queue goes on again after 0 s",
        f"lowtide: {FULL}; {goes_on}",
    ]
