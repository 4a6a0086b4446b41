"""The machine's clock is a day off for two passes: a minutely series goes on once it is right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.fleet import Fleet, until
from support.set_clock import SetClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
regions:
  local: {zone: DE, slots: 4}
"""


@pytest.fixture
def clock(tmp_path: Path) -> SetClock:
    return SetClock(tmp_path)


@pytest.fixture
def fleet(tmp_path: Path, clock: SetClock) -> Iterator[Fleet]:
    made = Fleet(tmp_path, CONFIG, clock.environ, clock.command)
    yield made
    made.close()


def _jobs(fleet: Fleet) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fleet.json("status")["jobs"]
    return found


@pytest.mark.parametrize("off", ["+1d", "-1d"])
def test_a_minutely_series_is_not_silent_until_the_next_day(
    fleet: Fleet, clock: SetClock, off: str
) -> None:
    fleet.run("submit", "--every", "* * * * *", "--within", "10m", "--duration", "1s", "--", "true")
    fleet.run("tick")
    clock.set(off)
    for _ in range(2):
        fleet.run("tick")
    clock.set("+0")
    corrected = datetime.now(UTC)

    def goes_on() -> bool:
        fleet.run("tick")
        begun = (job["started_at"] for job in _jobs(fleet))
        now = datetime.now(UTC)
        return any(corrected <= datetime.fromisoformat(at) <= now for at in begun if at)

    until(goes_on, 300)
    fleet.run("tick")
    waiting = [job for job in _jobs(fleet) if job["state"] in {"queued", "planned"}]
    assert all(
        datetime.fromisoformat(job["release"]) < datetime.now(UTC) + timedelta(minutes=2)
        for job in waiting
    )
    said = [
        event["detail"]
        for job in _jobs(fleet)
        for event in fleet.json("why", job["job_id"])["job"]["events"]
        if event["kind"] == "clock"
    ]
    # A clock that is a day behind is one that was set back, as it sees itself.
    assert "the clock was set back" in "\n".join(said)
