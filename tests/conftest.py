"""Fixtures that every kind of test shares."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from support import postgres
from support.compiled import once_a_process
from support.database import open_store
from support.docker import Docker, start_docker
from support.ray import RayCluster, start_ray
from support.server import Play, SourceServer
from support.slurm import Cluster, start_cluster
from support.slurm_grid import Grid, start_grid

from scheduler.cli import main
from scheduler.models import JobSpec
from scheduler.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

# Machines that run tests are shared: how long an example takes says nothing.
settings.register_profile("lowtide", deadline=None)
settings.load_profile("lowtide")

once_a_process()

# Whoever runs the tests may have a configuration of their own: none is read.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="lowtide-no-config-")

# Nor does the width of whoever's terminal decide where lines are folded.
os.environ.pop("COLUMNS", None)

# A shell's background ignores Ctrl-C, and so would the commands that are tested on it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as JSON."""
        return json.loads(self.out)


@pytest.fixture
def lowtide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """The command in this process, with a home and a working folder of its own.

    A config of the test's own goes into ``tmp_path / "config.yaml"``.
    """
    for name in [n for n in os.environ if n.startswith("LOWTIDE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["lowtide", *argv])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        return Result(int(left.value.code or 0), out, err)

    return run


@pytest.fixture
def serve() -> Iterator[Callable[[Play], SourceServer]]:
    """Start local servers that play sources; they end with the test."""
    started: list[SourceServer] = []

    def start(play: Play) -> SourceServer:
        started.append(SourceServer(play))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def slurm_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real Slurm cluster, as long as the tests of this process run."""
    cluster = start_cluster(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.stop()


@pytest.fixture
def slurm(slurm_session: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster, for one test: its commands find it, and no job is left in it."""
    monkeypatch.setenv("SLURM_CONF", slurm_session.conf)
    yield slurm_session
    slurm_session.clear()


@pytest.fixture(scope="session")
def grid_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """Two real Slurm clusters with accounting, as long as the tests of this process run."""
    grid = start_grid(tmp_path_factory.mktemp("grid"))
    yield grid
    grid.stop()


@pytest.fixture
def grid(grid_session: Grid, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    """Both clusters, for one test: commands find them by ``-M``, and no job is left in them."""
    monkeypatch.setenv("SLURM_CONF", grid_session.conf)
    yield grid_session
    grid_session.clear()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A real Ray cluster, as long as the tests of this process run."""
    cluster = start_ray()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A real Docker daemon, as long as the tests of this process run."""
    made = start_docker()
    yield made
    made.stop()


# Engines that are costly to start: all tests on one of these go to one worker.
COSTLY = {"ray_cluster": "ray", "grid": "grid", "docker": "docker"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Group a test by the costly engine that it asks for, or that its parameter names."""
    wanted = {COSTLY.get(fixture) for fixture in getattr(item, "fixturenames", ())}
    wanted.add(getattr(getattr(item, "callspec", None), "params", {}).get("name"))
    for group in wanted & set(COSTLY.values()):
        item.add_marker(pytest.mark.xdist_group(group))


NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    """A Monday morning in winter."""
    return NOW


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[postgres.Databases]:
    """Databases on a real PostgreSQL."""
    named = os.environ.get(postgres.URL)
    server = None if named else postgres.own_server()
    databases = postgres.Databases(server.url if server is not None else str(named))
    yield databases
    if server is None:
        databases.drop()
    else:
        server.remove()


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def database_kind(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Each kind of database: what to put into the environment to use an empty one."""
    if request.param == "sqlite":
        return dict
    databases: postgres.Databases = request.getfixturevalue("postgres_databases")
    return lambda: {"LOWTIDE_DATABASE": databases.clean()}


@pytest.fixture
def database(database_kind: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The environment that names an empty database of either kind."""
    return database_kind()


@pytest.fixture(scope="session")
def empty_store(
    database_kind: Callable[[], dict[str, str]],
) -> Callable[[], AbstractContextManager[Store]]:
    """Opens an empty store, for laws that are tried on many examples."""

    @contextmanager
    def opened() -> Iterator[Store]:
        with tempfile.TemporaryDirectory() as folder:
            store = open_store(Path(folder), database_kind(), NOW)
            yield store
            store.close()

    return opened


@pytest.fixture
def store(tmp_path: Path, database: dict[str, str]) -> Iterator[Store]:
    """A real store, on SQLite and on PostgreSQL."""
    opened = open_store(tmp_path / "home", database, NOW)
    yield opened
    opened.close()


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., JobSpec]:
    """A valid job spec, with fields replaced at will."""

    def make(**fields: Any) -> JobSpec:
        base: dict[str, Any] = {
            "argv": ("true",),
            "cwd": str(tmp_path),
            "name": "job",
            "user": "tester",
            "duration_s": 3600.0,
            "submitted_at": NOW,
            "release": NOW,
            "home": "local",
        }
        return JobSpec(**(base | fields))

    return make
