"""``lowtide db``, and a password that nobody ever sees."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import postgres
from support.database import damage, open_store
from support.fleet import Fleet, until
from support.versions import make_old

from scheduler import address, daemon
from scheduler.engine import Context
from scheduler.errors import StoreError
from scheduler.store import migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scheduler.models import JobSpec

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
JOB = ("submit", "--duration", "1h", "--", "true")


@pytest.fixture
def used(
    lowtide: Callable[..., Any], database: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """The command, on an empty database of either kind."""
    for name, value in database.items():
        monkeypatch.setenv(name, value)
    return lowtide


def test_a_sound_database_is_said_to_be_so(used: Callable[..., Any]) -> None:
    assert used(*JOB).code == 0
    told = used("db", "check", "--json")
    assert told.code == 0
    assert told.json["schema_version"] == 1
    assert told.json["ok"] is True
    assert (told.json["missing"], told.json["unknown"]) == ([], [])
    assert told.json["kind"] in {"sqlite", "postgresql"}
    assert all(row["ok"] for row in told.json["checks"])
    assert "ok    migrations" in used("db", "check").out
    assert used("db", "upgrade").err.endswith("nothing to do\n")


@pytest.mark.parametrize(
    ("statement", "check", "said"),
    [
        ("UPDATE event SET job_id = 'gone'", "event rows", "1 belong to no job"),
        ("UPDATE job SET state = 'asleep'", "job states", "1 are in a state"),
        ("UPDATE job SET state = 'running'", "attempts", "1 have started without"),
        (
            "INSERT INTO promised VALUES ('r', '', 7, 1, 0)",
            "promised slots",
            "1 moments are not the sum",
        ),
        ("INSERT INTO migration VALUES ('9999-x', 0)", "migrations", "of a newer version"),
        ("DELETE FROM migration WHERE name > '0004'", "migrations", "0004-actuals"),
    ],
)
def test_what_is_wrong_is_found_and_named(
    used: Callable[..., Any],
    database: dict[str, str],
    tmp_path: Path,
    make_spec: Callable[..., JobSpec],
    statement: str,
    check: str,
    said: str,
) -> None:
    store = open_store(tmp_path / "home", database, NOW)
    store.jobs.add("j", make_spec(), NOW)
    damage(store, statement)
    told = used("db", "check", "--json")
    assert told.code == 5
    assert told.json["ok"] is False
    found = {row["check"]: row["detail"] for row in told.json["checks"] if not row["ok"]}
    assert said in found[check]
    assert "bad " in used("db", "check").out
    # Between tests all is emptied but this.
    damage(store, "DELETE FROM migration")
    for name in migrations.NAMES:
        damage(store, "INSERT INTO migration VALUES (:name, 0)", name=name)
    store.close()


def test_there_is_nothing_to_check_or_back_up_before_the_first_command(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    for command in (("db", "check"), ("db", "backup", "copy.db")):
        told = lowtide(*command)
        assert told.code == 5
        assert "there is no database" in told.err
    assert not (tmp_path / "home" / "lowtide.db").exists()
    assert "0001-first" in lowtide("db", "upgrade").out
    assert lowtide("db", "check").code == 0


def test_an_older_postgres_is_refused_until_it_is_upgraded(
    lowtide: Callable[..., Any],
    postgres_databases: postgres.Databases,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = postgres_databases.fresh()
    monkeypatch.setenv("LOWTIDE_DATABASE", url)
    make_old(address.parse(url, tmp_path), migrations.NAMES[2], NOW.timestamp())
    told = lowtide("status")
    assert told.code == 5
    assert "0004-actuals" in told.err
    assert "lowtide db upgrade" in told.err
    assert told.err.count("\n") == 1
    assert lowtide("db", "check", "--json").json["missing"] == list(migrations.NAMES[3:])
    assert lowtide("db", "upgrade").out.split() == list(migrations.NAMES[3:])
    assert lowtide("status").code == 0


def test_a_running_daemon_stops_work_on_what_a_newer_version_has_upgraded(
    used: Callable[..., Any], database: dict[str, str], tmp_path: Path
) -> None:
    from scheduler import config, engine

    environ = {"LOWTIDE_HOME": str(tmp_path / "home")} | database
    context = Context.open(config.load(None, environ, tmp_path), NOW, environ=environ)
    engine.tick(context, NOW)
    damage(context.store, "INSERT INTO migration VALUES ('9999-later', 0)")
    with pytest.raises(StoreError, match="newer version"):
        engine.tick(context, NOW)
    damage(context.store, "DELETE FROM migration WHERE name = '9999-later'")
    engine.tick(context, NOW)
    context.close()


def test_a_backup_is_whole_while_others_write(
    lowtide: Callable[..., Any], tmp_path: Path, make_spec: Callable[..., JobSpec]
) -> None:
    store = open_store(tmp_path / "home", {}, NOW)
    stop = threading.Event()
    added = []

    def write() -> None:
        while not stop.is_set():
            store.jobs.add(f"j{len(added)}", make_spec(), NOW)
            added.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: len(added) > 20)
        before = len(added)
        assert lowtide("db", "backup", "copy.db").code == 0
    finally:
        stop.set()
        writer.join()
    store.close()
    copy = tmp_path / "copy.db"
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (jobs,) = raw.execute("SELECT count(*) FROM job").fetchone()
        (events,) = raw.execute("SELECT count(*) FROM event").fetchone()
    assert before <= jobs <= len(added)
    assert jobs == events, "each job with its story, or neither"
    restored = tmp_path / "restored"
    restored.mkdir()
    shutil.copy(copy, restored / "lowtide.db")
    assert len(open_store(restored, {}, NOW).jobs.find()) == jobs


def test_no_file_is_written_over_without_force(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    assert lowtide(*JOB).code == 0
    kept = tmp_path / "kept.db"
    kept.write_text("mine")
    told = lowtide("db", "backup", "kept.db")
    assert told.code == 2
    assert "--force" in told.err
    assert kept.read_text() == "mine"
    assert lowtide("db", "backup", "--force", "kept.db").code == 0
    assert kept.read_bytes().startswith(b"SQLite format 3")
    for wrong in (str(tmp_path), "home/lowtide.db", "none/x.db"):
        told = lowtide("db", "backup", "--force", wrong)
        assert (told.code, told.err.count("\n")) == (2, 1)
    assert lowtide("status").code == 0
    assert not list(tmp_path.glob("**/.*.part"))


def test_postgres_is_backed_up_by_pg_dump_or_says_that_it_is_not_there(
    lowtide: Callable[..., Any],
    postgres_databases: postgres.Databases,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("LOWTIDE_DATABASE", postgres_databases.fresh())
    assert lowtide(*JOB).code == 0
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    told = lowtide("db", "backup", "q.dump")
    assert told.code == 5
    assert "pg_dump" in told.err
    assert told.err.count("\n") == 1
    found = next((p / "pg_dump" for p in postgres.programs() if (p / "pg_dump").exists()), None)
    if found is None:
        pytest.skip("no pg_dump here")
    (programs / "pg_dump").write_text(f'#!/bin/sh\nexec {found} "$@"\n')
    (programs / "pg_dump").chmod(0o755)
    told = lowtide("db", "backup", "q.dump")
    assert told.code == 0, told.err
    assert (tmp_path / "q.dump").read_bytes().startswith(b"PGDMP")
    assert (tmp_path / "q.dump").stat().st_mode & 0o077 == 0


def test_a_daemon_does_not_start_on_a_damaged_file(tmp_path: Path) -> None:
    from scheduler import config

    environ = {"LOWTIDE_HOME": str(tmp_path / "home")}
    context = Context.open(config.load(None, environ, tmp_path), NOW)
    for n in range(200):
        context.store.beats.beat(f"b{n}", NOW)
    context.close()
    path = tmp_path / "home" / "lowtide.db"
    with closing(sqlite3.connect(path)) as raw:
        (root,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'beat'").fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[(root - 1) * size + 8 : (root - 1) * size + 400] = b"\xff" * 392
    path.write_bytes(content)
    context = Context.open(config.load(None, environ, tmp_path), NOW)
    with pytest.raises(StoreError, match=r"damaged.*lowtide db check"):
        daemon.serve(context)
    context.close()


@pytest.fixture
def guarded() -> Iterator[postgres.Server]:
    made = postgres.own_server()
    made.demand("s3cret-Pa55")
    yield made
    made.remove()


def test_the_password_is_used_and_never_seen(guarded: postgres.Server, tmp_path: Path) -> None:
    config = f"database: {{url: '{guarded.url}', password_env: QUEUE_PASSWORD}}\ntick: 1s\n"
    secret = "s3cret-Pa55"
    fleet = Fleet(tmp_path, config, {"QUEUE_PASSWORD": secret, "PGPASSWORD": f"not-{secret}"})
    try:
        job_id = fleet.submit("sh", "-c", "env")
        daemon_ = fleet.up(0)
        until(lambda: fleet.state(job_id) == "succeeded")
        said = [fleet.run("doctor").stdout, fleet.run("db", "check").stdout, fleet.log(0)]
        said.append(fleet.run("logs", job_id).stdout)
        assert "LOWTIDE_JOB_ID" in said[-1]
        daemon_.terminate()
        assert daemon_.wait() == 0
    finally:
        fleet.close()
    wrong = Fleet(tmp_path, config, {"QUEUE_PASSWORD": "s3cret-Wr0ng"})
    refused = wrong.run("status", code=5).stderr
    assert "refuses us" in refused
    assert refused.count("\n") == 1
    unset = Fleet(tmp_path, config, {}).run("status", code=3).stderr
    assert "QUEUE_PASSWORD, which is not set" in unset
    said += [refused, unset]
    said += [
        p.read_text(errors="replace")
        for p in tmp_path.rglob("*")
        if p.is_file() and p.stat().st_size < 1_000_000
    ]
    rows = postgres.Databases(guarded.url.replace("lowtide@", f"lowtide:{secret}@"))
    for table in ("job", "event", "attempt", "beat", "lease"):
        said.append(json.dumps(rows.execute(rows.url, f"SELECT t::text FROM {table} t")))
    assert not [text for text in said if "s3cret" in text]
