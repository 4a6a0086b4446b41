"""Jobs on a real Slurm: two partitions as regions, moved, paused, cancelled, found again."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.site import PATIENCE_S, Site

from providers import registry
from providers.errors import SettingsError
from providers.executors.slurm import batch
from providers.runner.journal import read_journal
from scheduler import engine
from scheduler.engine.dispatch import launch_of
from scheduler.models import JobState
from scheduler.testing.nvml import plug

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.slurm import Cluster


SETTINGS = """
providers: [fake]
home: north
refresh: 1s
tick: 1s
executors:
  slurm: {options: ["--nice=10"], setup: ["export SITE=here"]}
regions:
  north: {zone: SE-SE3, executor: slurm, engine: {partition: eu-north-1}}
  south: {zone: DE, executor: slurm, engine: {partition: eu-central-1}}
"""


class SlurmSite(Site):
    """lowtide beside a cluster, with the machine's clock."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        super().__init__(folder, SETTINGS)
        self.cluster = cluster

    def handle(self, run_dir: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((Path(run_dir) / "slurm.json").read_text())
        return found

    def queued(self, *columns: str) -> list[list[str]]:
        said = self.cluster.run("squeue", "-h", "-t", "all", "-o", "|".join(columns))
        return [line.split("|") for line in said.splitlines()]

    def kinds(self, job_id: str) -> list[str]:
        return [event.kind for event in self.ctx.store.jobs.events(job_id)]


@pytest.fixture
def site(tmp_path: Path, slurm: Cluster) -> Iterator[SlurmSite]:
    made = SlurmSite(tmp_path, slurm)
    yield made
    made.ctx.close()


def test_a_job_runs_where_it_is_cleanest_and_is_reported_with_its_energy(site: SlurmSite) -> None:
    os.environ["LOWTIDE_TEST_SECRET"] = "no job sees the daemon's own environment"
    code = (
        "import os; print(os.environ['SLURM_JOB_PARTITION'], os.environ.get('SITE'),"
        " os.environ.get('SLURM_EXPORT_ENV'), os.environ['GREETING; $(x)']);"
        " print(sum(range(3 * 10**7)))"
    )
    try:
        job_id = site.submit(
            sys.executable, "-c", code, deadline="1h", region=("north", "south"),
            no_env=True, env=(f"PATH={os.environ['PATH']}", "GREETING; $(x)=a 'b' \"c\" ; `d`"),
        )  # fmt: skip
        site.until(lambda: site.ended(job_id))
    finally:
        del os.environ["LOWTIDE_TEST_SECRET"]
    job, attempt = site.job(job_id), site.attempt(job_id)
    assert (job.state, job.region, job.reason) == (JobState.SUCCEEDED, "north", "exit code 0")
    said = (Path(attempt.run_dir) / "stdout.log").read_text().splitlines()
    assert said[0] == "eu-north-1 None None a 'b' \"c\" ; `d`"
    site.tick()
    settled = site.ctx.store.settlements.latest(job_id)
    assert settled is not None
    assert settled.reserved_kwh is not None
    assert settled.reserved_kwh.value > 0
    assert settled.operational_g is not None
    ((comment, nice),) = [row for row in site.queued("%k", "%y") if job_id in row[0]]
    assert comment == f"lowtide:{job_id}:1:{attempt.token[:12]}"
    assert nice == "10"


def test_a_new_plan_moves_the_window_and_the_partition_within_slurm(site: SlurmSite) -> None:
    job_id = site.submit("true", earliest="30m", deadline="3h", region=("north", "south"))
    site.until(lambda: "handed over" in site.kinds(job_id))
    slurm_id = site.handle(site.attempt(job_id).run_dir)["job_id"]
    ((state, reason, partition),) = [
        row[1:] for row in site.queued("%i", "%T", "%r", "%P") if row[0] == slurm_id
    ]
    assert (state, reason, partition) == ("PENDING", "BeginTime", "eu-north-1")
    site.source.hourly = {"SE-SE3": [500.0] * 72, "DE": [50.0] * 72}
    site.until(lambda: "moved" in site.kinds(job_id))
    ((place,),) = [row[1:] for row in site.queued("%i", "%P") if row[0] == slurm_id]
    assert place == "eu-central-1"
    # As if the plan had said so: in two seconds, and nobody of ours looks when it begins.
    now = datetime.now(UTC)
    launch = launch_of(site.ctx, site.job(job_id), site.attempt(job_id), now)
    assert site.ctx.executor("south").move(launch, now.timestamp() + 2)
    folder = Path(site.attempt(job_id).run_dir)
    patience = time.monotonic() + PATIENCE_S
    while not (folder / "receipt.json").exists():
        assert time.monotonic() < patience
        time.sleep(0.1)
    site.until(lambda: site.ended(job_id))
    assert site.job(job_id).state is JobState.SUCCEEDED
    assert [a.number for a in site.ctx.store.jobs.attempts(job_id)] == [1]
    assert len([row for row in site.queued("%k") if job_id in row[0]]) == 1


CHECKPOINTS = (
    "trap 'echo saved; exit 75' TERM; echo $LOWTIDE_ATTEMPT >> starts; "
    "[ $LOWTIDE_ATTEMPT = 1 ] || exit 0; touch up; while :; do sleep 0.1; done"
)


def test_a_job_that_checkpoints_keeps_its_slurm_job_for_its_next_window(site: SlurmSite) -> None:
    job_id = site.submit(
        "sh", "-c", CHECKPOINTS, duration="20m", deadline="5h", pausable=True, region=("north",),
        cwd=str(site.folder),
    )  # fmt: skip
    site.until(lambda: (site.folder / "up").exists() and bool(site.job(job_id).started_at))
    first = site.attempt(job_id)
    # Dirty until the next hour: what is left of it waits at Slurm.
    site.source.hourly = {"SE-SE3": [500.0, 500.0, *[50.0] * 70], "DE": [500.0] * 72}
    site.ctx.executor("north").pause(Path(first.run_dir), first.token)
    site.until(lambda: "BeginTime" in "".join(site.told(job_id, "engine")))
    second = site.attempt(job_id)
    assert (site.job(job_id).state, second.number) == (JobState.PAUSED, 2)
    handle = site.handle(second.run_dir)
    assert handle["job_id"] == site.handle(first.run_dir)["job_id"]
    assert (handle["restarts"], handle["note"]) == (1, "")
    ((state, reason, comment),) = [row[1:] for row in site.queued("%i", "%T", "%r", "%k")
                                   if row[0] == handle["job_id"]]  # fmt: skip
    assert (state, reason) == ("PENDING", "BeginTime")
    assert comment == f"lowtide:{job_id}:2:{second.token[:12]}"
    site.source.hourly = {"SE-SE3": [50.0] * 72, "DE": [500.0] * 72}
    site.until(lambda: site.ended(job_id))
    assert site.job(job_id).state is JobState.SUCCEEDED
    assert (site.folder / "starts").read_text().split() == ["1", "2"]
    assert [a.number for a in site.ctx.store.jobs.attempts(job_id)] == [1, 2]


@pytest.mark.parametrize("time", range(int(os.environ.get("LOWTIDE_TEST_REQUEUES", "1"))))
def test_requeued_at_once_it_is_started_once(site: SlurmSite, time: int) -> None:
    """A node refuses a run in the second in which it ended the one before."""
    jobs = []
    for n in range(3):
        folder = site.folder / str(n)
        folder.mkdir()
        jobs.append(
            site.submit("sh", "-c", CHECKPOINTS, pausable=True, region=("north",), cwd=str(folder))
        )
    site.until(lambda: all((site.folder / str(n) / "up").exists() for n in range(3)))
    site.until(lambda: all(site.job(j).started_at for j in jobs))
    for job_id in jobs:
        first = site.attempt(job_id)
        site.ctx.executor("north").pause(Path(first.run_dir), first.token)
    site.until(lambda: all(map(site.ended, jobs)))
    assert [site.job(j).state for j in jobs] == [JobState.SUCCEEDED] * 3
    for n, job_id in enumerate(jobs):
        assert (site.folder / str(n) / "starts").read_text().split() == ["1", "2"]
        assert [site.handle(a.run_dir)["restarts"] for a in
                site.ctx.store.jobs.attempts(job_id)] == [0, 1]  # fmt: skip


def test_cancelled_waiting_and_running(site: SlurmSite) -> None:
    waiting = site.submit("true", earliest="1h", deadline="5h")
    running = site.submit("sleep", "600")
    site.until(lambda: site.job(running).state is JobState.RUNNING)
    site.until(lambda: "handed over" in site.kinds(waiting))
    engine.cancel(site.ctx, waiting, datetime.now(UTC))
    site.tick()
    assert site.job(waiting).state is JobState.CANCELLED
    assert site.job(waiting).started_at is None
    engine.cancel(site.ctx, running, datetime.now(UTC))
    site.until(lambda: site.ended(waiting) and site.ended(running))
    assert {site.job(j).state for j in (waiting, running)} == {JobState.CANCELLED}
    ours = {site.handle(site.attempt(j).run_dir)["job_id"] for j in (waiting, running)}

    def over() -> bool:
        told = {row[0]: row[1] for row in site.queued("%i", "%T") if row[0] in ours}
        return told.keys() == ours and {*told.values()} <= {"CANCELLED", "COMPLETED", "FAILED"}

    # The receipt counts as the end before slurmstepd is done.
    site.until(over)


def test_what_was_submitted_by_one_that_died_is_found_and_not_submitted_again(
    site: SlurmSite,
) -> None:
    job_id = site.submit("sleep", "2")
    site.until(lambda: bool(site.ctx.store.jobs.attempts(job_id)))
    handle = Path(site.attempt(job_id).run_dir) / "slurm.json"
    site.until(handle.exists)
    handle.unlink()  # as if killed between sbatch's answer and the note of it
    site.until(lambda: site.ended(job_id))
    assert site.job(job_id).state is JobState.SUCCEEDED
    assert len([row for row in site.queued("%k") if job_id in row[0]]) == 1


def test_a_controller_killed_and_restarted_loses_nothing(site: SlurmSite) -> None:
    until = "until [ -e go ]; do sleep 0.1; done"
    job_id = site.submit("sh", "-c", until, cwd=str(site.folder))
    late = site.submit("true", cwd=str(site.folder), earliest="1s", deadline="2h")
    site.until(lambda: site.job(job_id).state is JobState.RUNNING)
    saved, now = site.cluster.folder / "state" / "job_state", time.time()
    slurm_id = site.handle(site.attempt(job_id).run_dir)["job_id"]
    site.cluster.run("scontrol", "update", f"JobId={slurm_id}", "Nice=11")  # or nothing is saved
    site.until(lambda: saved.stat().st_mtime > now)  # what Slurm itself has not saved is lost
    try:
        site.cluster.kill("slurmctld", signal.SIGKILL)
        for _ in range(3):
            site.tick()
        assert site.job(job_id).state is JobState.RUNNING
    finally:
        site.cluster.start_controller()
        site.cluster.wait()
    (site.folder / "go").touch()
    site.until(lambda: site.ended(job_id) and site.ended(late))
    assert [site.job(j).reason for j in (job_id, late)] == ["exit code 0"] * 2
    assert len([row for row in site.queued("%k") if late in row[0]]) == 1


def test_boards_are_slurms_to_give(site: SlurmSite) -> None:
    job_id = site.submit("sh", "-c", "echo $CUDA_VISIBLE_DEVICES", gpus=2, region=("north",))
    site.until(lambda: site.ended(job_id))
    folder = Path(site.attempt(job_id).run_dir)
    assert (folder / "stdout.log").read_text().strip() == "0,1"
    missing = [(c.name, c.method) for c in read_journal(folder).components if "gpu" in c.name]
    assert missing == [("gpu:0", "missing"), ("gpu:1", "missing")]  # no NVML on this node
    with pytest.raises(Exception, match="south has 0 of 1 GPUs"):
        site.submit("true", gpus=1, region=("south",))


def test_boards_that_slurm_gave_by_number_are_metered_by_uuid(
    site: SlurmSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(
        site.folder / "plugged",
        'nvml = FakeNvml([FakeBoard(f"GPU-{n}", 100.0 * (n + 1)) for n in range(4)], clock)',
    )
    found = os.pathsep.join((str(site.folder / "plugged"), str(batch.PACKAGES)))
    monkeypatch.setattr(batch, "PACKAGES", found)
    first, second = (
        site.submit("sh", "-c", "env | grep ^CUDA | sort; sleep 3", gpus=2, region=("north",))
        for _ in range(2)
    )
    site.until(lambda: site.ended(first) and site.ended(second))
    given = []
    for job_id in (first, second):
        folder = Path(site.attempt(job_id).run_dir)
        order, boards = (folder / "stdout.log").read_text().splitlines()
        assert order == "CUDA_DEVICE_ORDER=PCI_BUS_ID"
        numbers = boards.removeprefix("CUDA_VISIBLE_DEVICES=").split(",")
        record = read_journal(folder)
        metered = {c.name: c.method for c in record.components if "gpu" in c.name}
        assert metered == {f"gpu:GPU-{n}": "measured" for n in numbers}
        for reading in record.samples[-1].readings:
            if reading.component in metered:
                watts = 100 * (int(reading.component[-1]) + 1)
                assert reading.energy_j.value / reading.covered_s == pytest.approx(watts, rel=0.1)
        given += numbers
    assert len(given) == 4


def test_what_slurm_refuses_is_told_in_the_story_and_tried_again(
    site: SlurmSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = site.submit("true", earliest="2s")
    broken = site.folder / "sbatch"
    broken.write_text("#!/bin/sh\necho 'sbatch: error: Invalid qos specification' >&2; exit 1\n")
    broken.chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{site.folder}:{path}")
    said = "sbatch: sbatch: error: Invalid qos specification; tried again at the next pass"
    jobs = site.ctx.store.jobs
    site.until(lambda: said in [e.detail for e in jobs.events(job_id)])
    monkeypatch.setenv("PATH", path)
    site.until(lambda: site.ended(job_id))
    assert site.job(job_id).state is JobState.SUCCEEDED


def test_words_for_sbatch_that_lowtide_says_itself_are_refused(tmp_path: Path) -> None:
    ours = ("--begin=now+5", "-p", "-pnorth", "--export=ALL")
    # sbatch reads the beginning of a name as the whole name.
    begun = ("--beg=now+5", "--expor=ALL", "--no-requeu", "--t=5", "--")
    for option in (*ours, *begun, "hello"):
        with pytest.raises(SettingsError, match=r"set by lowtide|is no option"):
            registry.load("executors", "slurm")({"options": [option]}, tmp_path)
    for option in ("--time-min=5", "--exclusive", "--nice=10", "--export-file=x", "-N1"):
        registry.load("executors", "slurm")({"options": [option]}, tmp_path)
