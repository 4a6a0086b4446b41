"""Two jobs are submitted at the same moment where there is room for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scheduler.engine import engine as use_cases
from scheduler.engine import planner, queue
from scheduler.errors import StoreError, UsageError
from scheduler.models import JobState
from tests.unit import conftest

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from tests.unit.conftest import Desk


@pytest.fixture
def overtake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets other jobs be submitted while one is planned, as often as asked."""

    def arrange(times: int, submit: Callable[[], str]) -> list[str]:
        plan, faster = planner.plan, list[str]()
        within = [False]

        def overtaken(*args: Any, **kwargs: Any) -> Any:
            made = plan(*args, **kwargs)
            if len(faster) < times and not within[0]:
                within[0] = True
                faster.append(submit())
                within[0] = False
            return made

        monkeypatch.setattr(planner, "plan", overtaken)
        return faster

    return arrange


def test_the_slower_one_is_refused_and_nothing_of_it_is_left(
    desk: Desk, overtake: Callable[..., list[str]]
) -> None:
    wish = {"slots": 2, "deadline": "90m"}
    faster = overtake(1, lambda: desk.submit("true", **wish))
    with pytest.raises(UsageError, match="deadline"):
        desk.submit("true", **wish)
    assert [job.id for job in desk.jobs()] == faster
    assert [f.name for f in desk.ctx.runs.environment(faster[0]).parent.parent.iterdir()] == faster


def test_one_that_can_wait_is_planned_behind_the_faster_one(
    desk: Desk, overtake: Callable[..., list[str]]
) -> None:
    faster = overtake(1, lambda: desk.submit("true", slots=2, deadline="90m"))
    slower = desk.submit("true", slots=2, deadline="6h")
    first, second = desk.job(faster[0]).plan, desk.job(slower).plan
    assert first is not None
    assert second is not None
    assert first.window.end is not None
    assert second.start >= first.window.end
    assert desk.job(slower).state is JobState.PLANNED


def test_where_there_is_room_for_both_nothing_is_planned_anew(
    desk: Desk, overtake: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    faster = overtake(3, lambda: desk.submit("true", deadline="90m"))
    monkeypatch.setattr(use_cases, "TRIES", 1)
    desk.submit("true", deadline="90m")
    assert len(faster) == 1
    assert len(desk.jobs()) == 2


def test_who_is_overtaken_again_and_again_is_told(
    desk: Desk, overtake: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    faster = overtake(2, lambda: desk.submit("true", slots=2, deadline="9h"))
    monkeypatch.setattr(use_cases, "TRIES", 2)
    monkeypatch.setattr(queue, "overtaken", lambda *_: len(faster) > 0)
    with pytest.raises(StoreError, match="2 times while it was planned"):
        desk.submit("true", slots=2, deadline="9h")
    assert sorted(job.id for job in desk.jobs()) == sorted(faster)


def test_no_engine_is_asked_within_the_transaction_that_books(
    tmp_path: Path,
    now: datetime,
    database: dict[str, str],
    overtake: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conftest, "SETTINGS", conftest.SETTINGS.replace(", slots: 2", ""))
    desk = conftest.Desk(tmp_path, now, database)
    asked = []

    def slots() -> int:
        asked.append(getattr(desk.ctx.store._database._shared, "session", None))
        return 2

    monkeypatch.setattr(desk.executor, "slots", slots)
    overtake(1, lambda: desk.submit("true"))
    desk.submit("true")
    assert len(desk.jobs()) == 2
    assert asked
    assert set(asked) == {None}
    desk.ctx.close()
