"""`lowtide run` while the database is away: it waits, says so, and passes the exit code on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from scheduler import engine
from scheduler.errors import StoreUnavailable, StoreUnreachable
from scheduler.store import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable

AWAY = "it does not answer: is the server up?"


class Away:
    """Makes questions to the database fail, once the job is in it."""

    def __init__(self, times: int, then: Callable[[], None] = lambda: None) -> None:
        self._times, self._then, self._asked = times, then, 0

    def __call__(self, *args: Any, plain: Callable[..., Any], **kwargs: Any) -> Any:
        self._asked += 1
        if self._asked > self._times:
            return plain(*args, **kwargs)
        self._then()
        raise StoreUnreachable(AWAY)


def _patched(monkeypatch: pytest.MonkeyPatch, away: Away) -> None:
    def submit(*args: Any, plain: Callable[..., Any] = engine.submit) -> Any:
        found = plain(*args)
        get, tick = Jobs.get, engine.tick
        monkeypatch.setattr(Jobs, "get", lambda *a, **k: away(*a, plain=get, **k))
        monkeypatch.setattr(engine, "tick", lambda *a: away(*a, plain=tick))
        return found

    monkeypatch.setattr(engine, "submit", submit)
    monkeypatch.setattr("scheduler.cli.foreground.LOOK_S", 0.05)


def test_the_exit_code_outlives_an_outage(
    lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _patched(monkeypatch, Away(6))
    done = lowtide("run", "--now", "--", "sh", "-c", "echo done; exit 7")
    assert (done.code, done.out) == (7, "done\n")
    assert done.err.count(f"lowtide: {AWAY}; running jobs go on") == 1
    assert done.err.count("goes on again after") == 1


def test_ctrl_c_is_kept_and_a_second_one_leaves(
    lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _patched(monkeypatch, Away(1_000_000, lambda: os.kill(os.getpid(), signal.SIGINT)))
    done = lowtide("run", "--now", "--", "sleep", "60")
    assert done.code == StoreUnavailable.exit_code
    assert done.err.splitlines()[-1] == f"lowtide: {AWAY}"
