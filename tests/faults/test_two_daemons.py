"""Two daemons on one home, by mistake: the second says no; where it cannot, it does no harm."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support import aftermath
from support.fleet import Fleet, until
from support.witness import watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
tick: 1s
regions:
  local: {zone: DE, slots: 64}
"""

# As on a network file system that knows no locks.
MAIN = """import fcntl, runpy
fcntl.flock = lambda *_: None
runpy.run_module("scheduler", run_name="__main__", alter_sys=True)
"""
BLIND = (sys.executable, "-P", "-c", MAIN)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    (tmp_path / "marks").mkdir()
    made = Fleet(tmp_path, CONFIG, {})
    yield made
    made.close()


def test_the_second_says_no_by_whatever_name_it_calls_the_home(fleet: Fleet) -> None:
    first, lock = fleet.up(0), fleet.folder / "h0" / "daemon.lock"
    until(lambda: lock.exists() and lock.read_text())
    (fleet.folder / "h1").symlink_to(fleet.folder / "h0")
    for home in (0, 1):
        refused = fleet.run("up", home=home, code=5).stderr.splitlines()[-1]
        assert f"process {first.pid}" in refused
    job_id = fleet.submit(*aftermath.marking(fleet.folder / "marks"))
    with watching(fleet.folder / "h0") as seen:
        seen.until("succeeded", job_id)


def test_two_that_do_not_see_each_others_locks_start_each_job_once(
    tmp_path: Path, fleet: Fleet
) -> None:
    marks, blind = tmp_path / "marks", Fleet(tmp_path, CONFIG, {}, BLIND)
    try:
        daemons = [blind.up(0), blind.up(0)]
        until(lambda: blind.log(0).count("lowtide is up") == 2)
        ids = [fleet.submit(*aftermath.marking(marks)) for _ in range(4)]
        with watching(tmp_path / "h0") as seen:
            seen.until_over()
            aftermath.assert_aftermath(seen.store, marks, ids)
            seen.until("succeeded", *ids)
        assert [daemon.poll() for daemon in daemons] == [None, None]
        assert "Traceback" not in blind.log(0)
    finally:
        blind.close()
