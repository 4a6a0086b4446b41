"""Several dispatchers on one database: each job starts once, and a dead leader is replaced."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support.database import open_store
from support.fleet import LOWTIDE, Fleet, until
from support.witness import watching

from scheduler.engine.leading import NAME
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scheduler.store.leases import Lease

LEASE_S = 5
CONFIG = f"""
shared_runs: runs
lease: {LEASE_S}s
tick: 1s
grace: 2s
regions:
  local: {{zone: DE, slots: 64}}
"""


@pytest.fixture
def database(database: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A database beside the homes, of either kind."""
    return database or {"LOWTIDE_DATABASE": f"sqlite:///{tmp_path}/shared.db"}


@pytest.fixture
def fleet(tmp_path: Path, database: dict[str, str]) -> Iterator[Fleet]:
    made = Fleet(tmp_path, CONFIG, database)
    yield made
    made.close()


def _start(fleet: Fleet) -> str:
    """What a job runs to write its own start into a file."""
    return f'echo "$LOWTIDE_JOB_ID" >> {fleet.folder}/starts'


def _starts(fleet: Fleet) -> Counter[str]:
    path = fleet.folder / "starts"
    return Counter(path.read_text().split() if path.exists() else [])


def test_of_many_dispatchers_one_starts_each_job_once(
    fleet: Fleet, database: dict[str, str]
) -> None:
    for home in range(3):
        fleet.up(home)
    ids = [fleet.submit("sh", "-c", _start(fleet), home=n % 3) for n in range(9)]
    # Ticks of other processes of the same homes come in between.
    ticks = [
        subprocess.Popen([*LOWTIDE, "tick"], cwd=fleet.folder, env=fleet.env(n % 3))
        for n in range(6)
    ]
    assert [tick.wait() for tick in ticks] == [0] * 6
    with watching(fleet.folder / "look", database["LOWTIDE_DATABASE"]) as seen:
        seen.until("succeeded", *ids)
    assert _starts(fleet) == Counter(ids)


def test_when_the_leader_is_killed_another_takes_over_within_the_lease(
    fleet: Fleet, database: dict[str, str], tmp_path: Path
) -> None:
    store = open_store(tmp_path / "look", database, datetime.now(UTC))

    def lease() -> Lease | None:
        return store.leases.holder(NAME, datetime.now(UTC))

    def leads(held: Lease) -> str:
        return held.owner.rpartition("/")[2]

    daemons = {f"h{home}": fleet.up(home) for home in range(3)}
    until(lease)
    # A retried job has to be planned anew: without a leader it would stay in the queue.
    script = f"{_start(fleet)}; test -e {fleet.folder}/go"
    job_id = fleet.submit("sh", "-c", script, options=("--retries", "50"))
    until(lambda: _starts(fleet)[job_id])
    held = until(lease)
    first = leads(held)
    daemons[first].send_signal(signal.SIGKILL)
    daemons[first].wait()
    died, whole = datetime.now(UTC), timedelta(seconds=LEASE_S)
    taken = until(lambda: (found := lease()) is not None and leads(found) != first and found)
    second = leads(taken)
    assert second in daemons
    # By the lease's own times: it outlives its owner by no more than itself, and while it lasts
    # nobody else has it.
    assert held.until <= died + whole
    assert taken.until >= held.until + whole
    (fleet.folder / "go").touch()
    until(lambda: store.jobs.get(job_id).state is JobState.SUCCEEDED)
    store.close()


def test_one_who_ends_in_peace_hands_over_at_once(
    fleet: Fleet, database: dict[str, str], tmp_path: Path
) -> None:
    store = open_store(tmp_path / "look", database, datetime.now(UTC))
    daemon = fleet.up(0)
    until(lambda: store.leases.holder(NAME, datetime.now(UTC)))
    daemon.terminate()
    assert daemon.wait() == 0
    assert store.leases.holder(NAME, datetime.now(UTC)) is None
    store.close()
