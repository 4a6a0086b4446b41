"""A database of any earlier version is brought up, and all that was in it is still there."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import inspect, text
from sqlmodel import SQLModel
from support.versions import ROWS, SETTLED, make_old

from scheduler import address
from scheduler.errors import StoreError
from scheduler.models import JobState, Settlement
from scheduler.store import Store, migrations, upkeep

if TYPE_CHECKING:
    from support import postgres

    from scheduler.address import Address

NAMES = migrations.NAMES
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """Where no database of ours is yet."""
    if request.param == "sqlite":
        return address.in_home(tmp_path)
    databases: postgres.Databases = request.getfixturevalue("postgres_databases")
    return address.parse(databases.fresh(), tmp_path)


def _rows(store: Store, table: str) -> list[dict[str, Any]]:
    with store._database.read() as session:
        found = session.connection().execute(text(f'SELECT * FROM "{table}"')).mappings()
        return [dict(row) for row in found]


@pytest.mark.parametrize("last", NAMES)
def test_every_row_of_an_earlier_version_keeps_its_values(
    empty: Address, last: str, tmp_path: Path, now: datetime
) -> None:
    written = make_old(empty, last, now.timestamp())
    missing = list(NAMES[NAMES.index(last) + 1 :])
    assert upkeep.upgrade(empty, {}, now) == missing
    assert upkeep.upgrade(empty, {}, now) == [], "once more is without effect"
    store = Store(tmp_path, now, empty)
    for table, values in written:
        kept = [{k: row[k] for k in values} for row in _rows(store, table)]
        assert values in kept, table
    jobs = {row["id"]: row for row in _rows(store, "job")}
    assert (jobs["j"]["user"], jobs["j"]["group"]) == ("me", "g")
    assert jobs["q"]["group"] is None
    if last < "0006-long-queues":
        columns = ("host", "places", "priority", "waits", "recurrence", "release", "until")
        submitted = datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp()
        found = [jobs["q"][name] for name in columns]
        assert found == ["", "local|", 0, False, None, submitted, submitted + 60]
    store.close()
    assert upkeep.check(empty, {}).ok


@pytest.mark.parametrize("last", NAMES[:-1])
def test_what_an_earlier_version_wrote_is_read_as_it_was_meant(
    empty: Address, last: str, tmp_path: Path, now: datetime
) -> None:
    make_old(empty, last, now.timestamp())
    upkeep.upgrade(empty, {}, now)
    store = Store(tmp_path, now + HOUR, empty)
    newest = store.forecasts.newest("c", "DE")
    assert newest is not None
    assert newest.notes == ("climatology fills in",)
    assert newest.checked_at == now + timedelta(seconds=60)
    assert newest.series.g_per_kwh.tolist() == [200.5, 100.25]
    assert newest.series.sources.tolist() == ["neso", "climatology"]
    assert (newest.series.flow, newest.series.factors) == ("consumption", None)
    assert store.forecasts.remember("c", newest.series, now + HOUR) == newest.row_id, "still said"
    settled = store.settlements.latest("j")
    assert isinstance(settled, Settlement)
    assert settled.operational_g is not None
    assert asdict(settled.operational_g) == SETTLED["operational_g"]
    assert settled.notes == ("a note",)
    assert (settled.units, settled.metrics, settled.uncertainty) == ({}, {}, ())
    assert settled.planned_against_realized is None
    assert store.settlements.owed(now + HOUR / 2, 3600) == [], "looked at when it was made"
    assert store.settlements.owed(now + 2 * HOUR, 3600) == ["j"]
    assert store.settlements.add("j", settled, now + HOUR) is None
    assert store.settlements.owed(now + HOUR, 3600) == []
    old, queued = store.jobs.find()
    assert old.spec.argv == ("true", "ä'; DROP TABLE job")
    assert (old.spec.origin, old.waited_s) == (None, 0.0)
    assert (queued.state, queued.cancel_requested) == (JobState.QUEUED, True)
    assert [job.id for job in store.jobs.succeeded("me", "g", 5)] == ["j"]
    (attempt,) = store.jobs.attempts("j")
    assert (attempt.gpus, attempt.host, attempt.exit_code) == (("GPU-1",), "", 0)
    assert store.beats.last("daemon") == now + timedelta(seconds=0.5)
    # What is new goes behind what was there, and nothing is taken for it.
    store.jobs.tell("j", now, "note", "new")
    assert [e.kind for e in store.jobs.events("j")] == ["submitted", "note"]
    store.close()


@pytest.mark.parametrize("last", NAMES[:-1])
def test_a_database_that_others_may_be_at_work_on_is_not_changed_by_opening_it(
    empty: Address, last: str, tmp_path: Path, now: datetime
) -> None:
    make_old(empty, last, now.timestamp())
    missing = tuple(NAMES[NAMES.index(last) + 1 :])
    assert upkeep.check(empty, {}).missing == missing
    if empty.path is not None:
        Store(tmp_path, now, empty).close()
        assert upkeep.check(empty, {}).missing == ()
        return
    with pytest.raises(StoreError, match=r"lacks .*lowtide db upgrade") as caught:
        Store(tmp_path, now, empty)
    assert missing[0] in str(caught.value)
    assert upkeep.check(empty, {}).missing == missing


def test_a_migration_that_fails_leaves_nothing_behind(
    empty: Address, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(empty, NAMES[0], now.timestamp())
    torn = (*migrations.MIGRATIONS, ("9999-torn", ("CREATE TABLE torn (a INTEGER)", "NO SQL")))
    monkeypatch.setattr(migrations, "MIGRATIONS", torn)
    with pytest.raises(StoreError, match="NO"):
        upkeep.upgrade(empty, {}, now)
    monkeypatch.undo()
    assert upkeep.check(empty, {}).missing == NAMES[1:]
    assert upkeep.upgrade(empty, {}, now) == list(NAMES[1:])


def test_tables_of_somebody_else_are_left_alone(
    postgres_databases: postgres.Databases, tmp_path: Path, now: datetime
) -> None:
    url = postgres_databases.fresh()
    postgres_databases.execute(url, "CREATE TABLE job (theirs TEXT)")
    where = address.parse(url, tmp_path)
    with pytest.raises(StoreError, match="not lowtide's"):
        Store(tmp_path, now, where)
    assert not upkeep.check(where, {}).ok


def test_the_schema_is_what_the_rows_expect(empty: Address, tmp_path: Path, now: datetime) -> None:
    """Frozen statements and row classes must not drift apart."""
    store = Store(tmp_path, now, empty)
    kinds = {"REAL": "FLOAT", "DOUBLE PRECISION": "FLOAT", "BIGINT": "INTEGER", "BYTEA": "BLOB"}
    kinds |= {"VARCHAR": "TEXT"}
    with store._database.read() as session:
        found = inspect(session.connection())
        for table in SQLModel.metadata.sorted_tables:
            columns = {}
            for column in found.get_columns(table.name):
                kind = str(column["type"]).split(" COLLATE")[0]
                columns[column["name"]] = (kinds.get(kind, kind), bool(column["nullable"]))
            wanted = {
                c.name: (
                    kinds.get(str(c.type.compile()), str(c.type.compile())),
                    bool(c.nullable and not c.primary_key),
                )
                for c in table.columns
            }
            assert columns == wanted, table.name
    store.close()


def test_what_was_added_since_stands_last() -> None:
    assert list(NAMES) == sorted(NAMES)
    assert NAMES[:4] == (
        "0001-first",
        "0002-recurrence",
        "0003-pauses-and-queue-plan",
        "0004-actuals",
    )
    assert set(ROWS) == set(NAMES), "each version's rows are tried"
