"""Real jobs that are paused, by their checkpoint or with their processes stopped, and go on."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Launch, Phase, Receipt
from providers.executors.local import Local, build
from providers.runner import journal, proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 180.0
TRAIN = Path(__file__).parents[2] / "examples" / "train_digits.py"


@dataclass
class Job:
    """One attempt under a real runner."""

    executor: Local
    launch: Launch

    @property
    def folder(self) -> Path:
        return Path(self.launch.run_dir)

    @property
    def phase(self) -> Phase:
        return self.executor.poll(self.folder, self.launch.token).phase

    @property
    def samples(self) -> int:
        return len(journal.read_journal(self.folder).samples)

    @property
    def states(self) -> set[str]:
        """The states of its processes, as ``/proc`` names them."""
        found = [proc.stat(each.pid) for each in proc.marked(self.launch.token)]
        return {each.state for each in found if each is not None}

    @property
    def stands(self) -> bool:
        """Whether it is stopped; who waits in vfork for a stopped child is in state D."""
        return {"T"} <= self.states <= {"T", "D"}

    def pause(self) -> None:
        self.executor.pause(self.folder, self.launch.token)

    def resume(self) -> None:
        self.executor.resume(self.folder, self.launch.token)

    def stop(self) -> None:
        self.executor.stop(self.folder, self.launch.token, self.launch.grace_s)

    def stand(self) -> None:
        """Pause it, and wait until nothing of it runs."""
        self.pause()
        _until(lambda: self.phase == "paused" and self.stands)

    def later(self) -> None:
        """Wait for its runner to take five more samples."""
        seen = self.samples
        _until(lambda: self.samples >= seen + 5)

    def kill_runner(self) -> None:
        runner = json.loads((self.folder / "started").read_text())["pid"]
        os.kill(runner, signal.SIGKILL)
        _until(lambda: (found := proc.stat(runner)) is None or found.state == "Z")

    def receipt(self) -> Receipt:
        _until(lambda: self.phase not in {"absent", "running", "paused"})
        receipt = self.executor.poll(self.folder, self.launch.token).receipt
        assert receipt is not None, (self.folder / "runner.log").read_text()
        return receipt


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Starts a job and waits for its first process; nothing of it outlives the test."""
    begun: list[Job] = []

    def start(*argv: str, ready: str | None = None, **fields: Any) -> Job:
        number = len(list(tmp_path.glob("env-*")))
        environment = tmp_path / f"env-{number}.json"
        environment.write_text(json.dumps({"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}))
        launch = Launch(
            **{
                "job_id": "j1",
                "attempt": number + 1,
                "token": f"token-of-{tmp_path}-{number}",
                "argv": argv,
                "cwd": str(tmp_path),
                "run_dir": str(tmp_path / f"run-{number}"),
                "env_file": str(environment),
                "units_file": str(tmp_path / "units"),
                "work_dir": str(tmp_path),
                "region": "local",
                "slots": 1,
                "meters": ("model",),
                "interval_s": 0.1,
                **fields,
            }
        )
        job = Job(build({}, tmp_path), launch)
        begun.append(job)
        job.executor.start(launch)
        _until((job.folder / "process.json" if ready is None else tmp_path / ready).exists)
        return job

    yield start
    for job in begun:
        while left := proc.marked(job.launch.token):
            for each in left:
                each.send(signal.SIGKILL)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def _grows(path: Path) -> None:
    """Wait until a file is longer than it is."""
    size = path.stat().st_size if path.exists() else 0
    _until(lambda: path.exists() and path.stat().st_size > size)


def _on_term(action: str) -> tuple[str, ...]:
    """A job that waits for TERM, ready once ``up`` is there."""
    return ("sh", "-c", f"trap '{action}' TERM; touch up; while :; do sleep 0.02; done")


# Children that make progress, fork all the time, and one of them in a session of its own.
COUNTS = "while :; do (echo x >> counter); done"
TREE = ("sh", "-c", f"({COUNTS}) & setsid sh -c '{COUNTS}' & wait")


def test_a_training_goes_on_from_its_checkpoint_as_if_unbroken(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    pytest.importorskip("sklearn", reason="the example trains with scikit-learn")
    train = [sys.executable, str(TRAIN), "--epochs", "3"]
    work, other = tmp_path / "work", tmp_path / "other"
    for folder in (work, other):
        folder.mkdir()
    unbroken = begin(*train, work_dir=str(other), pause_signal="checkpoint")
    first = begin(
        *train, "--min-seconds", "600", work_dir=str(work), pause_signal="checkpoint", grace_s=0.0
    )
    _until(lambda: "epochs are done" in (first.folder / "stdout.log").read_text())
    first.pause()
    receipt = first.receipt()
    assert (receipt.reason, receipt.exit_code, receipt.pauses) == ("paused", 75, ())
    assert [p.name for p in work.iterdir()] == ["digits.ckpt"]
    second = begin(*train, work_dir=str(work), pause_signal="checkpoint")
    ends = []
    for job in (unbroken, second):
        receipt = job.receipt()
        assert (receipt.reason, receipt.exit_code) == ("exited", 0)
        ends.append((job.folder / "stdout.log").read_text().splitlines())
    assert ends[1][0] == "1 of 3 epochs are done"
    assert ends[0][-1] == ends[1][-1]
    assert ends[0][-1].startswith("accuracy")


def test_a_job_that_is_slow_to_checkpoint_is_asked_once_and_never_killed(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    job = begin(*_on_term("echo TERM >> heard"), ready="up", pause_signal="checkpoint", grace_s=0.1)
    heard = tmp_path / "heard"
    job.pause()
    _until(heard.exists)
    for _ in range(3):
        job.pause()
        job.later()
    assert job.phase == "running"
    assert heard.read_text() == "TERM\n"
    job.stop()
    receipt = job.receipt()
    assert (receipt.reason, receipt.signal) == ("stopped", 9)


def test_the_time_limit_ends_a_job_that_does_not_checkpoint(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    job = begin(
        *("sh", "-c", "trap '' TERM; touch up; sleep 600; sleep 600"),
        pause_signal="checkpoint",
        time_limit_s=1.0,
        grace_s=0.1,
    )
    _until(lambda: (tmp_path / "up").exists() or job.phase == "ended")
    job.pause()
    assert job.receipt().reason == "time_limit"


@pytest.mark.parametrize(
    ("mode", "asked", "argv", "ended"),
    [
        ("checkpoint", False, ("sh", "-c", "exit 75"), ("paused", 75, None)),
        ("stop", False, ("sh", "-c", "exit 75"), ("exited", 75, None)),
        (None, False, ("sh", "-c", "exit 75"), ("exited", 75, None)),
        ("checkpoint", False, ("sh", "-c", "exit 143"), ("exited", 143, None)),
        ("checkpoint", False, ("sh", "-c", "kill -TERM $$"), ("exited", None, 15)),
        ("checkpoint", True, _on_term("exit 75"), ("paused", 75, None)),
        ("checkpoint", True, _on_term("exit 143"), ("paused", 143, None)),
        ("checkpoint", True, _on_term("trap - TERM; kill -TERM $$"), ("paused", None, 15)),
        ("checkpoint", True, _on_term("exit 0"), ("exited", 0, None)),
        ("checkpoint", True, _on_term("exit 3"), ("exited", 3, None)),
    ],
)
def test_only_a_job_that_is_to_go_on_ends_paused(
    begin: Callable[..., Job],
    mode: str | None,
    asked: bool,
    argv: tuple[str, ...],
    ended: tuple[str, int | None, int | None],
) -> None:
    job = begin(*argv, ready="up" if asked else None, pause_signal=mode)
    if asked:
        job.pause()
    receipt = job.receipt()
    assert (receipt.reason, receipt.exit_code, receipt.signal) == ended


def test_what_a_checkpointed_job_leaves_behind_is_ended(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    """A child that reacts to TERM and one that has to be killed."""
    polite = "trap 'touch reacted; exit' TERM; touch polite; while :; do sleep 0.02; done"
    stubborn = "trap '' TERM; touch stubborn; while :; do sleep 0.02; done"
    wait = "while [ ! -e go ]; do sleep 0.02; done; exit 75"
    job = begin(
        *("sh", "-c", f'({polite}) & (setsid sh -c "{stubborn}") & {wait}'),
        pause_signal="checkpoint",
        grace_s=0.5,
    )
    _until(lambda: (tmp_path / "polite").exists() and (tmp_path / "stubborn").exists())
    (tmp_path / "go").touch()
    receipt = job.receipt()
    assert (receipt.reason, receipt.exit_code) == ("paused", 75)
    assert (tmp_path / "reacted").exists()
    assert proc.marked(job.launch.token) == []


def test_a_stopped_tree_makes_no_progress_until_it_is_resumed(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    """Its held hardware is metered on."""
    job = begin(*TREE, pause_signal="stop")
    counter = tmp_path / "counter"
    for _ in range(3):
        _grows(counter)
        job.stand()
        job.later()
        size, before = counter.stat().st_size, journal.read_journal(job.folder).samples[-1]
        job.pause()
        job.later()
        assert counter.stat().st_size == size
        after = journal.read_journal(job.folder).samples[-1]
        assert after.cpu_s == before.cpu_s
        for early, late in zip(before.readings, after.readings, strict=True):
            assert late.energy_j.value > early.energy_j.value
        job.resume()
        _grows(counter)
        assert job.phase == "running"
    job.stop()
    receipt = job.receipt()
    assert receipt.reason == "stopped"
    assert len(receipt.pauses) == 3
    ends = [receipt.started_at, *(at for pause in receipt.pauses for at in pause), receipt.ended_at]
    assert ends == sorted(ends)
    assert proc.marked(job.launch.token) == []


def test_a_pause_can_be_asked_for_before_the_first_process_is_up(
    begin: Callable[..., Job],
) -> None:
    job = begin(*TREE, ready="run-0/started", pause_signal="stop")
    job.stand()
    job.stop()
    assert len(job.receipt().pauses) == 1


def test_the_time_limit_rests_while_a_job_is_stopped(begin: Callable[..., Job]) -> None:
    job = begin("sleep", "600", pause_signal="stop", time_limit_s=5.0)
    job.stand()
    started_at = job.executor.poll(job.folder, job.launch.token).started_at
    assert started_at is not None
    _until(lambda: time.time() > started_at + 6.0)
    job.later()
    assert job.phase == "paused"
    job.resume()
    receipt = job.receipt()
    assert (receipt.reason, receipt.signal) == ("time_limit", 15)
    ((begin_at, end_at),) = receipt.pauses
    assert receipt.ended_at - receipt.started_at - (end_at - begin_at) >= 5.0


def test_a_stopped_job_can_react_when_it_is_cancelled(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    job = begin(
        *_on_term("touch reacted; exit 3"), ready="up", pause_signal="stop", grace_s=PATIENCE_S
    )
    job.stand()
    job.stop()
    receipt = job.receipt()
    assert (receipt.reason, receipt.exit_code) == ("stopped", 3)
    assert (tmp_path / "reacted").exists()
    assert len(receipt.pauses) == 1


def test_a_pause_that_the_job_does_not_survive_ends_with_it(begin: Callable[..., Job]) -> None:
    job = begin("sleep", "600", pause_signal="stop")
    job.stand()
    os.kill(json.loads((job.folder / "process.json").read_text())["pid"], signal.SIGKILL)
    receipt = job.receipt()
    assert (receipt.reason, receipt.signal) == ("exited", 9)
    ((begin_at, end_at),) = receipt.pauses
    assert receipt.started_at <= begin_at <= end_at <= receipt.ended_at


def test_a_stopped_tree_without_its_runner_can_be_resumed(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    job = begin(*TREE, pause_signal="stop")
    _grows(tmp_path / "counter")
    job.stand()
    job.kill_runner()
    assert job.phase == "orphaned"
    assert job.stands
    job.resume()
    _until(lambda: "T" not in job.states)
    job.pause()
    _grows(tmp_path / "counter")
    assert job.phase == "orphaned"
    _end(job)


def test_a_stopped_tree_without_its_runner_can_be_cancelled(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    job = begin(*_on_term("touch reacted; exit"), ready="up", pause_signal="stop")
    job.stand()
    job.kill_runner()
    job.stop()
    _until(lambda: job.phase == "gone")
    assert (tmp_path / "reacted").exists()


def _end(job: Job) -> None:
    """KILL what is left of a job without a runner."""

    def gone() -> bool:
        job.executor.stop(job.folder, job.launch.token, 0.0)
        return job.phase == "gone"

    _until(gone)


def test_a_full_disk_loses_neither_the_pause_nor_the_runner(begin: Callable[..., Job]) -> None:
    job = begin(*TREE, pause_signal="stop")
    obstacle = job.folder / "pauses.json"
    obstacle.mkdir()
    job.pause()
    _until(lambda: job.stands)
    job.later()
    assert job.phase == "running", "nobody could be told"
    obstacle.rmdir()
    _until(lambda: job.phase == "paused")
    obstacle.unlink()
    obstacle.mkdir()
    job.resume()
    _until(lambda: "T" not in job.states)
    job.stop()
    receipt = job.receipt()
    assert receipt.reason == "stopped"
    assert len(receipt.pauses) == 1
    assert "pauses.json is not up to date" in (job.folder / "runner.log").read_text()


def test_a_runner_whose_log_cannot_be_written_still_pauses(
    begin: Callable[..., Job], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    (folder / "pauses.json").mkdir(parents=True)
    (folder / "runner.log").symlink_to("/dev/full")
    job = begin("sleep", "600", run_dir=str(folder), pause_signal="stop")
    job.pause()
    _until(lambda: job.stands)
    job.later()
    job.stop()
    assert len(job.receipt().pauses) == 1
