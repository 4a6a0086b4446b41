"""What every executor of the registry must keep."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers import registry
from providers.base import Capabilities, Executor, Launch
from providers.errors import SettingsError
from scheduler.testing import FakeExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 30.0


@pytest.fixture(params=["fake", *sorted(registry.targets("executors"))])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def executor(name: str, tmp_path: Path) -> Executor:
    if name == "fake":
        return FakeExecutor(exit_codes={"sh": 7}, durations_s={"sleep": 600})
    built: Executor = registry.load("executors", name)({}, tmp_path)
    return built


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    environment = tmp_path / "env.json"
    environment.write_text(json.dumps({"PATH": os.environ["PATH"]}))
    return Launch(
        job_id="j1",
        attempt=1,
        token=f"token-of-{tmp_path}",
        argv=("sh", "-c", "echo started >> starts; exit 7"),
        cwd=str(tmp_path),
        run_dir=str(tmp_path / "run"),
        env_file=str(environment),
        units_file=str(tmp_path / "units"),
        work_dir=str(tmp_path),
        region="local",
        slots=1,
        meters=("model",),
    )


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def _phase(executor: Executor, launch: Launch) -> str:
    return executor.poll(Path(launch.run_dir), launch.token).phase


@pytest.mark.parametrize("name", sorted(registry.targets("executors")))
def test_settings_that_it_does_not_know_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no_such_setting"):
        registry.load("executors", name)({"no_such_setting": 1}, tmp_path)


def test_it_has_slots_and_says_what_it_can_do(executor: Executor) -> None:
    assert executor.slots() >= 1
    assert isinstance(executor.capabilities, Capabilities)
    assert isinstance(executor.free_gpus(frozenset()), tuple)
    everything = frozenset(executor.free_gpus(frozenset()))
    assert executor.free_gpus(everything) == ()


def test_an_unknown_attempt_is_absent_and_no_error(executor: Executor, tmp_path: Path) -> None:
    assert executor.poll(tmp_path / "nowhere", "no token").phase == "absent"


def test_an_attempt_runs_once_however_often_it_is_started(
    executor: Executor, launch: Launch, tmp_path: Path
) -> None:
    for _ in range(3):
        executor.start(launch)
    _until(lambda: _phase(executor, launch) == "ended")
    executor.start(launch)
    state = executor.poll(Path(launch.run_dir), launch.token)
    assert state.phase == "ended"
    assert state.receipt is not None
    assert (state.receipt.job_id, state.receipt.attempt) == ("j1", 1)
    assert (state.receipt.reason, state.receipt.exit_code, state.receipt.signal) == (
        "exited",
        7,
        None,
    )
    assert state.started_at == state.receipt.started_at <= state.receipt.ended_at
    if not isinstance(executor, FakeExecutor):
        assert (tmp_path / "starts").read_text() == "started\n"


def test_a_stopped_attempt_ends_by_its_signal(executor: Executor, launch: Launch) -> None:
    launch = replace(launch, argv=("sleep", "600"))
    executor.start(launch)
    if not isinstance(executor, FakeExecutor):
        _until(lambda: (Path(launch.run_dir) / "process.json").exists())
    assert _phase(executor, launch) == "running"
    for _ in range(2):
        executor.stop(Path(launch.run_dir), launch.token, 5.0)
    _until(lambda: _phase(executor, launch) == "ended")
    receipt = executor.poll(Path(launch.run_dir), launch.token).receipt
    assert receipt is not None
    assert (receipt.reason, receipt.signal) == ("stopped", 15)


def test_an_attempt_stopped_before_it_was_started_never_starts(
    executor: Executor, launch: Launch, tmp_path: Path
) -> None:
    Path(launch.run_dir).mkdir()
    executor.stop(Path(launch.run_dir), launch.token, 5.0)
    executor.start(launch)
    assert _phase(executor, launch) == "gone"
    assert not (tmp_path / "starts").exists()
