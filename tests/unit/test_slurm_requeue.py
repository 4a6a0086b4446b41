"""After a checkpoint: one Slurm job goes on, started once, whatever Slurm tells meanwhile.

Slurm's commands are played; the batch script and the runner in it are real.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.slurm_desk import Desk, made_desk

from providers.errors import ExecutorError
from providers.executors.slurm import executor as module
from providers.executors.slurm.handle import Handle, keep
from providers.runner import journal

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_S = 3600.0


class Killed(BaseException):
    """The process of ours that gave a command is gone before it hears of it."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return made_desk(tmp_path, monkeypatch)


def _finish(desk: Desk) -> None:
    """What waits is run; then the attempt has run once."""
    desk.slurm.run_all()
    assert desk.starts() == ["2"]
    state = desk.poll(desk.next)
    assert (state.phase, state.receipt and state.receipt.reason) == ("ended", "exited")
    assert desk.alive() == []


def test_the_same_slurm_job_goes_on_once_it_is_held_in_the_queue_again(desk: Desk) -> None:
    desk.checkpoint()
    assert desk.hand_over(desk.now + HOUR_S)[-1].phase == "waiting"
    verbs = [argv[1] for argv in desk.slurm.said("scontrol")]
    assert verbs == ["requeuehold", "update", "release"]
    job = desk.slurm.job("1")
    assert job["comment"] == "lowtide:j1:2:fedcba987654"
    _finish(desk)
    assert len(desk.slurm.said("sbatch")) == 1


@pytest.mark.parametrize("looks", [1, 2, 3, 5, 7, 11])
def test_an_old_state_that_is_still_told_is_not_the_next_attempts(desk: Desk, looks: int) -> None:
    """It was ended before the requeue: neither lost, nor requeued twice, nor submitted anew."""
    desk.checkpoint()
    desk.slurm.lag(looks)
    desk.hand_over()
    desk.slurm.change("1", state_reason="None")
    _finish(desk)
    assert len(desk.slurm.said("scontrol", "requeuehold")) == 1
    assert len(desk.slurm.said("sbatch")) == 1


@pytest.mark.parametrize("looks", [1, 3])
def test_an_old_state_told_after_the_hand_over_changes_nothing(desk: Desk, looks: int) -> None:
    desk.checkpoint()
    old = desk.slurm.read()["jobs"]
    desk.hand_over()
    state = desk.slurm.read()
    desk.slurm.write(state | {"lag": looks, "old": old})
    assert not desk.executor.move(desk.next, desk.now + HOUR_S)
    for _ in range(1, looks):
        assert desk.poll(desk.next).phase == "waiting"
    journal.claim(Path(desk.next.run_dir) / "started", {"at": desk.now})
    desk.slurm.write(desk.slurm.read() | {"lag": 1, "old": old})
    desk.now += 1000  # long after its end time: that was the attempt before
    assert desk.poll(desk.next).phase == "running"


def test_a_job_that_slurm_is_still_ending_is_waited_for(desk: Desk) -> None:
    desk.checkpoint()
    desk.slurm.change("1", job_state="COMPLETING")
    for _ in range(5):
        desk.executor.start(desk.next)
        assert desk.poll(desk.next).phase == "absent"
    assert desk.slurm.said("scontrol") == []
    desk.slurm.change("1", job_state="FAILED")
    desk.hand_over()
    _finish(desk)
    assert len(desk.slurm.said("sbatch")) == 1


def _no_requeue(desk: Desk) -> None:
    desk.slurm.change("1", requeue=False)


def _forgotten(desk: Desk) -> None:
    desk.slurm.write(desk.slurm.read() | {"jobs": [{"job_id": 0, "end_time": 1, "job_state": "X"}]})


def _forbidden(desk: Desk) -> None:
    desk.settings["requeue"] = False


def _elsewhere(desk: Desk) -> None:
    desk.settings["partition"] = "south"


def _never_ends(desk: Desk) -> None:
    desk.slurm.change("1", job_state="COMPLETING", end_time=0)


@pytest.mark.parametrize(
    ("so", "why"),
    [
        (_no_requeue, "presently disabled"),
        (_forgotten, "does not know it any more"),
        (_forbidden, "requeue: false"),
        (_elsewhere, "another cluster or partition"),
        (_never_ends, "within 60 s"),
    ],
)
def test_where_it_cannot_be_requeued_it_goes_on_in_another_job_and_that_is_told(
    desk: Desk, so: Callable[[Desk], None], why: str
) -> None:
    desk.checkpoint()
    so(desk)
    desk.executor.start(desk.next)
    desk.now += 61
    told = desk.hand_over()[-1].detail
    assert why in told
    assert "it goes on in another one" in told
    desk.slurm.run_all()
    assert desk.starts() == ["2"]
    ended = desk.poll(desk.next)
    assert (ended.phase, why in ended.detail) == ("ended", True)
    assert desk.alive() == []


