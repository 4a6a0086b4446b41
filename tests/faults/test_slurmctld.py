"""Slurm's controller is killed and started anew, with jobs in every state of their life."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import aftermath
from support.fleet import until
from support.site import Site

from providers.errors import ExecutorError
from scheduler import engine
from scheduler.engine.dispatch import launch_of
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
  north: {zone: SE-SE3, executor: slurm, engine: {partition: eu-north-1}, slots: 16}
"""


@pytest.fixture
def site(tmp_path: Path, slurm: Cluster) -> Iterator[Site]:
    (tmp_path / "marks").mkdir()
    made = Site(tmp_path, SETTINGS)
    yield made
    made.ctx.close()


def test_no_job_is_lost_whatever_it_does_meanwhile(site: Site, slurm: Cluster) -> None:
    marks, saved = site.folder / "marks", slurm.folder / "state" / "job_state"

    def submit(then: str = ":", **fields: str) -> str:
        return site.submit(*aftermath.marking(marks, then), **fields)

    wait = f"until [ -e {site.folder}/%s ]; do sleep 0.05; done"
    goes_on, ends = submit(wait % "later"), submit(wait % "now")
    stopped = submit("sleep 600")
    waits_there = submit(earliest="1h", deadline="5h")
    running = (goes_on, ends, stopped)
    site.until(lambda: all(site.job(j).state is JobState.RUNNING for j in running))
    site.until(lambda: bool(site.told(waits_there, "handed over")))
    # What Slurm itself has not saved is lost; it saves what has changed.
    now, run_dir = time.time(), Path(site.attempt(waits_there).run_dir)
    slurm_id = json.loads((run_dir / "slurm.json").read_text())["job_id"]
    slurm.run("scontrol", "update", f"JobId={slurm_id}", "Nice=1")
    site.until(lambda: saved.stat().st_mtime > now)
    try:
        slurm.kill("slurmctld", signal.SIGKILL)
        (site.folder / "now").touch()
        receipt = Path(site.attempt(ends).run_dir) / "receipt.json"
        until(receipt.exists)
        due = submit()
        engine.cancel(site.ctx, stopped, datetime.now(UTC))
        site.tick()
        # What the shared folder tells needs no controller.
        assert site.job(ends).state is JobState.SUCCEEDED
        assert site.job(goes_on).state is JobState.RUNNING
        assert not site.job(due).state.ended
        assert not site.job(waits_there).state.ended
    finally:
        slurm.start_controller()
        slurm.wait()
    (site.folder / "later").touch()
    # As if the plan had said so: the one that waits there begins at once, and nobody looks.
    now_s, job = time.time(), site.job(waits_there)
    launch = launch_of(site.ctx, job, site.attempt(waits_there), datetime.now(UTC))

    def moved() -> bool:
        # That the controller was silent is remembered for a while.
        with suppress(ExecutorError):
            return site.ctx.executor("north").move(launch, now_s)
        return False

    until(moved)
    until((run_dir / "receipt.json").exists)
    ids = (*running, waits_there, due)
    site.until(lambda: all(site.ended(j) for j in ids))
    site.tick()
    aftermath.assert_aftermath(site.ctx.store, marks, ids)
    states = {j: site.job(j).state for j in ids}
    assert states == dict.fromkeys(ids, JobState.SUCCEEDED) | {stopped: JobState.CANCELLED}
