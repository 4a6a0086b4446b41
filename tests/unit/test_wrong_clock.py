"""A pass or two with a wrong clock: what they left behind does not outlast them."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from support.slurm_desk import made_desk

from providers.errors import Unavailable
from providers.executors import local
from providers.runner import asking, journal
from providers.transport.ledger import Ledger
from scheduler import engine
from scheduler.engine import accuracy
from scheduler.models import JobState
from scheduler.testing import FakeProvider

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from scheduler.store import Store
    from tests.unit.conftest import Desk

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
AHEAD = (timedelta(minutes=10), 12 * HOUR, DAY)


# --- series --------------------------------------------------------------------------------


def _minutely(desk: Desk) -> str:
    desk.executor.run_s = 5
    series, _ = desk.repeat(every="* * * * *", within="10m", duration="1s")
    for _ in range(3):
        desk.tick(minutes=1)
    return series.id


def _set(desk: Desk, by: timedelta) -> None:
    """The clock is set; what runs goes on for as long as it would have."""
    desk.clock.advance(seconds=by.total_seconds())
    for folder, (launch, begun) in desk.executor.launches.items():
        if begun > desk.clock.now:
            desk.executor.launches[folder] = (launch, begun + by)


def _run_at(desk: Desk, since: datetime) -> list[datetime]:
    """Occurrences whose jobs began since then."""
    return [
        job.spec.release
        for job in desk.jobs()
        if job.started_at is not None and since <= job.started_at <= desk.clock.now
    ]


@pytest.mark.parametrize(
    ("ahead", "passes"), [(timedelta(minutes=10), 3), (DAY, 1), (DAY, 2), (30 * DAY, 2)]
)
def test_a_series_goes_on_from_the_corrected_time_and_says_so(
    desk: Desk, ahead: timedelta, passes: int
) -> None:
    series = _minutely(desk)
    _set(desk, ahead)
    for _ in range(passes):
        desk.tick(seconds=20)
    _set(desk, -ahead)
    corrected = desk.clock.now
    for _ in range(6):
        desk.tick(seconds=30)
    assert len(_run_at(desk, corrected)) >= 2, "one a minute"
    story = desk.story(series, "clock")
    assert story
    assert "the clock was set back: the series goes on from 2026-03-02T08:0" in story[0]
    assert len(story) == 1
    living = [job for job in desk.jobs() if not job.state.ended]
    assert all(job.spec.release <= desk.clock.now + MINUTE for job in living)


def test_the_job_that_was_made_ahead_says_why_it_is_cancelled(desk: Desk) -> None:
    _minutely(desk)
    _set(desk, DAY)
    desk.tick(seconds=20)
    desk.tick(seconds=20)
    ahead = desk.jobs()[-1]
    assert ahead.state is JobState.PLANNED
    _set(desk, -DAY)
    desk.tick(seconds=20)
    assert desk.job(ahead.id).state is JobState.CANCELLED
    (story,) = desk.story(ahead.id, "clock")
    assert "ahead, on a clock that has been set back since" in story
    (after,) = [job for job in desk.jobs() if not job.state.ended]
    assert after.spec.release <= desk.clock.now + MINUTE
    assert desk.story(after.id, "clock")


@pytest.mark.parametrize("back", [timedelta(seconds=1), timedelta(seconds=50)])
def test_a_small_step_back_repeats_nothing(desk: Desk, back: timedelta) -> None:
    series = _minutely(desk)
    _set(desk, -back)
    for _ in range(6):
        desk.tick(seconds=30)
    releases = [job.spec.release for job in desk.jobs()]
    assert len(releases) == len(set(releases))
    assert desk.story(series, "clock") == []


@pytest.mark.parametrize("behind", AHEAD)
def test_a_clock_that_is_behind_for_a_while_costs_nothing(desk: Desk, behind: timedelta) -> None:
    _minutely(desk)
    _set(desk, -behind)
    desk.tick(seconds=20)
    desk.tick(seconds=20)
    _set(desk, behind)
    corrected = desk.clock.now
    for _ in range(6):
        desk.tick(seconds=30)
    assert len(_run_at(desk, corrected)) >= 2


def test_an_occurrence_that_people_cancel_before_its_time_stays_cancelled(
    desk: Desk, now: datetime
) -> None:
    """The next one lies further ahead than the rule's next hour, by no fault of a clock."""
    _, first = desk.repeat()
    engine.cancel(desk.ctx, first, now)
    desk.tick(minutes=5)
    desk.tick(minutes=5)
    assert [job.spec.release for job in desk.jobs() if not job.state.ended] == [
        now + DAY + 4 * HOUR
    ]


# --- what is remembered ----------------------------------------------------------------------


def test_a_forecast_of_tomorrows_clock_hides_no_later_one(store: Store, now: datetime) -> None:
    first, other, last = (
        FakeProvider(now - DAY, {"DE": [g] * 240}).forecast("DE", now, now + 3 * DAY, now)
        for g in (100.0, 101.0, 102.0)
    )
    right = store.forecasts.remember("s", first, now)
    shadow = store.forecasts.remember("s", replace(other, issued_at=now + DAY), now + DAY)
    later = now + 10 * MINUTE
    newest = store.forecasts.newest("s", "DE", later)
    assert newest is not None
    assert newest.row_id == right
    newer = store.forecasts.remember("s", replace(last, issued_at=later), later)
    for moment in (later, now + DAY, now + 2 * DAY):
        newest = store.forecasts.newest("s", "DE", moment)
        assert newest is not None
        assert newest.row_id == newer
    assert shadow not in (right, newer)


