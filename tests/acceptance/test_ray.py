"""Jobs on a real Ray: two nodes as regions, paused, cancelled, found again, refused in time."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fleet import until
from support.site import Site

from providers import registry
from providers.base import Launch
from providers.errors import ExecutorError
from providers.executors.folder import Look
from providers.executors.ray import executor as module
from scheduler import engine
from scheduler.engine.dispatch import launch_of
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.ray import RayCluster

    from providers.executors.ray import Ray

SETTINGS = """
providers: [fake]
home: north
refresh: 1s
tick: 1s
executors:
  ray: {{address: "{address}"}}
regions:
  north: {{zone: SE-SE3, executor: ray, engine: {{resource: "region:eu-north-1"}}}}
  south: {{zone: DE, executor: ray, engine: {{resource: "region:eu-central-1"}}}}
"""


@pytest.fixture
def site(tmp_path: Path, ray_cluster: RayCluster) -> Iterator[Site]:
    made = Site(tmp_path, SETTINGS.format(address=ray_cluster.address))
    yield made
    made.ctx.close()


def _known(cluster: RayCluster, job_id: str) -> list[dict[str, Any]]:
    """What Ray has of a job of ours."""
    with urllib.request.urlopen(f"{cluster.address}/api/jobs/") as answer:
        return [job for job in json.load(answer) if job_id in str(job["submission_id"])]


def test_a_job_runs_where_it_is_cleanest_and_is_reported_with_its_energy(
    site: Site, ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMONS_OWN_SECRET", "no job sees the daemon's environment")
    code = (
        "import os; print(sorted(os.environ)); print(os.environ['GREETING; $(x)']);"
        " print(sum(range(3 * 10**7)))"
    )
    job_id = site.submit(
        sys.executable, "-c", code, deadline="1h", region=("north", "south"), no_env=True,
        env=(f"PATH={os.environ['PATH']}", "GREETING; $(x)=a 'b' \"c\" ; `d`"),
    )  # fmt: skip
    site.until(lambda: site.ended(job_id))
    job, attempt = site.job(job_id), site.attempt(job_id)
    assert (job.state, job.region, job.reason) == (JobState.SUCCEEDED, "north", "exit code 0")
    names, greeting, _ = (Path(attempt.run_dir) / "stdout.log").read_text().splitlines()
    assert greeting == "a 'b' \"c\" ; `d`"
    assert "RAY_ADDRESS" in names
    assert "OWN_SECRET" not in names
    site.tick()
    settled = site.ctx.store.settlements.latest(job_id)
    assert settled is not None
    assert settled.reserved_kwh is not None
    assert settled.reserved_kwh.value > 0
    assert settled.operational_g is not None
    (known,) = _known(ray_cluster, job_id)
    assert known["metadata"]["lowtide_job"] == job_id
    assert "SECRET" not in json.dumps(known)


def test_a_job_that_checkpoints_goes_on_in_another_attempt(site: Site) -> None:
    script = (
        "trap 'echo saved; exit 75' TERM; echo up; [ -e again ] && exit 0; touch again; "
        "while :; do sleep 0.1; done"
    )
    job_id = site.submit(
        "sh", "-c", script, duration="20m", deadline="5h", pausable=True, region=("north",),
        cwd=str(site.folder),
    )  # fmt: skip
    site.until(lambda: (site.folder / "again").exists())
    first = site.attempt(job_id)
    site.until(lambda: site.job(job_id).state is JobState.RUNNING)
    site.ctx.executor("north").pause(Path(first.run_dir), first.token)
    site.until(lambda: site.ended(job_id))
    assert site.job(job_id).state is JobState.SUCCEEDED
    assert (first.number, site.attempt(job_id).number) == (1, 2)


def test_what_was_submitted_by_one_that_died_is_found_and_not_submitted_again(
    site: Site, ray_cluster: RayCluster
) -> None:
    job_id = site.submit("sleep", "2")
    site.until(lambda: bool(site.ctx.store.jobs.attempts(job_id)))
    launch = launch_of(site.ctx, site.job(job_id), site.attempt(job_id), datetime.now(UTC))
    ray: Any = site.ctx.executor("north")
    # Two at once: Ray's own refusal of the second is no error.
    ray.submit(launch)
    ray.submit(launch)
    site.until(lambda: site.ended(job_id))
    assert site.job(job_id).state is JobState.SUCCEEDED
    assert len(_known(ray_cluster, job_id)) == 1


def test_a_silent_dashboard_changes_nothing(site: Site, ray_cluster: RayCluster) -> None:
    job_id = site.submit("sleep", "3")
    site.until(lambda: site.job(job_id).state is JobState.RUNNING)
    attempt, ray = site.attempt(job_id), site.ctx.executor("north")
    ray_cluster.silence(True)
    try:
        # That it is asked once and then left alone is a law of the client (test_ray_client.py).
        said = [ray.poll(Path(attempt.run_dir), attempt.token) for _ in range(20)]
    finally:
        ray_cluster.silence(False)
    assert {state.phase for state in said} <= {"running", "ended"}
    assert "gave no whole answer" in said[0].detail or said[0].phase == "ended"
    site.until(lambda: site.ended(job_id))
    assert site.job(job_id).state is JobState.SUCCEEDED


def test_boards_are_rays_to_give(site: Site) -> None:
    job_id = site.submit("sh", "-c", "echo $CUDA_VISIBLE_DEVICES", gpus=2, region=("south",))
    site.until(lambda: site.ended(job_id))
    said = (Path(site.attempt(job_id).run_dir) / "stdout.log").read_text().strip()
    assert sorted(said.split(",")) == ["0", "1"]
    with pytest.raises(Exception, match="north has 0 of 1 GPUs"):
        site.submit("true", gpus=1, region=("north",))


def test_cancelled_waiting_and_running(site: Site, ray_cluster: RayCluster) -> None:
    running = site.submit("sleep", "600", slots=4, region=("north",))
    site.until(lambda: site.job(running).state is JobState.RUNNING)
    # It waits at Ray, behind what holds all CPUs there, and Ray will not stop it.
    waiting, folder = replace(_launch(site.folder, "w"), slots=2), site.folder / "w"
    ray: Any = site.ctx.executor("north")
    ray.start(waiting)
    state = ray.poll(folder, waiting.token)
    assert (state.phase, "waiting for resources" in state.detail) == ("waiting", True)
    ray.stop(folder, waiting.token, 5.0)
    assert ray.poll(folder, waiting.token).phase == "gone"
    engine.cancel(site.ctx, running, datetime.now(UTC))
    site.until(lambda: site.ended(running))
    assert site.job(running).state is JobState.CANCELLED
    # When its turn comes there after all, the runner finds its attempt taken.
    until(lambda: _known(ray_cluster, "lowtide-w-")[0]["status"] not in {"PENDING", "RUNNING"})
    assert not (folder / "starts").exists()
    assert ray.poll(folder, waiting.token).phase == "gone"


@pytest.mark.parametrize(
    ("fields", "settings", "said"),
    [
        ({"slots": 64}, {}, "has 64 CPUs and 0 GPUs at once: the largest has 4 and 4"),
        ({"gpu_count": 5}, {}, "has 1 CPUs and 5 GPUs at once"),
        ({"gpu_count": 1}, {"resource": "region:eu-north-1"}, "the largest has 4 and 0"),
        ({}, {"resource": "region:mars"}, "no node with the resource 'region:mars': it has region"),
    ],
)
def test_what_no_node_can_run_is_refused_before_it_is_submitted(
    tmp_path: Path, ray_cluster: RayCluster, fields: dict[str, Any], settings: dict[str, Any],
    said: str,
) -> None:  # fmt: skip
    ray = _ray(ray_cluster, tmp_path, **settings)
    launch = replace(_launch(tmp_path, "big"), **fields)
    with pytest.raises(ExecutorError, match=said) as refused:
        ray.start(launch)
    assert "\n" not in str(refused.value)
    assert _known(ray_cluster, "lowtide-big-") == []
    assert ray.poll(Path(launch.run_dir), launch.token).phase == "absent"


def test_a_runner_that_cannot_start_is_told_with_rays_own_log(
    tmp_path: Path, ray_cluster: RayCluster
) -> None:
    ray = _ray(ray_cluster, tmp_path, python="/nowhere/python3", lag_s=0.0)
    launch = _launch(tmp_path, "lost")
    ray.start(launch)
    state = _settled(ray, launch)
    assert state.phase == "gone"
    assert "/nowhere/python3" in state.detail
    assert "/nowhere/python3" in (Path(launch.run_dir) / "ray.log").read_text()
    # It has ended at Ray, so it is not started again there.
    ray.start(launch)
    assert len(_known(ray_cluster, "lowtide-lost-")) == 1


def test_what_ray_gave_up_before_it_began_is_submitted_again(
    tmp_path: Path, ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after 15 minutes without a free node; here a failed start stands in for that."""
    launch = _launch(tmp_path, "again")
    broken = _ray(ray_cluster, tmp_path, python="/nowhere/python3", lag_s=0.0)
    broken.start(launch)
    assert _settled(broken, launch).phase == "gone"
    codes = module.NOT_BEGUN | {"JOB_ENTRYPOINT_COMMAND_ERROR"}
    monkeypatch.setattr(module, "NOT_BEGUN", codes)
    ray = _ray(ray_cluster, tmp_path)
    state = ray.poll(Path(launch.run_dir), launch.token)
    assert state.phase == "absent"
    # Twice: as by one that died before it could note that Ray has it.
    ray.start(launch)
    ray.start(launch)
    state = _settled(ray, launch)
    assert state.phase == "ended", state
    known = {job["submission_id"] for job in _known(ray_cluster, "lowtide-again-")}
    assert known == {module.submission_id(launch), module.submission_id(launch, 2)}


