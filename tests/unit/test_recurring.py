"""Jobs that repeat: one at a time, each with its own times, missed ones once."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from scheduler import engine
from scheduler.errors import UsageError
from scheduler.models import JobSpec, JobState, Recurrence
from scheduler.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from tests.unit.conftest import Desk

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def _series(spec: JobSpec, now: datetime, series_id: str = "rab12") -> Recurrence:
    return Recurrence(series_id, spec, "0 2 * * *", "Europe/Berlin", 7200.0, now + DAY)


# --- store ---------------------------------------------------------------------------------


def test_a_series_comes_back_as_it_went_in(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    series = _series(make_spec(retries=2), now)
    store.recurrences.add(series, "j1", make_spec(recurrence=series.id), now)
    assert store.recurrences.active() == [series]
    assert store.recurrences.get("ra") == series
    assert store.jobs.get("j1").spec.recurrence == series.id
    store.recurrences.stop(series.id, now)
    assert store.recurrences.active() == []
    with pytest.raises(UsageError, match="no active series"):
        store.recurrences.get(series.id)


def test_a_prefix_of_two_series_names_both(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    for n in (1, 2):
        store.recurrences.add(_series(make_spec(), now, f"r{n}"), f"j{n}", make_spec(), now)
    with pytest.raises(UsageError, match="matches 2 active series: r1, r2"):
        store.recurrences.get("r")


def test_an_occurrence_becomes_one_job_only(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    series = _series(make_spec(), now)
    store.recurrences.add(series, "first", make_spec(), now)
    made: list[bool] = []

    def advance(job_id: str) -> None:
        following = series.next + DAY
        made.append(store.recurrences.advance(series, following, job_id, make_spec(), now))

    threads = [threading.Thread(target=advance, args=(f"j{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]
    assert len(store.jobs.find()) == 2
    moved = replace(series, next=series.next + DAY)
    assert store.recurrences.active() == [moved]
    store.recurrences.stop(series.id, now)
    assert not store.recurrences.advance(moved, now, "late", make_spec(), now)


def test_a_database_of_before_is_brought_up(tmp_path: Path, now: datetime) -> None:
    Store(tmp_path, now).close()
    with sqlite3.connect(tmp_path / "lowtide.db") as raw:
        raw.execute("DROP TABLE recurrence")
        raw.execute("DELETE FROM migration WHERE name = '0002-recurrence'")
    raw.close()
    store = Store(tmp_path, now)
    assert store.recurrences.active() == []
    store.close()


# --- use cases -----------------------------------------------------------------------------


def test_each_occurrence_is_a_job_with_its_own_times(desk: Desk, now: datetime) -> None:
    series, first = desk.repeat("true", retries=1)
    noon = now + 4 * HOUR
    spec = desk.job(first).spec
    assert (spec.release, spec.deadline) == (noon, noon + 3 * HOUR)
    assert (spec.recurrence, spec.retries, spec.deadline_assumed) == (series.id, 1, False)
    assert desk.job(first).state is JobState.PLANNED
    desk.tick(hours=4)
    desk.tick(hours=1)
    assert desk.job(first).state is JobState.SUCCEEDED
    _, second = desk.jobs()
    assert second.state is JobState.PLANNED, "made as soon as the first has ended"
    assert second.spec.release == noon + DAY
    assert second.plan is not None
    assert second.plan.window.start == noon + DAY
    desk.tick()
    assert len(desk.jobs()) == 2


def test_the_environment_is_kept_for_every_instance_until_the_series_stops(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLOUR", "green")
    series, first = desk.repeat()
    monkeypatch.delenv("COLOUR")
    desk.tick(hours=4)
    desk.tick(hours=1)
    runs = desk.ctx.runs
    assert not runs.environment(first).exists()
    second = desk.jobs()[-1].id
    assert '"COLOUR": "green"' in runs.environment(second).read_text()
    assert runs.environment(second).stat().st_mode & 0o777 == 0o600
    engine.cancel_series(desk.ctx, series.id, desk.clock.now)
    assert not runs.environment(series.id).exists()
    assert not runs.environment(second).exists()


def test_a_series_without_its_environment_is_no_trouble_for_others(desk: Desk) -> None:
    series, _ = desk.repeat()
    other = desk.submit(earliest="6h")
    desk.ctx.runs.forget_environment(series.id)
    desk.tick(hours=4)
    desk.tick(hours=1)
    desk.tick(hours=1)
    assert desk.job(other).state is JobState.STARTING
    assert len(desk.jobs()) == 2
    assert "environment" in desk.story(series.id, "trouble")[0]


def test_one_runs_at_a_time_and_the_newest_missed_one_follows(desk: Desk, now: datetime) -> None:
    desk.executor.run_s = 3.5 * 3600
    desk.repeat(every="0 * * * *", within="2h")
    desk.tick(hours=1)  # the instance of 09:00 starts, and runs until 12:30
    desk.tick(hours=2)
    assert len(desk.jobs()) == 1
    desk.tick(hours=1.5)
    _, second = desk.jobs()
    assert second.spec.release == now + 4 * HOUR, "10:00 and 11:00 are left out"
    assert desk.story(second.id, "skipped") == [
        "occurrences from 2026-03-02T10:00:00Z on, up to this one"
    ]


def test_a_missed_one_that_cannot_end_in_time_is_left_out(desk: Desk, now: datetime) -> None:
    _, first = desk.repeat(within="3h")
    engine.cancel(desk.ctx, first, now)
    desk.tick(days=2, hours=6, minutes=1)  # noon of Wednesday could have begun until 14:00
    assert desk.jobs()[-1].spec.release == now + 3 * DAY + 4 * HOUR
    assert len(desk.story(desk.jobs()[-1].id, "skipped")) == 1


def test_a_missed_one_that_can_still_end_runs_at_once(desk: Desk, now: datetime) -> None:
    _, first = desk.repeat(within="3h")
    engine.cancel(desk.ctx, first, now)
    desk.tick(days=2, hours=6)
    last = desk.jobs()[-1]
    assert last.spec.release == now + 2 * DAY + 4 * HOUR
    assert last.state is JobState.STARTING


def test_a_failed_or_cancelled_instance_does_not_end_the_series(desk: Desk) -> None:
    _, first = desk.repeat("false")
    desk.tick(hours=4)
    desk.tick(hours=1)
    second = desk.jobs()[-1]
    assert desk.job(first).state is JobState.FAILED
    engine.cancel(desk.ctx, second.id, desk.clock.now)
    desk.tick(seconds=1)
    assert desk.jobs()[-1].spec.release == second.spec.release + DAY


def test_stopping_cancels_what_waits_and_leaves_what_runs(desk: Desk) -> None:
    series, first = desk.repeat()
    stopped, job = engine.cancel_series(desk.ctx, series.id[:4], desk.clock.now)
    assert stopped.id == series.id
    assert job is not None
    assert (job.id, job.state) == (first, JobState.CANCELLED)
    running, second = desk.repeat()
    desk.tick(hours=4)
    _, job = engine.cancel_series(desk.ctx, running.id, desk.clock.now)
    assert job is not None
    assert (job.id, job.state) == (second, JobState.STARTING)
    desk.tick(hours=1)
    desk.tick(days=2)
    assert len(desk.jobs()) == 2
    assert desk.job(second).state is JobState.SUCCEEDED


def test_the_zone_is_that_of_the_option_then_of_the_config(desk: Desk) -> None:
    assert desk.repeat(tz="Asia/Kolkata")[0].tz == "Asia/Kolkata"
    series, job_id = desk.repeat(tz=None, every="0 12 * * 2")
    assert series.tz == "Europe/Berlin"
    assert f"{desk.job(job_id).spec.release:%a %H:%M}" == "Tue 11:00"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"every": "0 2 * *"}, "4 fields"),
        ({"tz": "Berlin"}, "Europe/Berlin"),
        ({"within": None}, "--within"),
        ({"within": "59m"}, "shorter than the job"),
        ({"deadline": "9h"}, "--deadline with --every"),
        ({"start_by": "9h"}, "--start-by with --every"),
        ({"earliest": "9h"}, "--earliest with --every"),
        ({"after": ("abc",)}, "--after with --every"),
    ],
)
def test_what_cannot_repeat_is_refused_and_leaves_nothing(
    desk: Desk, fields: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        desk.repeat(**fields)
    assert desk.jobs() == []
    assert desk.ctx.store.recurrences.active() == []