def test_sources_are_asked_again_once_the_clock_is_right(desk: Desk) -> None:
    desk.submit(deadline="20h")
    desk.tick(minutes=1)
    desk.clock.advance(days=1)
    desk.tick(minutes=1)
    desk.clock.advance(days=-1)
    source = desk.ctx.outlook.source("fake")
    region = desk.ctx.regions["local"]
    now = desk.clock.now
    known = desk.ctx.outlook.refresh(region, now, now + HOUR, now)
    assert known.series is not None
    assert known.series.issued_at <= now
    assert source.info.name == "fake"


def test_a_beat_of_a_wrong_clock_is_not_taken_for_a_daemon(desk: Desk) -> None:
    desk.tick(minutes=1)
    assert engine.watcher_seen(desk.ctx, desk.clock.now)
    desk.tick(days=1)
    assert not engine.watcher_seen(desk.ctx, desk.clock.now - DAY)


def test_the_daily_judgement_does_not_wait_for_the_hour_of_a_wrong_clock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []
    monkeypatch.setattr(accuracy, "of_sources", lambda _, __, now: asked.append(now) or [])
    settings = SimpleNamespace(order="accuracy")
    monkeypatch.setattr(desk.ctx, "config", SimpleNamespace(settings=settings))
    for moment in (desk.clock.now + DAY, desk.clock.now, desk.clock.now + HOUR):
        accuracy.judge(desk.ctx, moment)
    assert asked == [desk.clock.now + DAY, desk.clock.now]


def test_a_settlement_of_a_wrong_clock_is_looked_at_again_however_final(desk: Desk) -> None:
    job_id = desk.submit()
    desk.tick()
    desk.tick(days=30)
    settled = desk.ctx.store.settlements.latest(job_id)
    assert settled is not None
    assert settled.status == "final"
    assert desk.ctx.store.settlements.owed(desk.clock.now, 60.0) == []
    assert desk.ctx.store.settlements.owed(desk.clock.now - 29 * DAY, 60.0) == [job_id]


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_breaker_does_not_stay_open_until_the_hour_of_a_wrong_clock(
    tmp_path: Path, now: datetime, ahead: timedelta
) -> None:
    ledger = Ledger("s", tmp_path)
    for _ in range(6):
        ledger.failed(now + ahead, "down", None)
    with pytest.raises(Unavailable):
        ledger.admit(now + ahead, 20.0)
    assert not ledger.admit(now, 20.0)
    for _ in range(2):
        ledger.failed(now, "down", None)
    with pytest.raises(Unavailable):
        ledger.admit(now + timedelta(seconds=30), 20.0)


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_probe_that_died_on_a_wrong_clock_closes_nothing(
    tmp_path: Path, now: datetime, ahead: timedelta
) -> None:
    ledger = Ledger("s", tmp_path)
    for _ in range(2):
        ledger.failed(now - HOUR, "down", None)
    assert ledger.admit(now + ahead, 20.0)
    assert not ledger.admit(now, 20.0)


# --- executors -------------------------------------------------------------------------------


def test_the_grace_of_a_stop_is_counted_from_the_corrected_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, token = [1e9 + 86_400.0], f"token of {tmp_path}"
    monkeypatch.setattr(local.time, "time", lambda: now[0])
    environ = {**os.environ, "LOWTIDE_RUN": token}
    stubborn = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]
    with subprocess.Popen(stubborn, env=environ, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.readline()
        journal.claim(tmp_path / "started", {"at": now[0]})
        local.Local().stop(tmp_path, token, 10.0)
        now[0] -= 86_400.0
        local.Local().stop(tmp_path, token, 10.0)
        assert left.poll() is None
        now[0] += 11.0
        local.Local().stop(tmp_path, token, 10.0)
        assert left.wait(60) == -signal.SIGKILL


def test_since_when_a_stop_is_wanted_is_no_hour_of_a_wrong_clock(tmp_path: Path) -> None:
    asking.listen(tmp_path)
    assert asking.stop(tmp_path, 90_000.0) == 90_000.0
    assert asking.stop(tmp_path, 3_600.0) == 3_600.0
    assert asking.stop(tmp_path, 3_700.0) == 3_600.0


def test_a_requeue_is_given_up_a_minute_after_the_clock_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = made_desk(tmp_path, monkeypatch)
    desk.checkpoint()
    desk.slurm.change("1", job_state="COMPLETING", end_time=0)
    desk.now += 86_400
    desk.executor.start(desk.next)
    desk.now -= 86_400
    desk.executor.start(desk.next)
    assert desk.slurm.said("sbatch")[1:] == []
    desk.now += 61
    desk.executor.start(desk.next)
    assert len(desk.slurm.said("sbatch")) == 2
