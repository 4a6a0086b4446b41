"""Thousands of jobs that end at once: one pass settles them all, each once."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import aftermath
from support.fleet import LOWTIDE, Fleet, until
from support.multitude import multiply

from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

# CONTRIBUTING.md says how to try it with ten thousand.
COUNT = int(os.environ.get("LOWTIDE_FAULTS_AT_ONCE", "110"))
CONFIG = """
tick: 1s
regions:
  local: {zone: DE, slots: 20000}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, CONFIG, {})
    yield made
    made.close()


def test_one_pass_settles_all_that_have_ended_each_once(fleet: Fleet, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    waits = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    job_id = fleet.submit(*aftermath.marking(marks, waits))
    fleet.run("tick")
    until((marks / job_id).exists)
    fleet.run("tick")
    assert fleet.state(job_id) == "running"
    (tmp_path / "go").touch()
    with aftermath.opened(tmp_path / "h0") as store:
        (attempt,) = store.jobs.attempts(job_id)
        until((Path(attempt.run_dir) / "receipt.json").exists)
        multiply(store, attempt, marks, COUNT - 1)
        assert store.jobs.count() == {JobState.RUNNING: COUNT}
        _pass(fleet)
        assert store.jobs.count() == {JobState.SUCCEEDED: COUNT}
        aftermath.assert_aftermath(store, marks, aftermath.read_marks(marks))
        fleet.run("tick")
        assert all(len(store.settlements.versions(job.id)) == 1 for job in store.jobs.find())


def _pass(fleet: Fleet) -> None:
    """One pass in a process of its own; what it took is printed, and is no matter of the test."""
    begun = time.monotonic()
    with subprocess.Popen([*LOWTIDE, "tick"], cwd=fleet.folder, env=fleet.env(0)) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    took_s, used_s = time.monotonic() - begun, usage.ru_utime + usage.ru_stime
    told = f"{COUNT} jobs at once: {took_s:.1f} s, {used_s:.1f} s of CPU, "
    print(told + f"at most {usage.ru_maxrss / 1024:.0f} MB")  # noqa: T201 -- shown with -s
