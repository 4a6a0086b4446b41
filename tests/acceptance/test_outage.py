"""A database server that is stopped and started: the daemon waits, jobs do not notice."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from support import aftermath, postgres
from support.fleet import LOWTIDE, PATIENCE_S, Fleet, until
from support.witness import watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
tick: 1s
regions:
  local: {zone: DE, slots: 64}
"""


# The database is gone for a minute.
GONE_S = 60


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
    marks = fleet.folder / "marks"
    marks.mkdir()
    script = f"touch {fleet.folder}/begun; sleep {GONE_S}; touch {fleet.folder}/over"
    running = fleet.submit(*aftermath.marking(marks, script))
    until((fleet.folder / "begun").exists)
    with (fleet.folder / "run.log").open("w") as log:
        words = aftermath.marking(marks, f"touch {fleet.folder}/runs; sleep {GONE_S}")
        command = subprocess.Popen(
            [*LOWTIDE, "run", "--now", "--", *words],
            cwd=fleet.folder, env=fleet.env(0), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            text=True,
        )  # fmt: skip
    # It would wait for ever for a server that this test has removed.
    fleet.daemons.append(command)
    until((fleet.folder / "runs").exists)
    server.stop()
    until(lambda: "does not answer" in fleet.log(0))
    # One that comes up before its database does.
    late = fleet.up(1)
    until(lambda: "does not answer" in fleet.log(1))
    refused = fleet.run("status", code=5)
    assert refused.stderr.count("\n") == 1
    assert "does not answer" in refused.stderr
    until((fleet.folder / "over").exists, GONE_S + PATIENCE_S)
    server.start()
    until(lambda: "goes on again" in fleet.log(0))
    until(lambda: "lowtide is up" in fleet.log(1))
    assert late.poll() is None
    assert command.wait(PATIENCE_S) == 0
    waited = (fleet.folder / "run.log").read_text()
    at_once = waited.partition("\n")[0]
    assert (waited.count("does not answer"), waited.count("goes on again")) == (1, 1)
    until(lambda: fleet.state(running) == "succeeded")
    later = fleet.submit(*aftermath.marking(marks))
    with watching(fleet.folder / "look", server.url) as seen:
        seen.until("succeeded", later)
        seen.until_over()
        aftermath.assert_aftermath(seen.store, marks, {running, at_once, later})
    assert daemon.poll() is None
    said = [line for line in fleet.log(0).splitlines() if "answer" in line or "again" in line]
    assert len(said) == 2, said
    assert "Traceback" not in fleet.log(0)
    told = fleet.json("report")["jobs"]
    assert {row["job_id"] for row in told} == {running, at_once, later}
