"""SQLite: one file (WAL) for the processes of one machine."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlmodel import create_engine

from scheduler.errors import StoreError
from scheduler.store.dialect import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

    from scheduler.store.dialect import Finding, Name

# Between two looks at the clock, a check runs so many instructions of SQLite's machine.
STEPS = 10_000


class Sqlite:
    """Writers take the lock at once, so that they never upgrade one."""

    name: Name = "sqlite"
    upgrades_itself = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = str(path)

    def engine(self) -> Engine:
        """Connections to the file, made where it is not there."""
        made = create_engine(
            f"sqlite:///{self.path}", connect_args={"isolation_level": None, "timeout": PATIENCE_S}
        )
        event.listen(made, "connect", _prepare)
        return made

    def begin(self, connection: Connection, *, write: bool) -> None:
        """A snapshot, or the write lock."""
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    def created(self) -> None:
        """The file is its owner's only."""
        self.path.chmod(0o600)

    def now_s(self, connection: Connection, now_s: float) -> float:
        """The caller's: WAL keeps all who share the file on one machine, with one clock."""
        return now_s

    def is_empty(self, connection: Connection) -> bool:
        """Whether the schema is empty."""
        return not connection.scalar(text("SELECT count(*) FROM sqlite_master"))

    def statement(self, text: str) -> str:
        """As it is."""
        return text

    def quick_check(self, connection: Connection, limit_s: float) -> str:
        """SQLite's quick check, broken off after ``limit_s`` seconds."""
        raw: Any = connection.connection.driver_connection
        until = time.monotonic() + limit_s
        raw.set_progress_handler(lambda: time.monotonic() > until, STEPS)
        try:
            return " ".join(str(connection.scalar(text("PRAGMA quick_check(1)"))).split())
        except OperationalError as e:
            if "interrupted" not in str(e.orig):
                raise
            return "ok"
        finally:
            raw.set_progress_handler(None, 0)

    def integrity(self, connection: Connection) -> Iterator[Finding]:
        """SQLite's full check: pages, indexes, uniqueness, NOT NULL."""
        found = list(connection.scalars(text("PRAGMA integrity_check(5)")))
        yield "integrity", found == ["ok"], " ".join(" ".join(map(str, found)).split())

    def compact(self) -> None:
        """By VACUUM, where a quarter of the pages are free: it writes the whole file again.

        Where others hold the file for long, or the disk has no room for it, that is left to the
        next time: free pages are used again anyway.
        """
        made = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)
        with closing(made) as raw, suppress(sqlite3.OperationalError):
            free, pages = (
                raw.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("freelist_count", "page_count")
            )
            if 4 * free >= pages:
                raw.execute("VACUUM")

    def backup(self, part: Path) -> None:
        """By SQLite's online backup, which begins again where a writer comes in between."""
        part.touch(0o600, exist_ok=False)
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(part)) as copy:
            source.execute(f"PRAGMA busy_timeout={PATIENCE_S * 1000}")
            source.backup(copy)
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreError(
                f"the copy of {self.shown} is not whole ({found}): see `lowtide db check`"
            )

    def explain(self, error: DBAPIError) -> StoreError:
        """Locked, not to be opened, or torn."""
        found = " ".join(str(error.orig).split())
        operational = isinstance(error, OperationalError)
        if operational and "locked" in found:
            return StoreError(
                f"database {self.shown} stayed locked: another program holds it; end that one and "
                "retry"
            )
        if operational and ("unable to open" in found or "readonly" in found):
            return StoreError(
                f"database {self.shown} cannot be opened ({found}): check the folder's owner and "
                "rights"
            )
        if operational and ("is full" in found or "I/O error" in found):
            return StoreError(
                f"database {self.shown} cannot be written ({found}): nothing was changed; see that "
                "its disk has room and is well"
            )
        return StoreError(
            f"database {self.shown} cannot be used ({found}): nothing was changed; move the file "
            "away or restore a backup, run folders beside it keep every receipt"
        )


def _prepare(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={PATIENCE_S * 1000}")
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """The switch to WAL fails at once, whatever the busy timeout, while another one is made."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as e:
            if "locked" not in str(e) or time.monotonic() > until:
                raise
            time.sleep(0.05)
