"""The store: atomic moves, honest memory, clear errors."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.database import open_store

from providers.series import Series
from scheduler.errors import ConfigError, StoreError, UsageError
from scheduler.models import Attempt, Job, JobSpec, JobState, Plan, Power, Window
from scheduler.store import LEGAL_MOVES, Store, prepare
from scheduler.store.rows import BeatRow

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = timedelta(hours=1)


def _plan(now: datetime, region: str = "local", start: datetime | None = None) -> Plan:
    begin = start or now
    window = Window(region, begin, begin + HOUR, None, None)
    return Plan(
        made_at=now,
        window=window,
        run_now=window,
        basis="operational",
        signal="average",
        power=Power(None, "unknown"),
        forecast_source=None,
        forecast_issued_at=None,
        latest_safe_start=now + HOUR,
        reason="because",
    )


def _attempt(job: Job, now: datetime, number: int = 1) -> Attempt:
    return Attempt(job.id, number, "local", f"/runs/{job.id}/{number}", "token", now)


def _planned(store: Store, spec: JobSpec, job_id: str, now: datetime) -> Job:
    store.jobs.add(job_id, spec, now)
    assert store.jobs.plan(store.jobs.get(job_id), _plan(now), now)
    return store.jobs.get(job_id)


def test_a_job_comes_back_as_it_went_in(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    spec = make_spec(group="g", project="p", regions=("a", "b"), deadline=now + 3 * HOUR)
    job = _planned(store, spec, "j1", now)
    assert job.spec == spec
    assert job.plan == _plan(now)
    assert [e.kind for e in store.jobs.events("j1")] == ["submitted", "planned"]


def test_an_id_prefix_must_name_one_job(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    for job_id in ("abc1", "abc2", "abc"):
        store.jobs.add(job_id, make_spec(), now)
    assert store.jobs.get("abc1").id == "abc1"
    assert store.jobs.get("abc").id == "abc", "an exact id wins over longer ones"
    for wrong in ("x", "", "%"):
        with pytest.raises(UsageError, match=f"no job {wrong!r}"):
            store.jobs.get(wrong)
    with pytest.raises(UsageError, match="'ab' matches 3 jobs: abc, abc1, abc2; write more"):
        store.jobs.get("ab")


def test_every_move_outside_the_table_is_refused(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    store.jobs.add("j", make_spec(), now)
    for before in JobState:
        for after in JobState:
            if (before, after) not in LEGAL_MOVES:
                with pytest.raises(ValueError, match="no move"):
                    store.jobs.transition("j", before, after, now, "")
    assert store.jobs.get("j").state is JobState.QUEUED


def test_a_move_from_a_state_that_the_job_has_left_does_nothing(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    job = _planned(store, make_spec(), "j", now)
    assert store.jobs.transition(job.id, JobState.PLANNED, JobState.CANCELLED, now, "x")
    assert not store.jobs.claim(job, _attempt(job, now), (), 4)
    assert store.jobs.attempts("j") == []


def test_only_one_of_many_claims_wins(
    tmp_path: Path, now: datetime, database: dict[str, str], make_spec: Callable[..., JobSpec]
) -> None:
    """Threads with connections of their own, as daemons would have."""
    stores = [open_store(tmp_path, database, now) for _ in range(6)]
    job = _planned(stores[0], make_spec(), "j", now)
    won: list[bool] = []
    gate = threading.Barrier(len(stores))

    def claim(store: Store, number: int) -> None:
        gate.wait()
        won.append(store.jobs.claim(job, _attempt(job, now, number), (), 4))

    threads = [threading.Thread(target=claim, args=(store, n)) for n, store in enumerate(stores, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(won) == [False] * 5 + [True]
    assert len(stores[0].jobs.attempts("j")) == 1
    for store in stores:
        store.close()


def test_slots_of_a_region_are_never_exceeded(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    jobs = [_planned(store, make_spec(slots=2), f"j{i}", now) for i in range(3)]
    taken = [store.jobs.claim(job, _attempt(job, now), (), 5) for job in jobs]
    assert taken == [True, True, False]


def _series(now: datetime, values: list[float], issued: datetime) -> Series:
    starts = now.timestamp() + 3600.0 * np.arange(len(values))
    g = np.array(values)
    sources = np.array(["s"] * len(values))
    return Series("DE", "average", "forecast", issued, starts, starts + 3600, g, g, g, sources)


def test_a_forecast_is_never_overwritten_and_an_equal_one_not_stored_twice(
    store: Store, now: datetime
) -> None:
    first = store.forecasts.remember("c", _series(now, [5, 6, 7], now), now)
    again = store.forecasts.remember("c", _series(now, [5, 6, 7], now + HOUR), now + HOUR)
    assert first == again
    changed = store.forecasts.remember("c", _series(now, [5, 6, 8], now + 2 * HOUR), now + 2 * HOUR)
    assert changed != first
    newest = store.forecasts.newest("c", "DE")
    assert newest is not None
    assert newest.row_id == changed
    start = now.timestamp() + 7200
    believed = store.forecasts.in_force("c", "DE", start, start + 3600)
    assert believed is not None
    assert believed.g_per_kwh.tolist() == [8]
    early = store.forecasts.in_force("c", "DE", now.timestamp(), start)
    assert early is not None
    assert early.g_per_kwh.tolist() == [5, 6]
    assert early.issued_at == now, "what was believed then, not what is believed now"


def test_nothing_is_known_of_a_zone_nobody_asked_about(store: Store) -> None:
    assert store.forecasts.newest("c", "FR") is None
    assert store.forecasts.in_force("c", "FR", 0, 1) is None


def test_a_story_does_not_repeat_itself(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    store.jobs.add("j", make_spec(), now)
    for said in ("full", "full", "free", "full"):
        store.jobs.tell("j", now, "waiting", said)
    assert [e.detail for e in store.jobs.events("j")][1:] == ["full", "free", "full"]


def test_a_corrupt_database_is_one_clear_line_and_stays_as_it_is(
    tmp_path: Path, now: datetime
) -> None:
    rubbish = b"this is no database " * 400
    (tmp_path / "lowtide.db").write_bytes(rubbish)
    with pytest.raises(StoreError, match="cannot be used") as caught:
        Store(tmp_path, now)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    assert (tmp_path / "lowtide.db").read_bytes() == rubbish


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, now: datetime) -> None:
    Store(tmp_path, now).close()
    with sqlite3.connect(tmp_path / "lowtide.db") as raw:
        raw.execute("INSERT INTO migration VALUES ('9999-future', 0)")
    raw.close()
    with pytest.raises(StoreError, match="upgrade lowtide"):
        Store(tmp_path, now)


def test_opening_again_changes_nothing(
    tmp_path: Path, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    first = Store(tmp_path, now)
    first.jobs.add("j", make_spec(), now)
    first.close()
    second = Store(tmp_path, now + HOUR)
    assert second.jobs.get("j").id == "j"
    assert second.check() == "ok"
    second.close()


def test_home_that_cannot_be_written_is_a_config_error(tmp_path: Path, now: datetime) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="LOWTIDE_HOME") as caught:
        Store(tmp_path / "file" / "home", now)
    assert caught.value.exit_code == 3


def test_many_may_open_one_home_at_the_same_moment(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for made in [pool.submit(prepare, tmp_path) for _ in range(2000)]:
            made.result()
    assert list(tmp_path.iterdir()) == [], "a trial has left something behind"


def test_home_and_database_belong_to_their_owner_only(tmp_path: Path, now: datetime) -> None:
    Store(tmp_path / "h", now).close()
    assert (tmp_path / "h").stat().st_mode & 0o077 == 0
    assert (tmp_path / "h" / "lowtide.db").stat().st_mode & 0o077 == 0


def test_only_the_newest_successes_of_a_users_group_are_its_past(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    def ended(job_id: str, outcome: JobState, hours: int, **fields: Any) -> None:
        job = _planned(store, make_spec(**({"group": "g"} | fields)), job_id, now)
        assert store.jobs.claim(job, _attempt(job, now), (), 99)
        at = now + hours * HOUR
        assert store.jobs.transition(job_id, JobState.STARTING, outcome, at, "", ended_at=at)

    for hours, job_id in enumerate(("a", "b", "c"), 1):
        ended(job_id, JobState.SUCCEEDED, hours)
    ended("d", JobState.FAILED, 4)
    ended("e", JobState.SUCCEEDED, 5, group="other")
    ended("f", JobState.SUCCEEDED, 6, user="somebody")
    ended("h", JobState.SUCCEEDED, 7, group=None)
    assert [job.id for job in store.jobs.succeeded("tester", "g", 2)] == ["b", "c"]


def test_a_look_at_a_large_file_is_broken_off_in_time(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scheduler.store import sqlite

    store = Store(tmp_path, now)
    for n in range(50):
        store.beats.beat(f"b{n}", now)
    monkeypatch.setattr(sqlite, "STEPS", 1)
    with store._database.read() as session:
        looks = store._database.dialect.quick_check(session.connection(), -1.0)
        assert looks == "ok", "nothing wrong as far as it looked"
        assert session.connection().exec_driver_sql("SELECT count(*) FROM beat").scalar() == 50
    store.close()


def test_two_writers_are_one_after_the_other(
    tmp_path: Path, now: datetime, database: dict[str, str]
) -> None:
    """A read-then-write under the lock loses nothing: versions and vintages rest on that."""
    stores = [open_store(tmp_path, database, now) for _ in range(4)]
    stores[0].beats.beat("n", datetime.fromtimestamp(0, UTC))

    def add(store: Store) -> None:
        for _ in range(10):
            with store._database.write() as session:
                row = session.get(BeatRow, "n")
                assert row is not None
                row.at += 1

    threads = [threading.Thread(target=add, args=(store,)) for store in stores]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert stores[0].beats.last("n") == datetime.fromtimestamp(40, UTC)
    for store in stores:
        store.close()


def test_a_reader_changes_nothing_and_sees_one_state(
    tmp_path: Path, now: datetime, database: dict[str, str]
) -> None:
    one, other = (open_store(tmp_path, database, now) for _ in range(2))
    with one._database.read() as session:
        assert session.get(BeatRow, "late") is None
        other.beats.beat("late", now)
        session.expire_all()
        assert session.get(BeatRow, "late") is None
    assert one.beats.last("late") == now
    one.close()
    other.close()
