"""The file of a SQLite database: who may read it, who may replace it, who keeps it locked."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from support.bench import PYTHON
from support.holder import standing_still

from scheduler import address
from scheduler.errors import ConfigError, StoreUnavailable
from scheduler.store import Store, sqlite
from scheduler.store.database import Database
from scheduler.store.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

OTHER_UID = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is another's")
# Takes the write lock.
WRITER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
"""


@pytest.fixture(params=["000", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.umask(int(request.param, 8))
    yield request.param
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_database_and_its_companions_are_their_owners_from_the_first_byte(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that others may read; each statement that SQLite runs is looked behind."""
    tmp_path.chmod(0o755)
    seen: set[str] = set()

    def look(*_: object) -> None:
        for path in tmp_path.glob("queue.db*"):
            seen.add(path.name)
            assert _mode(path) == 0o600, path

    def engine(self: Sqlite, plain: Any = Sqlite.engine) -> Any:
        made = plain(self)
        event.listen(made, "do_connect", look)
        event.listen(made, "after_cursor_execute", look)
        return made

    monkeypatch.setattr(Sqlite, "engine", engine)
    at = address.parse("sqlite:///queue.db", tmp_path)
    store = Store(tmp_path / "some" / "home", now, at)
    store.beats.beat("a secret", now)
    look()
    store.close()
    assert seen == {"queue.db", "queue.db-wal", "queue.db-shm"}
    assert _mode(tmp_path / "some") == _mode(tmp_path / "some" / "home") == 0o700


def test_what_an_older_version_left_open_to_others_is_closed(tmp_path: Path, now: datetime) -> None:
    store = Store(tmp_path, now)
    files = [tmp_path / f"lowtide.db{end}" for end in ("", "-wal", "-shm")]
    for path in files:
        path.chmod(0o644)
    Store(tmp_path, now).close()
    assert [_mode(path) for path in files] == [0o600] * 3
    store.close()


def test_a_second_opening_lets_no_lock_of_this_process_go(tmp_path: Path, now: datetime) -> None:
    """POSIX locks are lost when any descriptor of their file is closed."""
    first = Store(tmp_path, now)
    with first.together():
        first.beats.beat("x", now)
        Store(tmp_path, now).close()
        other = [*PYTHON, WRITER.replace("connect(", "connect(timeout=0, database=")]
        done = subprocess.run(
            [*other, str(tmp_path / "lowtide.db")], capture_output=True, text=True, check=False
        )
        assert "locked" in done.stderr
    first.close()


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_folder_that_anybody_may_write_to_is_refused(
    tmp_path: Path, now: datetime, mode: int
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    with pytest.raises(ConfigError, match="anybody may write to"):
        Store(tmp_path / "home", now, address.parse("sqlite:///shared/queue.db", tmp_path))
    assert list(shared.iterdir()) == []


@as_root
def test_a_database_of_another_user_is_refused(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "queue.db"
    path.touch()
    os.chown(path, OTHER_UID, OTHER_UID)
    with pytest.raises(ConfigError, match=f"is the user {OTHER_UID}'s"):
        Store(tmp_path / "home", now, address.parse("sqlite:///queue.db", tmp_path))
    assert path.read_bytes() == b""


def test_any_path_is_opened_as_it_is(tmp_path: Path, now: datetime) -> None:
    for name in ("a?b#c%41.db", "with space.db", "ümlaut.db"):
        store = Store(tmp_path / "home", now, address.Address(path=tmp_path / name))
        store.beats.beat("x", now)
        store.close()
        with closing(sqlite3.connect(tmp_path / name)) as raw:
            assert raw.execute("SELECT count(*) FROM beat").fetchone() == (1,)


def test_a_writer_that_is_stopped_is_named_and_not_waited_for(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOOK_S", 0.01)
    # Waiting for it would outlast the test.
    monkeypatch.setattr(sqlite, "PATIENCE_S", 10_000)
    store = Store(tmp_path, now)
    with standing_still(WRITER, str(tmp_path / "lowtide.db")) as pid:
        with pytest.raises(StoreUnavailable, match=f"process {pid}, which is stopped: `kill -CONT"):
            store.beats.beat("x", now)
        assert store.beats.last("x") is None, "readers wait for no writer"
    store.beats.beat("x", now)
    store.close()


def test_a_writer_that_works_is_waited_for_and_named_in_the_end(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOOK_S", 0.01)
    monkeypatch.setattr(sqlite, "PATIENCE_S", 0.1)
    store = Store(tmp_path, now)
    with store.together():
        store.beats.beat("x", now)
        other = Database(Sqlite(tmp_path / "lowtide.db"))
        said = f"process {os.getpid()} holds it"
        with pytest.raises(StoreUnavailable, match=said), other.write() as session:
            session.connection()
        other.close()
    store.close()


def test_a_command_says_it_in_one_line(
    lowtide: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOOK_S", 0.01)
    assert lowtide("status").code == 0
    with standing_still(WRITER, str(tmp_path / "home" / "lowtide.db")) as pid:
        for argv in (("tick",), ("submit", "--duration", "1h", "--", "true")):
            done = lowtide(*argv)
            assert (done.code, f"process {pid}, which is stopped" in done.err) == (5, True)
        assert lowtide("status").code == 0
    assert not list((tmp_path / "home").glob("runs/*"))
