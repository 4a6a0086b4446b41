"""A database server that is stopped and started: the daemon waits, jobs do not notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import postgres
from support.fleet import Fleet, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
tick: 1s
regions:
  local: {zone: DE, slots: 64}
"""


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    made = postgres.own_server()
    yield made
    made.remove()


@pytest.fixture
def fleet(tmp_path: Path, server: postgres.Server) -> Iterator[Fleet]:
    made = Fleet(tmp_path, CONFIG, {"LOWTIDE_DATABASE": server.url})
    yield made
    made.close()


def test_the_daemon_outlives_an_outage_and_says_so_once(
    fleet: Fleet, server: postgres.Server
) -> None:
    daemon = fleet.up(0)
    # It ends while the database is gone.
    script = f"touch {fleet.folder}/begun; sleep 4; touch {fleet.folder}/over"
    running = fleet.submit("sh", "-c", script)
    until((fleet.folder / "begun").exists)
    server.stop()
    until(lambda: "does not answer" in fleet.log(0))
    refused = fleet.run("status", code=5)
    assert refused.stderr.count("\n") == 1
    assert "does not answer" in refused.stderr
    until((fleet.folder / "over").exists)
    server.start()
    until(lambda: "answers again" in fleet.log(0))
    until(lambda: fleet.state(running) == "succeeded")
    later = fleet.submit("true")
    until(lambda: fleet.state(later) == "succeeded")
    assert daemon.poll() is None
    said = [line for line in fleet.log(0).splitlines() if "answer" in line]
    assert len(said) == 2, said
    assert "Traceback" not in fleet.log(0)
    told = fleet.json("report")["jobs"]
    assert {row["job_id"] for row in told} == {running, later}
