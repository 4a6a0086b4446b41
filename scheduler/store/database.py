"""One database, of either kind: transactions, and its errors as :class:`StoreError`."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from scheduler.errors import ConfigError, UsageError
from scheduler.store import migrations
from scheduler.store.postgres import Postgres
from scheduler.store.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

    from scheduler.address import Address
    from scheduler.errors import DamagedRow
    from scheduler.store.dialect import Dialect


class Database:
    """Sessions on one database; nothing is made or changed before :meth:`bring_up`.

    ``damaged`` are rows (by table and key) that could not be read, and were left out.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.damaged: dict[tuple[str, str], DamagedRow] = {}
        self._engine = dialect.engine()
        self._shared = threading.local()
        event.listen(self._engine, "begin", self._begin)

    def bring_up(self, now_s: float, *, upgrade: bool = False) -> list[str]:
        """Make the schema, or bring it up; returns the names of the migrations run.

        An older one that several versions may share is brought up only with ``upgrade``; else,
        as one of a newer version, it is refused with :class:`scheduler.errors.StoreError`. Where
        nothing is missing, nothing is written: opening waits for no writer.
        """
        self.dialect.prepare()
        with self.read() as session:
            connection = session.connection()
            whole = migrations.applied(connection, self.dialect) == sorted(migrations.NAMES)
            mine = upgrade or self.dialect.upgrades_itself or self.dialect.is_empty(connection)
            if not (whole or mine):
                migrations.refuse_other_versions(connection, self.dialect)
        done: list[str] = []
        if not whole:
            with self.write() as session:
                done = migrations.apply(session.connection(), self.dialect, now_s)
        return done

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._session(write=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction alone among all that write; committed on leaving, else rolled back."""
        with self._session(write=True) as session:
            yield session
            if session is not getattr(self._shared, "session", None):
                session.commit()

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction for all that this thread reads and writes within: whole or not at all.

        Everybody else who writes waits meanwhile: nothing slow may be done in it.
        """
        with self.write() as session:
            self._shared.session = session
            try:
                yield
            finally:
                self._shared.session = None

    def now_s(self, session: Session, now_s: float) -> float:
        """The time that leases go by (Unix seconds)."""
        return self.dialect.now_s(session.connection(), now_s)

    @contextmanager
    def _session(self, *, write: bool) -> Iterator[Session]:
        shared = getattr(self._shared, "session", None)
        if shared is not None:
            yield shared
            # What was read is read afresh by the next one.
            shared.flush()
            shared.expunge_all()
            return
        try:
            with (
                self._engine.connect().execution_options(lowtide_write=write) as connection,
                Session(connection, expire_on_commit=False) as session,
            ):
                yield session
        except DBAPIError as e:
            raise self.dialect.explain(e) from e
        except UnicodeEncodeError as e:
            raise UsageError(f"{e.object!r} is no UTF-8 text: no such name is stored") from e

    def _begin(self, connection: Connection) -> None:
        write = bool(connection.get_execution_options().get("lowtide_write"))
        self.dialect.begin(connection, write=write)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def dialect_of(address: Address, environ: Mapping[str, str]) -> Dialect:
    """The database at ``address``; its password is looked up in ``environ``."""
    if address.path is not None:
        return Sqlite(address.path)
    assert address.url is not None
    password = None
    if address.password_env is not None:
        password = environ.get(address.password_env)
        if password is None:
            raise ConfigError(
                f"database {address.shown}: password_env names {address.password_env}, which is "
                "not set in the environment"
            )
    return Postgres(address.url, password, environ)
