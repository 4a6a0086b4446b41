"""A home on a disk that takes a few writes a second."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support import aftermath
from support.fleet import LOWTIDE, Fleet
from support.slow_disk import SlowDisk, slow_disk
from support.witness import watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITES_PER_S = 20
CONFIG = """
tick: 1s
regions:
  local: {zone: DE, slots: 64}
"""
SYNCS = f"""import os
with open("h0/syncs", "wb", buffering=0) as f:
    for _ in range({WRITES_PER_S}):
        f.write(b"x")
        os.fsync(f)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SlowDisk]:
    with slow_disk(tmp_path / "h0", tmp_path / "disk", WRITES_PER_S) as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path, disk: SlowDisk) -> Iterator[Fleet]:
    (tmp_path / "marks").mkdir()
    made = Fleet(tmp_path, CONFIG, {}, (*disk.command, *LOWTIDE))
    yield made
    made.close()


def test_jobs_run_once_and_in_time(fleet: Fleet, disk: SlowDisk) -> None:
    marks, begun = fleet.folder / "marks", time.monotonic()
    argv = [*disk.command, sys.executable, "-c", SYNCS]
    subprocess.run(argv, cwd=fleet.folder, check=True)
    assert time.monotonic() - begun > 0.9
    daemon = fleet.up(0)
    ids = [
        fleet.submit(*aftermath.marking(marks, "sleep 0.5"), options=("--start-by", "120s"))
        for _ in range(3)
    ]
    with watching(fleet.folder / "h0") as seen:
        seen.until("succeeded", *ids)
        for job_id in ids:
            job, (attempt,) = seen.store.jobs.get(job_id), seen.store.jobs.attempts(job_id)
            assert job.spec.start_by is not None
            assert attempt.claimed_at <= job.spec.start_by
        seen.until_over()
        aftermath.assert_aftermath(seen.store, marks, ids)
    assert daemon.poll() is None
    assert "Traceback" not in fleet.log(0)
