"""The network between one of two dispatchers and the database is cut, and mended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from support import aftermath, postgres
from support.fleet import LOWTIDE, Fleet, until
from support.network import Network, network
from support.witness import Witness, watching

from scheduler.engine.leading import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
shared_runs: runs
lease: 5s
tick: 1s
regions:
  local: {zone: DE, slots: 64}
"""
# As in the defaults, but sooner: how long a network that swallows packets is borne (s, ms).
SOON = "connect_timeout=2&tcp_user_timeout=2000&keepalives_idle=2&keepalives_interval=1"
# A transaction that was cut off keeps its lock for a minute at most.
PATIENCE_S = 180.0


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    made = postgres.own_server()
    yield made
    made.remove()


@pytest.fixture
def wire() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def near(tmp_path: Path, server: postgres.Server) -> Iterator[Fleet]:
    """Home 1, beside the database."""
    (tmp_path / "marks").mkdir()
    made = Fleet(tmp_path, CONFIG, {"LOWTIDE_DATABASE": server.url})
    yield made
    made.close()


@pytest.fixture
def far(tmp_path: Path, server: postgres.Server, wire: Network) -> Iterator[Fleet]:
    """Home 0, which reaches the database over the wire alone."""
    url = f"{server.listen_at(wire.here)}?{SOON}"
    made = Fleet(tmp_path, CONFIG, {"LOWTIDE_DATABASE": url}, (*wire.inside, *LOWTIDE))
    yield made
    made.close()


def test_the_other_takes_over_and_who_comes_back_does_no_harm(
    near: Fleet, far: Fleet, wire: Network, server: postgres.Server
) -> None:
    marks = near.folder / "marks"
    with watching(near.folder / "look", server.url) as seen:
        away = far.up(0)
        until(lambda: _leader(seen) == "h0")
        here = near.up(1)
        go = f"until [ -e {near.folder}/go ]; do sleep 0.05; done"
        runs = far.submit(*aftermath.marking(marks, go), home=0)
        seen.until("running", runs)
        soon = ("--earliest", "8s", "--start-by", "9s")
        due = far.submit(*aftermath.marking(marks), home=0, options=soon)
        wire.cut()
        until(lambda: "does not answer" in far.log(0))
        until(lambda: _leader(seen) == "h1", PATIENCE_S)
        # What is tried again has to be planned anew: by a leader.
        again = f"test -e {near.folder}/tried || {{ touch {near.folder}/tried; false; }}"
        retried = near.submit(*aftermath.marking(marks, again), home=1, options=("--retries", "1"))
        (near.folder / "go").touch()
        seen.until("succeeded", runs, due, retried)
        wire.mend()
        until(lambda: "goes on again" in far.log(0))
        both = [
            fleet.submit(*aftermath.marking(marks), home=home)
            for home, fleet in enumerate((far, near))
        ]
        seen.until_over()
        aftermath.assert_aftermath(seen.store, marks, {runs, due, retried, *both})
        seen.until("succeeded", runs, due, retried, *both)
    assert [away.poll(), here.poll()] == [None, None]
    assert "Traceback" not in far.log(0) + near.log(1)


def _leader(seen: Witness) -> str | None:
    held = seen.store.leases.holder(NAME, datetime.now(UTC))
    return None if held is None else held.owner.rpartition("/")[2]
