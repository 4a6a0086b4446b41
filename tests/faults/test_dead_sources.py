"""Sources of carbon data that are dead all the time: one refuses, one accepts and says nothing."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from support import aftermath
from support.fleet import Fleet
from support.witness import watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
tick: 1s
refresh: 1s
providers: [refuses, silent, climatology]
sources:
  refuses: {{type: energy_charts, base_url: "http://127.0.0.1:{closed}"}}
  silent: {{type: energy_charts, base_url: "http://127.0.0.1:{silent}"}}
regions:
  local: {{zone: DE, slots: 64}}
"""


@pytest.fixture
def config() -> Iterator[str]:
    """With two ports of our own: one that nobody listens at, one that nobody answers at."""
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0), backlog=512) as silent:
        closed.bind(("127.0.0.1", 0))
        yield CONFIG.format(closed=closed.getsockname()[1], silent=silent.getsockname()[1])


@pytest.fixture
def fleet(tmp_path: Path, config: str) -> Iterator[Fleet]:
    (tmp_path / "marks").mkdir()
    made = Fleet(tmp_path, config, {})
    yield made
    made.close()


def test_jobs_are_planned_and_deadlines_met(fleet: Fleet) -> None:
    marks, daemon = fleet.folder / "marks", fleet.up(0)
    later = ("--earliest", "2h", "--deadline", "20h")
    given = ("submit", "--json", "--duration", "1h", *later, "--", *aftermath.marking(marks))
    planned = json.loads(fleet.run(*given).stdout)
    assert "climatology" in planned["plan"]["forecast"]["source"]
    in_time = fleet.submit(*aftermath.marking(marks), options=("--start-by", "90s"))
    # What is tried again has to be planned anew, by the daemon.
    again = f"test -e {fleet.folder}/tried || {{ touch {fleet.folder}/tried; false; }}"
    retried = fleet.submit(
        *aftermath.marking(marks, again), options=("--start-by", "90s", "--retries", "1")
    )
    with watching(fleet.folder / "h0") as seen:
        seen.until("succeeded", in_time, retried)
        for job_id in (in_time, retried):
            job, first = seen.store.jobs.get(job_id), seen.store.jobs.attempts(job_id)[0]
            assert job.spec.start_by is not None
            assert first.claimed_at <= job.spec.start_by
        assert str(seen.store.jobs.get(planned["job_id"]).state) == "planned"
        fleet.run("cancel", planned["job_id"])
        seen.until_over()
        aftermath.assert_aftermath(seen.store, marks, {in_time, retried, planned["job_id"]})
    assert daemon.poll() is None
    assert "Traceback" not in fleet.log(0)