def test_stopped_by_rays_own_means_it_leaves_its_receipt(
    tmp_path: Path, ray_cluster: RayCluster
) -> None:
    ray = _ray(ray_cluster, tmp_path)
    launch = replace(_launch(tmp_path, "byray"), argv=("sleep", "600"))
    ray.start(launch)
    until((Path(launch.run_dir) / "process.json").exists)
    ray.cancel(launch)
    state = _settled(ray, launch)
    assert state.receipt is not None
    assert (state.receipt.reason, state.receipt.signal) == ("stopped", 15)


def test_a_killed_runner_s_job_is_an_orphan_that_can_be_stopped(
    tmp_path: Path, ray_cluster: RayCluster
) -> None:
    ray = _ray(ray_cluster, tmp_path, lag_s=0.0)
    launch = replace(_launch(tmp_path, "orphan"), argv=("sleep", "600"))
    ray.start(launch)
    folder = Path(launch.run_dir)
    until((folder / "process.json").exists)
    runners = [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()
        and _words(entry)[1:] == ["-P", "-m", "providers.runner", launch.run_dir]
    ]  # fmt: skip
    (runner,) = runners
    os.kill(runner, 9)

    def phase_after_a_stop() -> str:
        ray.stop(folder, launch.token, 5.0)
        return str(ray.poll(folder, launch.token).phase)

    until(lambda: ray.poll(folder, launch.token).phase != "running")
    assert ray.poll(folder, launch.token).phase == "orphaned"
    until(lambda: phase_after_a_stop() != "orphaned")
    assert ray.poll(folder, launch.token).phase == "gone"


