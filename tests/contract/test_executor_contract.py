"""What every executor of the registry must keep."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from support.fleet import until

from providers import registry
from providers.base import Capabilities, Executor, Launch, Receipt
from providers.errors import SettingsError
from scheduler.testing import FakeExecutor, FixedClock


@pytest.fixture(params=["fake", *sorted(registry.targets("executors"))])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def executor(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Executor:
    settings = {}
    if name == "slurm":
        request.getfixturevalue("slurm")
    if name == "ray":
        settings["address"] = request.getfixturevalue("ray_cluster").address
    if name == "fake":
        return FakeExecutor(exit_codes={"sh": 7}, durations_s={"sleep": 600, "/bin/sh": 600})
    built: Executor = registry.load("executors", name)(settings, tmp_path)
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
    until(lambda: _phase(executor, launch) == "ended")
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
        until(lambda: (Path(launch.run_dir) / "process.json").exists())
    assert _phase(executor, launch) == "running"
    for _ in range(2):
        executor.stop(Path(launch.run_dir), launch.token, 5.0)
    until(lambda: _phase(executor, launch) == "ended")
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


# It exits with 75 when it is asked to, once it is ready for that.
CHECKPOINTS = ("/bin/sh", "-c", "trap 'exit 75' TERM; touch up; while :; do sleep 0.02; done")


def _begin(executor: Executor, launch: Launch) -> Path:
    """Start it, and wait until it is ready for signals; returns the run folder."""
    executor.start(launch)
    folder = Path(launch.run_dir)
    if not isinstance(executor, FakeExecutor):
        ready = Path(launch.cwd, "up") if launch.argv == CHECKPOINTS else folder / "process.json"
        until(ready.exists)
    return folder


def _receipt(executor: Executor, launch: Launch) -> Receipt:
    """What is left of it, once it has ended."""
    until(lambda: _phase(executor, launch) == "ended")
    receipt = executor.poll(Path(launch.run_dir), launch.token).receipt
    assert receipt is not None
    return receipt


def test_a_stopped_tree_is_paused_until_it_is_resumed(executor: Executor, launch: Launch) -> None:
    launch = replace(launch, argv=("sleep", "600"), pause_signal="stop")
    folder = _begin(executor, launch)
    for _ in range(2):
        for ask, phase in ((executor.pause, "paused"), (executor.resume, "running")):
            for _ in range(2):
                ask(folder, launch.token)
                until(lambda phase=phase: _phase(executor, launch) == phase)
    executor.stop(folder, launch.token, 5.0)
    receipt = _receipt(executor, launch)
    assert (receipt.reason, receipt.signal) == ("stopped", 15)
    (a, b), (c, d) = receipt.pauses
    assert receipt.started_at <= a <= b <= c <= d <= receipt.ended_at


def test_a_paused_attempt_can_be_stopped(executor: Executor, launch: Launch) -> None:
    launch = replace(launch, argv=("sleep", "600"), pause_signal="stop")
    folder = _begin(executor, launch)
    executor.pause(folder, launch.token)
    until(lambda: _phase(executor, launch) == "paused")
    executor.stop(folder, launch.token, 600.0)
    receipt = _receipt(executor, launch)
    assert (receipt.reason, receipt.signal) == ("stopped", 15)
    ((begin, end),) = receipt.pauses
    assert receipt.started_at <= begin <= end <= receipt.ended_at


def test_a_job_that_checkpoints_ends_paused(executor: Executor, launch: Launch) -> None:
    launch = replace(launch, argv=CHECKPOINTS, pause_signal="checkpoint")
    folder = _begin(executor, launch)
    executor.resume(folder, launch.token)
    assert _phase(executor, launch) == "running"
    for _ in range(2):
        executor.pause(folder, launch.token)
    receipt = _receipt(executor, launch)
    assert (receipt.reason, receipt.exit_code, receipt.signal) == ("paused", 75, None)
    assert receipt.pauses == ()


def test_what_may_not_be_paused_runs_on(executor: Executor, launch: Launch) -> None:
    launch = replace(launch, argv=CHECKPOINTS)
    folder = _begin(executor, launch)
    for ask in (executor.pause, executor.resume):
        ask(folder, launch.token)
        assert _phase(executor, launch) == "running"
    executor.stop(folder, launch.token, 600.0)
    receipt = _receipt(executor, launch)
    assert (receipt.reason, receipt.pauses) == ("stopped", ())


@pytest.mark.parametrize("mode", ["checkpoint", "stop"])
def test_pausing_what_does_not_run_changes_nothing(
    executor: Executor, launch: Launch, mode: Literal["checkpoint", "stop"]
) -> None:
    launch = replace(launch, pause_signal=mode)
    for phase in ("absent", "ended"):
        for ask in (executor.pause, executor.resume):
            ask(Path(launch.run_dir), launch.token)
            assert _phase(executor, launch) == phase
        executor.start(launch)
        receipt = _receipt(executor, launch)
    assert (receipt.reason, receipt.exit_code) == ("exited", 7)


def test_the_fakes_run_time_rests_while_it_is_stopped(launch: Launch) -> None:
    clock = FixedClock(datetime(2026, 3, 2, tzinfo=UTC))
    fake, begun = FakeExecutor(clock, run_s=60), clock.now.timestamp()
    launch = replace(launch, pause_signal="stop")
    folder = _begin(fake, launch)
    for ask in (fake.pause, fake.resume):
        clock.advance(seconds=50)
        ask(folder, launch.token)
    clock.advance(seconds=9)
    assert _phase(fake, launch) == "running"
    clock.advance(seconds=1)
    receipt = _receipt(fake, launch)
    assert (receipt.reason, receipt.ended_at) == ("exited", begun + 110)
    assert receipt.pauses == ((begun + 50, begun + 100),)


def test_the_fake_runs_only_the_rest_after_a_checkpoint(launch: Launch) -> None:
    clock = FixedClock(datetime(2026, 3, 2, tzinfo=UTC))
    fake = FakeExecutor(clock, run_s=60)
    launch = replace(launch, pause_signal="checkpoint")
    folder = _begin(fake, launch)
    clock.advance(seconds=50)
    fake.pause(folder, launch.token)
    assert _receipt(fake, launch).reason == "paused"
    another = replace(launch, job_id="j2", run_dir=f"{folder}-of-another", attempt=2)
    rest = replace(launch, run_dir=f"{folder}-2", attempt=2)
    for each in (another, rest):
        fake.start(each)
    clock.advance(seconds=10)
    assert _receipt(fake, rest).reason == "exited"
    assert _phase(fake, another) == "running"
    assert _receipt(fake, launch).ended_at - _receipt(fake, launch).started_at == 50
