"""kill -9 at every place: the caller, the runner; nothing is lost, started twice or left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers.base import Launch
from providers.executors.local import Local, build
from providers.runner import journal, proc

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 180.0


@pytest.fixture
def executor(tmp_path: Path) -> Local:
    return build({}, tmp_path)


def _launch(root: Path, *argv: str) -> Launch:
    environment = root / "env.json"
    environment.write_text(json.dumps({"PATH": os.environ["PATH"]}))
    return Launch(
        job_id="j1",
        attempt=1,
        token=f"token-of-{root}",
        argv=argv,
        cwd=str(root),
        run_dir=str(root / "run"),
        env_file=str(environment),
        units_file=str(root / "units"),
        work_dir=str(root),
        region="local",
        slots=1,
        meters=("model",),
        grace_s=0.3,
        interval_s=0.1,
    )


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def _phase(executor: Local, launch: Launch) -> str:
    return executor.poll(Path(launch.run_dir), launch.token).phase


def _kill_runner(launch: Launch) -> None:
    """Kill it once the job runs and samples are in the journal."""
    folder = Path(launch.run_dir)
    _until((folder / "process.json").exists)
    _until(lambda: len(journal.read_journal(folder).samples) > 2)
    runner = json.loads((folder / "started").read_text())["pid"]
    os.kill(runner, signal.SIGKILL)
    _until(lambda: (found := proc.stat(runner)) is None or found.state == "Z")


WAITS = ("sh", "-c", "echo up >> starts; while [ ! -e go ]; do sleep 0.05; done; echo end > end")


def test_a_job_outlives_its_runner_as_orphaned_and_then_is_gone(
    executor: Local, tmp_path: Path
) -> None:
    launch = _launch(tmp_path, *WAITS)
    executor.start(launch)
    _kill_runner(launch)
    assert _phase(executor, launch) == "orphaned"
    executor.start(launch)
    (tmp_path / "go").touch()
    _until(lambda: _phase(executor, launch) == "gone")
    assert (tmp_path / "end").read_text() == "end\n"
    assert (tmp_path / "starts").read_text() == "up\n"
    state = executor.poll(Path(launch.run_dir), launch.token)
    assert state.receipt is None
    assert state.started_at is not None
    found = journal.read_journal(Path(launch.run_dir))
    assert found.components
    assert found.samples[-1].readings


STUBBORN = "trap '' TERM; (trap '' TERM; touch below; sleep 600) & touch up; sleep 600; sleep 600"


def test_stop_kills_an_orphaned_tree_that_ignores_term(executor: Local, tmp_path: Path) -> None:
    launch = _launch(tmp_path, "sh", "-c", STUBBORN)
    executor.start(launch)
    _until(lambda: (tmp_path / "up").exists() and (tmp_path / "below").exists())
    _kill_runner(launch)
    folder = Path(launch.run_dir)
    executor.stop(folder, launch.token, 600.0)
    executor.stop(folder, launch.token, 600.0)
    assert _phase(executor, launch) == "orphaned"
    executor.stop(folder, launch.token, 0.0)
    _until(lambda: _phase(executor, launch) == "gone")
    assert proc.marked(launch.token) == []


CALLER = """
import json, sys, time
from pathlib import Path
from providers.base import Launch
from providers.executors.local import build
fields = json.loads(sys.argv[1])
for name in ("argv", "gpus", "meters"):
    fields[name] = tuple(fields[name])
build({}, Path(".")).start(Launch(**fields))
print("started", flush=True)
time.sleep(600)
"""


def test_a_job_and_its_runner_outlive_the_caller(executor: Local, tmp_path: Path) -> None:
    launch = _launch(tmp_path, *WAITS)
    command = [sys.executable, "-c", CALLER, json.dumps(asdict(launch))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"started\n"
        caller.kill()
    _until((tmp_path / "starts").exists)
    assert _phase(executor, launch) == "running"
    (tmp_path / "go").touch()
    _until(lambda: _phase(executor, launch) == "ended")
    receipt = executor.poll(Path(launch.run_dir), launch.token).receipt
    assert receipt is not None
    assert receipt.exit_code == 0
    found = journal.read_journal(Path(launch.run_dir))
    assert found.samples[-1].at == pytest.approx(receipt.ended_at, abs=0.5)


def test_a_runner_killed_on_its_way_is_not_taken_for_a_start(
    executor: Local, tmp_path: Path
) -> None:
    launch = _launch(tmp_path, *WAITS)
    executor.start(launch)
    runner = json.loads((tmp_path / "run" / "launched.json").read_text())["pid"]
    os.kill(runner, signal.SIGKILL)
    _until(lambda: _phase(executor, launch) != "running")
    if _phase(executor, launch) == "absent":  # it had not left its mark: start it again
        executor.start(launch)
        _until((tmp_path / "starts").exists)
    (tmp_path / "go").touch()
    _until(lambda: _phase(executor, launch) in {"ended", "gone"})
    starts = tmp_path / "starts"
    assert not starts.exists() or starts.read_text() == "up\n"


def test_ended_runners_leave_no_zombies_in_a_long_living_caller(
    executor: Local, tmp_path: Path
) -> None:
    launch = _launch(tmp_path, "true")
    executor.start(launch)
    runner = json.loads((tmp_path / "run" / "launched.json").read_text())["pid"]
    _until(lambda: _phase(executor, launch) == "ended" and proc.stat(runner) is None)


def test_a_process_that_reuses_the_runners_pid_is_not_taken_for_it(
    executor: Local, tmp_path: Path
) -> None:
    me = proc.identify(os.getpid())
    assert me is not None
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    marker = {"at": 1.0, **asdict(me)}
    (run_dir / "started").write_text(json.dumps(marker))
    assert executor.poll(run_dir, "no such token").phase == "running"
    for change in ({"start_ticks": me.start_ticks - 1}, {"boot_id": "before the reboot"}):
        (run_dir / "started").write_text(json.dumps(marker | change))
        assert executor.poll(run_dir, "no such token").phase == "gone"
        executor.stop(run_dir, "no such token", 0.0)  # or this test would end here


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"at": null, "pid": 1}'])
def test_a_damaged_start_marker_still_means_started(
    executor: Local, tmp_path: Path, content: str
) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "started").write_text(content)
    assert executor.poll(run_dir, "no such token").phase == "gone"