@pytest.mark.parametrize("nth", range(1, 9))
def test_killed_at_any_command_it_is_started_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Ours is killed when Slurm has obeyed so many commands, before it can write that down."""
    desk.checkpoint()
    given = 0
    real = module.Commands.run

    def run(self: Any, *argv: str, stdin: str = "") -> str:
        nonlocal given
        given += 1
        said = real(self, *argv, stdin=stdin)
        if given == nth:
            raise Killed
        return said

    monkeypatch.setattr(module.Commands, "run", run)
    while True:
        try:
            desk.hand_over()
            break
        except Killed:
            continue
    _finish(desk)
    assert len(desk.slurm.said("sbatch")) == 1


def test_an_answer_of_sbatch_that_is_lost_is_found_by_its_comment(desk: Desk) -> None:
    desk.slurm.write(desk.slurm.read() | {"lose": True})
    with pytest.raises(ExecutorError, match="Zero Bytes"):
        desk.executor.start(desk.launch)
    assert desk.poll(desk.launch).phase == "waiting"
    desk.executor.start(desk.launch)
    assert len(desk.slurm.read()["jobs"]) == 1
    desk.slurm.run("1")
    assert desk.starts() == ["1"]


def test_a_run_that_slurm_makes_itself_starts_nothing(desk: Desk) -> None:
    """A node failed, and Slurm requeued the job: that run is nobody's, and what ran is gone."""
    desk.executor.start(desk.launch)
    journal.claim(Path(desk.launch.run_dir) / "started", {"at": desk.now})
    desk.slurm.change("1", restart_cnt=1)
    state = desk.poll(desk.launch)
    assert (state.phase, state.detail) == ("gone", "Slurm: PENDING None")
    desk.slurm.run("1")
    assert desk.slurm.job("1")["job_state"] == "FAILED"
    assert not (desk.folder / "starts").exists()


def test_a_requeued_run_that_fails_before_its_runner_begins_is_requeued_once_more(
    desk: Desk,
) -> None:
    desk.checkpoint()
    for begun in ("1", "1", "2"):
        desk.hand_over()
        assert desk.alive() == [begun]
        if begun == "1":
            desk.slurm.change("1", job_state="FAILED", end_time=desk.now)
            assert desk.poll(desk.next).phase == "waiting"  # its mark may be on its way
            desk.now += 100
            assert desk.poll(desk.next).phase == "absent"
    assert "ended 2 times" in desk.poll(desk.next).detail
    _finish(desk)


def test_a_requeued_job_that_is_cancelled_at_slurm_stays_so(desk: Desk) -> None:
    desk.checkpoint()
    desk.hand_over(desk.now + HOUR_S)
    desk.slurm.change("1", job_state="CANCELLED", end_time=desk.now)
    desk.now += 100
    assert desk.poll(desk.next).phase == "gone"


@pytest.mark.parametrize("steps", range(5))
def test_what_is_stopped_while_it_is_requeued_is_left_nowhere(desk: Desk, steps: int) -> None:
    desk.checkpoint()
    desk.slurm.lag(steps)
    desk.executor.start(desk.next, desk.now + HOUR_S)
    desk.executor.stop(Path(desk.next.run_dir), desk.next.token, 5.0)
    desk.slurm.run_all()
    assert desk.alive() == []
    assert not (desk.folder / "starts").exists()


def test_its_hour_comes_no_sooner_than_a_node_takes_the_job_again(desk: Desk) -> None:
    """A node refuses a credential that was made in the second in which it ended the job."""
    desk.now = 4e9  # Slurm is told seconds from now
    desk.checkpoint()
    desk.hand_over()
    assert int(desk.slurm.job("1")["start_time_asked"].removeprefix("now+")) >= 5
    handle = Handle("1", None, None, "north", restarts=1, since_s=4e9)
    keep(Path(desk.next.run_dir), handle)
    desk.executor.start(desk.next)
    assert handle.start_time(None).startswith("now+")
    assert handle.start_time(0.0) == handle.start_time(None)


def test_what_begins_just_when_it_is_told_to_begin_is_no_failure(desk: Desk) -> None:
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    asked = desk.slurm.read()["jobs"]
    desk.slurm.change("1", job_state="RUNNING", end_time=1)  # the played one refuses it like that
    desk.slurm.write(desk.slurm.read() | {"lag": 1, "old": asked})
    desk.executor.start(desk.launch)
    assert desk.slurm.said("scontrol") == []
    desk.slurm.write(desk.slurm.read() | {"lag": 9, "old": asked})
    handle = Handle("1", None, desk.now + HOUR_S, "north")
    keep(Path(desk.launch.run_dir), handle)
    with pytest.raises(ExecutorError, match="already finished"):
        desk.executor.start(desk.launch)
