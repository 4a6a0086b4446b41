"""What the two databases do differently; everything else is common SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

    from scheduler.errors import StoreError

# A commit by another process takes milliseconds; a minute of waiting means that it hangs.
PATIENCE_S = 60

Name = Literal["sqlite", "postgresql"]
# A check, whether it was passed, and what was found.
Finding = tuple[str, bool, str]


class Dialect(Protocol):
    """One kind of database at one address."""

    name: Name
    shown: str
    # Whether opening brings an older schema up: only where no other version is at work on it.
    upgrades_itself: bool

    def engine(self) -> Engine:
        """Connections to it; raises :class:`scheduler.errors.ConfigError` where none can be."""
        ...

    def begin(self, connection: Connection, *, write: bool) -> None:
        """Begin a transaction: one state of the database, or alone among all that write."""
        ...

    def prepare(self) -> None:
        """Called before the schema is brought up; raises :class:`scheduler.errors.ConfigError`
        where others could replace the database.
        """
        ...

    def is_replaced(self) -> bool:
        """Whether another database lies where this one was opened; :class:`OSError`: none does."""
        ...

    def now_s(self, connection: Connection, now_s: float) -> float:
        """The time (Unix seconds) that leases go by; ``now_s`` is that of the caller."""
        ...

    def is_empty(self, connection: Connection) -> bool:
        """Whether there is no table at all."""
        ...

    def statement(self, text: str) -> str:
        """A statement of a migration, written for SQLite, in this database's words."""
        ...

    def quick_check(self, connection: Connection, limit_s: float) -> str:
        """``ok``, or what is wrong, as far as ``limit_s`` seconds of looking tell."""
        ...

    def integrity(self, connection: Connection) -> Iterator[Finding]:
        """The database's own checks, however long they take."""
        ...

    def compact(self) -> None:
        """Give free pages back to the disk; those who write wait for it."""
        ...

    def backup(self, part: Path) -> None:
        """Write a consistent copy to the new file ``part`` while others go on."""
        ...

    def explain(self, error: DBAPIError) -> StoreError:
        """An error as one line: what was asked, what was found, what to do."""
        ...
