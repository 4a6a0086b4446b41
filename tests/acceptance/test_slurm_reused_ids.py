"""A real Slurm loses its state and counts from 1 again, while a job of ours waits there."""

from __future__ import annotations

import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.fleet import until
from support.site import PATIENCE_S, Site
from support.slurm import start_cluster

from providers.runner import journal
from scheduler import engine
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.slurm import Cluster

SETTINGS = """
providers: [fake]
home: north
refresh: 1s
tick: 1s
regions:
  north: {zone: SE-SE3, executor: slurm, engine: {partition: eu-north-1}}
"""


@pytest.fixture
def cluster(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """One of this test's own; the folder's name leaves room for Slurm's sockets (108 bytes)."""
    made = start_cluster(tmp_path_factory.mktemp("slurm"))
    monkeypatch.setenv("SLURM_CONF", made.conf)
    yield made
    made.clear()
    made.stop()


@pytest.fixture
def site(tmp_path: Path, cluster: Cluster) -> Iterator[Site]:
    made = Site(tmp_path, SETTINGS)
    yield made
    made.ctx.close()


def _lose_state(cluster: Cluster) -> None:
    cluster.kill("slurmctld", signal.SIGKILL)
    shutil.rmtree(cluster.folder / "state")
    (cluster.folder / "state").mkdir()
    cluster.start_controller("-c")
    cluster.wait()


def _given(site: Site, job_id: str) -> str:
    """Slurm's number for it; empty while Slurm has none of it."""
    found = journal.read_json(Path(site.attempt(job_id).run_dir) / "slurm.json")
    return "" if found is None else str(found["job_id"])


@pytest.mark.parametrize("waits", [True, False])
def test_another_job_with_our_number_lives_and_ours_is_handed_over_again(
    site: Site, cluster: Cluster, *, waits: bool
) -> None:
    ours, cancelled = (site.submit("true", earliest="1h", deadline="5h") for _ in range(2))
    site.until(lambda: all(site.told(job, "handed over") for job in (ours, cancelled)))
    assert {_given(site, job) for job in (ours, cancelled)} == {"1", "2"}
    _lose_state(cluster)
    begin = ["--begin=now+3600"] if waits else []
    for number in ("1", "2"):
        said = cluster.run(
            "sbatch", "--parsable", "-J", "theirs", *begin, "-o", "/dev/null", "--wrap", "sleep 600"
        )
        assert said.strip() == number

    def theirs() -> list[list[str]]:
        said = cluster.run("squeue", "-h", "-t", "all", "-n", "theirs", "-o", "%i %T %S %P")
        return sorted(line.split() for line in said.splitlines())

    if not waits:
        until(lambda: [row[1] for row in theirs()] == ["RUNNING"] * 2, PATIENCE_S)
    before = theirs()
    engine.cancel(site.ctx, cancelled, datetime.now(UTC))
    site.until(lambda: _given(site, ours) == "3")
    site.until(lambda: site.ended(cancelled))
    assert site.job(cancelled).state is JobState.CANCELLED
    # As if its hour had come.
    cluster.run("scontrol", "update", "JobId=3", "StartTime=now")
    site.until(lambda: site.ended(ours))
    assert site.job(ours).state is JobState.SUCCEEDED
    assert theirs() == before
