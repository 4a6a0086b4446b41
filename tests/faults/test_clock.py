"""The machine's clock is set back by an hour, and forward by two, while jobs wait and run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support import aftermath
from support.fleet import Fleet, until
from support.set_clock import SetClock
from support.witness import watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
tick: 1s
regions:
  local: {zone: DE, slots: 64}
"""


@pytest.fixture
def clock(tmp_path: Path) -> SetClock:
    return SetClock(tmp_path)


@pytest.fixture
def fleet(tmp_path: Path, clock: SetClock) -> Iterator[Fleet]:
    (tmp_path / "marks").mkdir()
    made = Fleet(tmp_path, CONFIG, clock.environ, clock.command)
    yield made
    made.close()


def test_jobs_start_in_time_and_are_metered_by_the_time_that_has_passed(
    fleet: Fleet, clock: SetClock
) -> None:
    home, marks, ids = fleet.folder / "h0", fleet.folder / "marks", []
    begun, daemon = time.monotonic(), fleet.up(0)

    def submit(then: str, *options: str) -> str:
        ids.append(fleet.submit(*aftermath.marking(marks, then), options=options))
        return ids[-1]

    runs = submit(f"until [ -e {fleet.folder}/go ]; do sleep 0.05; done")
    with watching(home) as seen:
        seen.until("running", runs)
        clock.set("-1h")
        until(lambda: "the clock was set by -3600 s" in fleet.log(0))
        seen.until("succeeded", submit(":"))
        waits = submit(":", "--earliest", "90m", "--start-by", "100m")
        clock.set("+1h")
        until(lambda: "the clock was set by +7200 s" in fleet.log(0))
        seen.until("succeeded", waits)
        clock.set("+0")
        until(lambda: fleet.log(0).count("the clock was set by -3600 s") == 2)
        (fleet.folder / "go").touch()
        seen.until("succeeded", runs)
        passed_s = time.monotonic() - begun
        seen.until_over()
        aftermath.assert_aftermath(seen.store, marks, ids)
        (attempt,) = seen.store.jobs.attempts(runs)
    assert attempt.started_at is not None
    assert attempt.ended_at is not None
    assert 0 < (attempt.ended_at - attempt.started_at).total_seconds() <= passed_s
    assert daemon.poll() is None
    assert "Traceback" not in fleet.log(0)
