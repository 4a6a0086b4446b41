"""A machine's clock that is set while the daemon waits: it looks at once."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
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
