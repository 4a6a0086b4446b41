"""What was lost between Slurm and us is found again: handles, answers, and what was taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.slurm_desk import Desk, made_desk

from providers.errors import ExecutorError
from providers.executors.slurm import batch
from providers.executors.slurm.handle import FILE
from providers.executors.slurm.settings import parse
from providers.runner import journal

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_S = 3600.0


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return made_desk(tmp_path, monkeypatch)


@pytest.fixture
def run_dir(desk: Desk) -> Path:
    return Path(desk.launch.run_dir)


def _begin(desk: Desk, run_dir: Path) -> None:
    """Its runner is there."""
    desk.slurm.change("1", job_state="RUNNING", state_reason="None")
    journal.claim(run_dir / "started", {"at": desk.now})


def test_a_running_job_whose_handle_was_lost_is_found_again(desk: Desk, run_dir: Path) -> None:
    desk.executor.start(desk.launch)
    (run_dir / FILE).unlink()
    _begin(desk, run_dir)
    assert desk.poll(desk.launch).phase == "running"
    assert (run_dir / FILE).exists()


@pytest.mark.parametrize(("alive", "phase"), [(True, "running"), (False, "gone")])
def test_a_job_that_slurm_does_not_know_lives_as_long_as_its_runner_writes(
    desk: Desk, run_dir: Path, *, alive: bool, phase: str
) -> None:
    desk.executor.start(desk.launch)
    (run_dir / FILE).unlink()
    _begin(desk, run_dir)
    desk.slurm.write(desk.slurm.read() | {"jobs": []})
    if alive:
        journal.JournalWriter(run_dir, (), {}, desk.now).close()
        (run_dir / "journal.jsonl").touch()
        desk.now = (run_dir / "journal.jsonl").stat().st_mtime
    assert desk.poll(desk.launch).phase == phase


def test_what_was_found_again_begins_now_where_that_is_asked(desk: Desk, run_dir: Path) -> None:
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    (run_dir / FILE).unlink()
    assert desk.poll(desk.launch).phase == "waiting"
    desk.executor.start(desk.launch)
    assert desk.slurm.job("1")["start_time_asked"] == "now"
    assert len(desk.slurm.said("sbatch")) == 1


@pytest.fixture
def refusing(desk: Desk) -> Callable[[], None]:
    """scancel fails until the returned is called."""
    program = desk.folder / "bin" / "scancel"
    obeys = program.read_text()
    program.write_text("#!/bin/sh\necho 'scancel: error: Unable to contact slurm' >&2; exit 1\n")
    return lambda: program.write_text(obeys) and None


def test_what_was_taken_back_is_cancelled_until_slurm_obeys(
    desk: Desk, run_dir: Path, refusing: Callable[[], None]
) -> None:
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    with pytest.raises(ExecutorError, match="Unable to contact"):
        desk.executor.take_back(run_dir, desk.launch.token)
    state = desk.poll(desk.launch)
    assert (state.phase, "does not confirm" in state.detail) == ("waiting", True)
    assert not desk.executor.move(desk.launch, desk.now + 2 * HOUR_S)
    refusing()
    assert desk.poll(desk.launch).phase == "gone"
    assert desk.slurm.job("1")["job_state"] == "CANCELLED"
    assert desk.executor.take_back(run_dir, desk.launch.token), "once more is without effect"


def test_what_has_begun_is_not_taken_back(desk: Desk, run_dir: Path) -> None:
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    _begin(desk, run_dir)
    assert not desk.executor.take_back(run_dir, desk.launch.token)
    assert not desk.executor.move(desk.launch, desk.now + 2 * HOUR_S)
    assert desk.slurm.said("scancel") == []
    assert desk.poll(desk.launch).phase == "running"


def test_it_is_moved_between_partitions_and_not_between_accounts(desk: Desk) -> None:
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    desk.settings["partition"] = "south"
    assert desk.executor.move(desk.launch, desk.now + HOUR_S)
    desk.settings["account"] = "other"
    assert not desk.executor.move(desk.launch, desk.now + 2 * HOUR_S)


@pytest.mark.parametrize(("signal", "told"), [("stop", False), ("checkpoint", True), (None, True)])
def test_slurms_clock_does_not_end_what_is_stopped(
    desk: Desk, signal: str | None, *, told: bool
) -> None:
    launch = replace(desk.launch, time_limit_s=HOUR_S, pause_signal=signal)
    words = batch.options(launch, parse({}), None)
    assert any(word.startswith("--time=") for word in words) == told