def _words(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode().split("\0")[:-1]
    except OSError:
        return []


def _ray(cluster: RayCluster, folder: Path, lag_s: float = 60.0, **settings: Any) -> Ray:
    built: Ray = registry.load("executors", "ray")({"address": cluster.address, **settings}, folder)
    built._lag_s = lag_s
    return built


def _launch(folder: Path, job_id: str) -> Launch:
    environment = folder / "env.json"
    environment.write_text(json.dumps({"PATH": os.environ["PATH"]}))
    return Launch(
        job_id, 1, f"{job_id} of {folder}", ("sh", "-c", "echo started >> starts"), str(folder),
        str(folder / job_id), str(environment), str(folder / "units"), str(folder), "x", 1,
        meters=("model",),
    )  # fmt: skip


def _settled(ray: Ray, launch: Launch) -> Any:
    """Where it stands when it neither waits nor runs."""
    said = []

    def settled() -> bool:
        said[:] = [ray.poll(Path(launch.run_dir), launch.token)]
        return said[0].phase not in {"waiting", "running"}

    until(settled)
    return said[0]


def test_looks_are_what_they_say() -> None:
    words = {
        "PENDING": "waiting", "RUNNING": "running", "A_NEW_WORD": "running", "SUCCEEDED": "ended",
        "STOPPED": "ended", "FAILED": "ended",
    }  # fmt: skip
    for status, stage in words.items():
        look = module._look(module.RayJob(status, "", ""))
        assert look == Look(stage, f"Ray: {status}")  # type: ignore[arg-type]
