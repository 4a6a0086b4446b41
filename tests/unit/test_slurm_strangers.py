"""Slurm has lost its state and given our job's number to another job: that one is left alone.

Each call of the executor meets a stranger under the number that our handle holds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.slurm_desk import Desk, made_desk

from providers.executors.slurm import batch, requeue
from providers.executors.slurm import handle as handles
from providers.executors.slurm.energy import note_energy
from providers.executors.slurm.handle import APART_S, Handle
from providers.executors.slurm.jobs import SlurmJob
from providers.runner import journal

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_S = 3600.0
STATES = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETED")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return made_desk(tmp_path, monkeypatch)


def _changes(desk: Desk) -> list[list[str]]:
    """Commands that change something."""
    return [
        argv for argv in desk.slurm.read()["said"]
        if argv[0] != "sacct" and argv[:2] != ["scontrol", "show"]
    ]  # fmt: skip


def _another_home(desk: Desk) -> str:
    """The mark of a lowtide of the same user that counts its jobs as ours does."""
    return batch.comment(replace(desk.launch, token="another home"))


def _move(desk: Desk) -> None:
    assert not desk.executor.move(desk.launch, desk.now + 2 * HOUR_S)


def _begin_now(desk: Desk) -> None:
    desk.executor.start(desk.launch)


def _take_back(desk: Desk) -> None:
    assert desk.executor.take_back(Path(desk.launch.run_dir), desk.launch.token)
    assert desk.poll(desk.launch).phase == "gone"


def _stop(desk: Desk) -> None:
    for _ in range(2):
        desk.executor.stop(Path(desk.launch.run_dir), desk.launch.token, 5.0)
        desk.now += HOUR_S


def _poll(desk: Desk) -> None:
    assert desk.poll(desk.launch).phase == "absent"


CALLS = (_move, _begin_now, _take_back, _stop, _poll)


@pytest.mark.parametrize("state", STATES)
def test_no_call_before_the_start_changes_a_job_that_has_our_number(desk: Desk, state: str) -> None:
    for call in CALLS:
        folder = Path(desk.launch.run_dir)
        desk.executor.start(desk.launch, desk.now + HOUR_S)
        ended = 0 if state != "COMPLETED" else 1.0
        desk.slurm.lose_its_state(job_state=state, end_time=ended, comment=_another_home(desk))
        before, given = desk.slurm.job("1"), _changes(desk)
        call(desk)
        assert desk.slurm.job("1") == before, call
        assert _changes(desk) == given, call
        for file in folder.iterdir():
            file.unlink()
        desk.slurm.write(desk.slurm.read() | {"jobs": []})


@pytest.mark.parametrize(
    "stranger", [{"comment": "theirs"}, {"name": "lowtide-j1", "comment": "x"}]
)
def test_what_slurm_has_lost_is_handed_over_again(desk: Desk, stranger: dict[str, Any]) -> None:
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    desk.slurm.lose_its_state(**stranger)
    state = desk.poll(desk.launch)
    assert (state.phase, state.detail) == ("absent", "Slurm has no job 1 of ours any more")
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    assert desk.poll(desk.launch).phase == "waiting"
    assert [job["name"] for job in desk.slurm.read()["jobs"]][1:] == ["lowtide-j1"]
    assert desk.slurm.job("2")["comment"] == batch.comment(desk.launch)
    assert desk.slurm.job("1")["job_state"] == "PENDING"


@pytest.mark.parametrize("signal", ["stop", "checkpoint"])
@pytest.mark.parametrize("state", ["RUNNING", "SUSPENDED"])
def test_a_stranger_is_not_paused_resumed_signalled_or_ended(
    desk: Desk, signal: str, state: str
) -> None:
    desk.settings["suspend"] = True
    launch = replace(desk.launch, pause_signal=signal)  # type: ignore[arg-type]
    desk.executor.start(launch)
    folder = Path(launch.run_dir)
    journal.claim(folder / "started", {"at": desk.now})
    desk.slurm.lose_its_state(job_state=state)
    given = _changes(desk)
    for verb in ("pause", "resume", "pause"):
        getattr(desk.executor, verb)(folder, launch.token)
    for _ in range(3):
        desk.executor.stop(folder, launch.token, 1.0)
        desk.now += HOUR_S
    assert _changes(desk) == given
    assert desk.slurm.job("1")["job_state"] == state


@pytest.mark.parametrize("state", STATES)
def test_a_stranger_is_not_requeued_for_our_next_attempt(desk: Desk, state: str) -> None:
    desk.checkpoint()
    desk.slurm.lose_its_state(job_state=state, end_time=float(state == "COMPLETED"))
    before = desk.slurm.job("1")
    desk.executor.start(desk.next)
    said = desk.poll(desk.next)
    assert said.phase == "waiting"
    assert "Slurm does not know it any more" in said.detail
    assert desk.slurm.job("1") == before
    assert desk.slurm.said("scontrol") == desk.slurm.said("scancel") == []
    assert desk.slurm.job("2")["comment"] == batch.comment(desk.next)


def test_a_held_job_that_is_lost_before_its_release_goes_on_in_another_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.checkpoint()
    with monkeypatch.context() as patched:
        patched.setattr(requeue, "release", lambda *_: False)
        desk.executor.start(desk.next)
    folder = Path(desk.next.run_dir)
    handles.keep(folder, Handle("1", None, None, "north", 1, 1000.0, released=False,
                                marks=(batch.comment(desk.next),)))  # fmt: skip
    desk.slurm.lose_its_state()
    before = desk.slurm.job("1")
    assert desk.hand_over()[-1].phase == "waiting"
    assert desk.slurm.job("1") == before
    assert desk.slurm.job("2")["comment"] == batch.comment(desk.next)


def test_a_handle_of_an_earlier_version_is_marked_by_its_launch(desk: Desk) -> None:
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    file = Path(desk.launch.run_dir) / handles.FILE
    content = journal.read_json(file)
    assert content is not None
    assert content.pop("marks") == [batch.comment(desk.launch)]
    journal.write_json(file, content)
    assert desk.poll(desk.launch).phase == "waiting"
    desk.slurm.lose_its_state()
    assert desk.poll(desk.launch).phase == "absent"


OURS = Handle("7", None, None, None, since_s=5000.0, marks=("lowtide:j1:1:aaa",))


@pytest.mark.parametrize(
    ("comment", "name", "submitted_s", "ours"),
    [
        ("lowtide:j1:1:aaa", "lowtide-j1", 5000.0, True),
        ("lowtide:j1:1:aaa", "renamed", None, True),
        ("lowtide:j1:2:aaa", "lowtide-j1", 5000.0, False),
        ("lowtide:j1:1:bbb", "lowtide-j1", 5000.0, False),
        ("", "lowtide-j1", 5000.0 + APART_S, True),  # accounting keeps no comments
        ("", "lowtide-j1", 5000.0 - APART_S - 1, False),
        ("", "lowtide-j1", 5000.0 + APART_S + 1, False),
        ("", "lowtide-j2", 5000.0, False),
        ("", "", 5000.0, False),
    ],
)
def test_a_job_is_ours_by_its_mark_or_by_name_and_hour(
    comment: str, name: str, submitted_s: float | None, *, ours: bool
) -> None:
    job = SlurmJob("7", "RUNNING", comment=comment, name=name, submitted_s=submitted_s)
    assert OURS.is_ours(job) == ours
    assert not OURS.is_ours(replace(job, job_id="8"))
    assert not replace(OURS, marks=()).is_ours(job)


def _accounted(submitted_s: float, state: str, joules: int) -> dict[str, Any]:
    step = {"tres": {"consumed": {"total": [{"type": "energy", "count": joules}]}}}
    return {"job_id": 1, "name": "lowtide-j1", "state": {"current": state}, "exclusive": True,
            "time": {"submission": submitted_s, "end": submitted_s + 1}, "comment": {"job": ""},
            "steps": [step]}  # fmt: skip


@pytest.mark.parametrize("strangers_s", [1000.0 - HOUR_S, 1000.0 + HOUR_S])
def test_accounting_is_believed_of_our_own_submission_alone(desk: Desk, strangers_s: float) -> None:
    desk.executor.start(desk.launch)
    folder = Path(desk.launch.run_dir)
    stranger, own = _accounted(strangers_s, "FAILED", 7200), _accounted(1000.0, "COMPLETED", 3600)
    desk.slurm.write(desk.slurm.read() | {"jobs": [{"job_id": 9}], "accounting": [stranger]})
    assert desk.poll(desk.launch).phase == "absent"
    desk.executor.start(desk.launch)
    handle = handles.read(folder)
    assert handle is not None
    handle = replace(handle, job_id="1", since_s=1000.0)
    note_energy(desk.executor._commands, folder, handle)
    assert not (folder / "slurm-energy.json").exists()
    desk.slurm.write(desk.slurm.read() | {"accounting": [own, stranger]})
    note_energy(desk.executor._commands, folder, handle)
    assert journal.read_json(folder / "slurm-energy.json") == {"joules": 3600.0}


def test_nothing_comes_between_our_look_and_the_cancel(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number changes hands just when we have looked: Slurm itself compares the name."""
    desk.executor.start(desk.launch, desk.now + HOUR_S)
    executor = desk.executor
    real: Callable[..., Any] = executor._commands.queued

    def queued(*args: Any, **named: Any) -> Any:
        found = real(*args, **named)
        desk.slurm.lose_its_state()
        return found

    monkeypatch.setattr(executor._commands, "queued", queued)
    executor.take_back(Path(desk.launch.run_dir), desk.launch.token)
    assert len(desk.slurm.said("scancel")) == 1
    assert desk.slurm.job("1")["job_state"] == "PENDING"
