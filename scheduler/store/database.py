"""One SQLite database (WAL): transactions, and its errors as :class:`StoreError`."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlmodel import Session, create_engine

from scheduler.errors import StoreError
from scheduler.store import migrations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A commit by another process takes milliseconds; a minute of waiting means it hangs.
BUSY_TIMEOUT_MS = 60_000


class Database:
    """Sessions on one file. Writers take the lock at once, so that they never upgrade one."""

    def __init__(self, path: Path, now_s: float) -> None:
        self.path = path
        self._engine = create_engine(
            f"sqlite:///{path}", connect_args={"isolation_level": None, "timeout": 60}
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        try:
            with self.write() as session:
                migrations.apply(session.connection(), now_s)
        except StoreError:
            self.close()
            raise
        path.chmod(0o600)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._session(immediate=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that holds the write lock; committed on leaving, else rolled back."""
        with self._session(immediate=True) as session:
            yield session
            session.commit()

    @contextmanager
    def _session(self, *, immediate: bool) -> Iterator[Session]:
        try:
            with (
                self._engine.connect().execution_options(immediate=immediate) as connection,
                Session(connection, expire_on_commit=False) as session,
            ):
                yield session
        except DatabaseError as e:
            raise StoreError(_explain(self.path, e)) from e

    def check(self) -> str:
        """SQLite's own quick check: ``ok``, or what is wrong."""
        with self.read() as session:
            return str(session.connection().execute(text("PRAGMA quick_check(1)")).scalar())

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _prepare(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """The switch to WAL fails at once, whatever the busy timeout, while another one is made."""
    patience = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as e:
            if "locked" not in str(e) or time.monotonic() > patience:
                raise
            time.sleep(0.05)


def _begin(connection: Any) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _explain(path: Path, error: DatabaseError) -> str:
    found = " ".join(str(error.orig).split())
    if isinstance(error, OperationalError) and "locked" in found:
        return f"database {path} stayed locked: another program holds it; end that one and retry"
    if isinstance(error, OperationalError) and ("unable to open" in found or "readonly" in found):
        return f"database {path} cannot be opened ({found}): check the folder's owner and rights"
    return (
        f"database {path} cannot be used ({found}): nothing was changed; move the file away or "
        "restore a backup, run folders beside it keep every receipt"
    )
