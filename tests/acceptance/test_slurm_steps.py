"""Steps of a job on a real Slurm (``srun``) are metered with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.site import Site

from providers.runner.journal import read_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.slurm import Cluster

    from scheduler.models import Settlement

SETTINGS = """
providers: [fake]
home: north
refresh: 1s
tick: 1s
executors: {slurm: {}}
regions:
  north: {zone: SE-SE3, executor: slurm, engine: {partition: eu-north-1}}
"""
BURN = "import time\nwhile time.process_time() < 2: pass"


@pytest.fixture
def site(tmp_path: Path, slurm: Cluster) -> Iterator[Site]:
    made = Site(tmp_path, SETTINGS)
    yield made
    made.ctx.close()


def _settled(site: Site, *argv: str) -> tuple[Settlement, Path]:
    job_id = site.submit(*argv, deadline="1h")
    site.until(lambda: site.ended(job_id))
    site.tick()
    found = site.ctx.store.settlements.latest(job_id)
    assert found is not None
    return found, Path(site.attempt(job_id).run_dir)


def test_a_step_counts_as_the_same_work_without_srun(site: Site) -> None:
    settled, folder = _settled(site, "srun", sys.executable, "-I", "-S", "-c", BURN)
    found = read_journal(folder)
    told = found.meta["attribution"]
    last = found.samples[-1]
    assert last.cpu_s + told["unseen_cpu_s"] >= 2
    assert last.cpu_s >= 1.5
    assert told["beside_cpu_s"]["steps"] >= 1.5
    assert settled.reserved_kwh is not None
    assert "the steps of Slurm on this node" in settled.attempts[0].attribution
    assert not settled.left_out
