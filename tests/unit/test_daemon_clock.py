"""The daemon's clock: set while it waits, or late; it looks at once."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.blocking import BlockingScheduler

from scheduler import daemon


class Time:
    """The time of day may be set; what has passed since boot goes on."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.set_s = 0.0

    def time(self) -> float:
        return time.time() + self.set_s


@pytest.mark.parametrize("set_s", [-3600.0, 3600.0])
def test_a_pass_that_is_due_in_an_hour_comes_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], set_s: float
) -> None:
    now, clock, looked = Time(), BlockingScheduler(timezone=UTC), threading.Event()
    monkeypatch.setattr(daemon, "time", now)

    def look() -> None:
        looked.set()
        clock.shutdown(wait=False)

    due = datetime.now(UTC) + timedelta(hours=1)
    clock.add_job(look, "interval", hours=1, id="look", next_run_time=due)
    threading.Timer(0.2, lambda: setattr(now, "set_s", set_s)).start()
    with daemon._steps_noticed(clock, 0.05):
        clock.start()
    assert looked.is_set()
    assert f"the clock was set by {set_s:+.0f} s" in capsys.readouterr().err


def test_a_start_that_a_busy_machine_missed_is_looked_at_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock, looks = BlockingScheduler(timezone=UTC), []
    # Should the second look never come, the test ends and fails.
    patience = threading.Timer(20.0, clock.shutdown)

    def tick(context: Any, now: datetime, until: datetime) -> datetime:
        looks.append(now)
        if len(looks) > 1:
            clock.shutdown(wait=False)
        return now - timedelta(seconds=5)

    monkeypatch.setattr(daemon.engine, "tick", tick)
    monkeypatch.setattr(daemon.engine, "step_down", lambda context: None)
    monkeypatch.setattr(daemon, "BlockingScheduler", lambda **settings: clock)
    monkeypatch.setattr(daemon.signal, "signal", lambda number, handler: None)
    store = SimpleNamespace(check=lambda: "ok", shown="")
    config = SimpleNamespace(home=tmp_path, settings=SimpleNamespace(tick=3600.0))
    context: Any = SimpleNamespace(store=store, config=config)
    patience.start()
    daemon.serve(context)
    patience.cancel()
    assert len(looks) >= 2


def test_passes_come_while_one_waits_for_a_source_and_the_log_stays_short(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made, looks, left_out = [], [], threading.Event()
    waited: list[bool] = []
    whole = daemon.BlockingScheduler

    def scheduler(**settings: Any) -> BlockingScheduler:
        made.append(whole(**settings))
        made[0].add_listener(lambda _: left_out.set(), EVENT_JOB_MAX_INSTANCES)
        return made[0]

    def tick(context: Any, now: datetime, until: datetime) -> None:
        looks.append(now)
        # Both that may be at work wait until a third one was left out.
        waited.append(left_out.wait(20.0))
        if len(looks) > 2:
            made[0].shutdown(wait=False)

    monkeypatch.setattr(daemon.engine, "tick", tick)
    monkeypatch.setattr(daemon.engine, "step_down", lambda context: None)
    monkeypatch.setattr(daemon, "BlockingScheduler", scheduler)
    monkeypatch.setattr(daemon.signal, "signal", lambda number, handler: None)
    store = SimpleNamespace(check=lambda: "ok", shown="")
    config = SimpleNamespace(home=tmp_path, settings=SimpleNamespace(tick=0.2))
    context: Any = SimpleNamespace(store=store, config=config)
    daemon.serve(context)
    assert all(waited), "a second pass came while the first one waited"
    assert "maximum number of running instances" not in capfd.readouterr().err
