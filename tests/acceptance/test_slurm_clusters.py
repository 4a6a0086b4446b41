"""Two real Slurm clusters as regions (``-M``), and their accounting where a controller forgets."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
from support.fleet import until
from support.site import PATIENCE_S, Site
from support.slurm_grid import CLUSTERS

from providers.base import RunState
from providers.executors.slurm import Slurm
from providers.executors.slurm.jobs import parse_accounting
from providers.executors.slurm.settings import parse
from providers.executors.slurm.states import LAG_S
from scheduler import engine
from scheduler.engine.dispatch import launch_of
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Result
    from support.slurm_grid import Grid

SETTINGS = """
providers: [fake]
home: stockholm
refresh: 1s
tick: 1s
regions:
  stockholm: {zone: SE-SE3, executor: slurm, engine: {cluster: stockholm}}
  frankfurt: {zone: DE, executor: slurm, engine: {cluster: frankfurt}}
"""
WHERE = "echo $SLURM_CLUSTER_NAME $LOWTIDE_ATTEMPT >> starts"


class TwoClusters(Site):
    """lowtide beside both."""

    def __init__(self, folder: Path, grid: Grid) -> None:
        super().__init__(folder, SETTINGS)
        self.grid = grid

    def handle(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            (Path(self.attempt(job_id).run_dir) / "slurm.json").read_text()
        )
        return found

    def states(self, cluster: str, job_id: str) -> list[str]:
        said = self.grid.run("squeue", "-M", cluster, "-h", "-t", "all", "-o", "%k|%T")
        return [line.split("|")[1] for line in said.splitlines() if job_id in line]

    def starts(self) -> list[str]:
        return (self.folder / "starts").read_text().splitlines()

    def here(self, script: str, **fields: Any) -> str:
        return self.submit("sh", "-c", script, cwd=str(self.folder), **fields)


@pytest.fixture
def site(tmp_path: Path, grid: Grid) -> Iterator[TwoClusters]:
    made = TwoClusters(tmp_path, grid)
    yield made
    made.ctx.close()


def test_jobs_run_in_both_clusters(site: TwoClusters) -> None:
    jobs = {name: site.here(WHERE, region=(name,)) for name in CLUSTERS}
    site.until(lambda: all(map(site.ended, jobs.values())))
    assert sorted(site.starts()) == ["frankfurt 1", "stockholm 1"]
    for name, job_id in jobs.items():
        assert (site.job(job_id).state, site.job(job_id).region) == (JobState.SUCCEEDED, name)
        assert site.handle(job_id)["cluster"] == name


def test_a_new_plan_takes_a_job_back_and_hands_it_to_the_other_cluster(site: TwoClusters) -> None:
    job_id = site.here(WHERE, earliest="30m", deadline="3h", region=CLUSTERS)
    site.until(lambda: site.states("stockholm", job_id) == ["PENDING"])
    site.source.hourly = {"SE-SE3": [500.0] * 72, "DE": [50.0] * 72}
    site.until(lambda: site.states("frankfurt", job_id) == ["PENDING"])
    assert site.states("stockholm", job_id) in ([], ["CANCELLED"])
    assert site.told(job_id, "withdrawn") == ["taken back from stockholm"]
    now = datetime.now(UTC)
    launch = launch_of(site.ctx, site.job(job_id), site.attempt(job_id), now)
    assert site.ctx.executor("frankfurt").move(launch, now.timestamp() + 1)
    # Nobody of ours looks meanwhile: it would be moved back to where the plan has it.
    until((Path(site.attempt(job_id).run_dir) / "receipt.json").exists, PATIENCE_S)
    site.until(lambda: site.ended(job_id))
    assert (site.job(job_id).state, site.starts()) == (JobState.SUCCEEDED, ["frankfurt 2"])


def test_a_job_that_checkpoints_is_requeued_in_the_other_cluster(site: TwoClusters) -> None:
    script = (
        f"trap 'exit 75' TERM; {WHERE}; [ $LOWTIDE_ATTEMPT = 1 ] || exit 0; "
        "while :; do sleep 0.1; done"
    )
    job_id = site.here(script, duration="20m", pausable=True, region=("frankfurt",))
    site.until(lambda: (site.folder / "starts").exists() and bool(site.job(job_id).started_at))
    first = site.handle(job_id)
    site.ctx.executor("frankfurt").pause(Path(site.attempt(job_id).run_dir), "")
    site.until(lambda: site.ended(job_id))
    assert site.starts() == ["frankfurt 1", "frankfurt 2"]
    # Its attempt's own mark and its times are new; the Slurm job is the same one.
    changed = {"begin_s": 0, "since_s": 0, "marks": []}
    assert site.handle(job_id) | changed == first | {"restarts": 1} | changed


def test_cancelled_in_the_other_cluster(site: TwoClusters) -> None:
    waiting = site.here(WHERE, earliest="1h", deadline="5h", region=("frankfurt",))
    running = site.here("sleep 600", region=("frankfurt",))
    site.until(lambda: site.job(running).state is JobState.RUNNING)
    site.until(lambda: site.states("frankfurt", waiting) == ["PENDING"])
    for job_id in (waiting, running):
        engine.cancel(site.ctx, job_id, datetime.now(UTC))
    site.until(lambda: site.ended(waiting) and site.ended(running))
    assert {site.job(j).state for j in (waiting, running)} == {JobState.CANCELLED}
    assert site.states("frankfurt", waiting) in ([], ["CANCELLED"])


def test_what_the_controller_has_forgotten_accounting_tells(
    site: TwoClusters, lowtide: Callable[..., Result]
) -> None:
    """A runner that was killed leaves no receipt, and Slurm's queue forgets at once here."""
    job_id = site.here("sleep 600", region=("frankfurt",))
    site.until(lambda: site.job(job_id).state is JobState.RUNNING)
    folder, slurm_id = Path(site.attempt(job_id).run_dir), site.handle(job_id)["job_id"]
    for marker in ("process.json", "started"):
        os.kill(json.loads((folder / marker).read_text())["pid"], signal.SIGKILL)
    until(lambda: site.states("frankfurt", job_id) == [], PATIENCE_S)
    # A minute on, when the last word of a node must have come.
    late = Slurm(parse({"cluster": "frankfurt"}), lambda: time.time() + LAG_S)
    assert late.poll(folder, "") == RunState("gone", ANY, detail="Slurm: FAILED None")

    told = site.grid.run("sacct", "-M", "frankfurt", "--json", "-j", slurm_id)
    (found,) = parse_accounting(told)
    assert (found.job_id, found.state) == (slurm_id, "FAILED")
    assert found.comment == f"lowtide:{job_id}:1:{site.attempt(job_id).token[:12]}"
    assert found.started_s is not None
    assert found.ended_s is not None
    assert found.ended_s >= found.started_s
    assert found.energy_j is None  # nothing meters here

    columns = "JobID,Submit,Start,State,AllocCPUS,Elapsed,AllocTRES"
    exported = site.folder / "sacct.txt"
    exported.write_text(site.grid.run("sacct", "-P", "-a", "-X", "-L", f"--format={columns}"))
    trace = site.folder / "trace.csv"
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    rows = [f"{hour + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ},DE,{100 + n % 7}" for n in range(60)]
    trace.write_text("\n".join(["timestamp_utc,region,g_per_kwh", *rows]))
    said = lowtide("simulate", "--sacct", str(exported), "--trace", str(trace), "--region", "DE",
                   "--json")  # fmt: skip
    assert said.code == 0, said.err
    assert said.json["sacct"]["jobs"] >= 1, said.json["sacct"]
