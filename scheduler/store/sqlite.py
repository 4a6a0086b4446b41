"""SQLite: one file (WAL) for the processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import URL, event, text
from sqlalchemy.exc import OperationalError
from sqlmodel import create_engine

from providers.files import PRIVATE
from scheduler.errors import ConfigError, StoreError, StoreUnavailable
from scheduler.locks import writer
from scheduler.store.dialect import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

    from scheduler.store.dialect import Finding, Name

# Between two looks at the clock, a check runs so many instructions of SQLite's machine.
STEPS = 10_000
# After so long (s) a write lock that another process holds is worth a look at that process.
LOOK_S = 2.0


class Sqlite:
    """Writers take the lock at once, so that they never upgrade one."""

    name: Name = "sqlite"
    upgrades_itself = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = str(path)
        self._opened: os.stat_result | None = None

    def engine(self) -> Engine:
        """Connections to the file; none of them makes it, as SQLite would by the umask."""
        url = URL.create(
            "sqlite",
            database=f"file:{quote(os.fsencode(self.path.absolute()))}",
            query={"mode": "rw", "uri": "true"},
        )
        made = create_engine(url, connect_args={"isolation_level": None, "timeout": PATIENCE_S})
        event.listen(made, "connect", _prepare)
        return made

    def begin(self, connection: Connection, *, write: bool) -> None:
        """A snapshot, or the write lock, which a process that is stopped is not waited for."""
        if not write:
            connection.exec_driver_sql("BEGIN")
            return
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                _set_patience(connection, LOOK_S)
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as e:
                hopeless = (found := writer(self.path)) is not None and found.stopped
                if "locked" not in str(e.orig) or hopeless or time.monotonic() >= until:
                    raise
            else:
                return
            finally:
                _set_patience(connection, PATIENCE_S)

    def prepare(self) -> None:
        """Make the file for its owner only, from its first byte on: SQLite gives ``-wal`` and
        ``-shm`` the rights that it has.
        """
        path = self.path.resolve()
        try:
            if path.parent.stat().st_mode & 0o002:
                raise ConfigError(
                    f"anybody may write to {path.parent}, and could put files in place of the "
                    f"database {path.name}: chmod o-w {path.parent}, or name another folder"
                )
            _make(path)
            self._opened = path.stat()
        except OSError as e:
            raise StoreError(
                f"database {self.shown} cannot be opened ({e.strerror}): check the folder's owner "
                "and rights"
            ) from e
        if self._opened.st_uid != os.geteuid():
            raise ConfigError(
                f"database {self.shown} is the user {self._opened.st_uid}'s, and this is user "
                f"{os.geteuid()}: name a file of your own"
            )

    def is_replaced(self) -> bool:
        """Whether another file has taken the place of the one that was opened."""
        return self._opened is not None and not os.path.samestat(self._opened, self.path.stat())

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
            who = writer(self.path) or "another program"
            return StoreUnavailable(
                f"database {self.shown} stayed locked: {who} holds it; end that one and retry"
            )
        if operational and ("unable to open" in found or "readonly" in found):
            return StoreError(
                f"database {self.shown} cannot be opened ({found}): check the folder's owner and "
                "rights"
            )
        if operational and ("is full" in found or "I/O error" in found):
            return StoreUnavailable(
                f"database {self.shown} cannot be written ({found}): nothing was changed; see that "
                "its disk has room and is well"
            )
        return StoreError(
            f"database {self.shown} cannot be used ({found}): nothing was changed; move the file "
            "away or restore a backup, run folders beside it keep every receipt"
        )


def _make(path: Path) -> None:
    """The file, where it is not there; else what an older version left open to others is closed.

    A file that is there is not opened: closing it would take this process's locks on it away
    (sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    except FileExistsError:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError, PermissionError):
                path.with_name(path.name + suffix).chmod(PRIVATE)


def _set_patience(connection: Connection, span_s: float) -> None:
    raw: Any = connection.connection.driver_connection
    raw.execute(f"PRAGMA busy_timeout={span_s * 1000:.0f}")


def _prepare(connection: Any, _record: Any) -> None:
    # A text that is no UTF-8 is that row's damage: the module's own way fails the whole question.
    connection.text_factory = lambda content: str(content, "utf-8", "replace")
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
