"""Statements are compiled once a process, not once a database: tests open thousands of these.

What SQLAlchemy compiles depends on the kind of database alone; its cache goes by each engine's own
dialect object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.store.postgres import Postgres
from scheduler.store.sqlite import Sqlite

if TYPE_CHECKING:
    from sqlalchemy import Engine


class _Compiled(dict[tuple[Any, ...], Any]):
    """By kind of dialect and statement; a key's first part is a dialect object."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get((type(key[0]), *key[1:]), default)

    def __setitem__(self, key: tuple[Any, ...], value: Any) -> None:
        super().__setitem__((type(key[0]), *key[1:]), value)


def once_a_process() -> None:
    """Let all databases that this process opens from now on share what is compiled."""
    shared = _Compiled()

    def sharing(dialect: type[Sqlite | Postgres]) -> None:
        plain = dialect.engine

        def engine(self: Any) -> Engine:
            made = plain(self)
            made.update_execution_options(compiled_cache=shared)
            return made

        dialect.engine = engine  # type: ignore[method-assign]

    sharing(Sqlite)
    sharing(Postgres)
