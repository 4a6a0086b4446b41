"""Which boards a job gets: free ones alone, each for one job at a time."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.executors.local import build
from providers.meters.nvml import board_name, idle_boards
from providers.meters.nvml.assigned import assigned
from scheduler.errors import UsageError
from scheduler.models import Attempt, JobState
from scheduler.testing.boards import FakeBoard, FakeSlice
from scheduler.testing.nvml import FakeNvml

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeNvml]:
    """Boards in place of the driver's."""

    def plug(*boards: FakeBoard) -> FakeNvml:
        nvml = FakeNvml(list(boards))
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    return plug


def test_boards_of_one_kind_have_a_name_and_mixed_ones_none(
    plugged: Callable[..., FakeNvml],
) -> None:
    plugged(FakeBoard("GPU-a", name="NVIDIA L4"), FakeBoard("GPU-b", name="NVIDIA L4"))
    assert board_name() == "NVIDIA L4"
    plugged(FakeBoard("GPU-a", name="NVIDIA L4"), FakeBoard("GPU-b"))
    assert board_name() == ""


def test_only_idle_boards_are_free_and_none_that_does_not_tell(
    plugged: Callable[..., FakeNvml], tmp_path: Path
) -> None:
    nvml = plugged(
        FakeBoard("GPU-a"),
        FakeBoard("GPU-b", pids={1: 0}),
        FakeBoard("GPU-c", denied=frozenset({"nvmlDeviceGetComputeRunningProcesses"})),
        FakeBoard("GPU-d", lost=True),
        FakeBoard("GPU-e"),
    )
    assert idle_boards() == ("GPU-a", "GPU-e")
    assert build({}, tmp_path).free_gpus(frozenset({"GPU-a"})) == ("GPU-e",)
    assert nvml.inits == 0


def test_of_a_board_in_mig_mode_the_slices_are_assignable(
    plugged: Callable[..., FakeNvml],
) -> None:
    slices = [FakeSlice("MIG-a"), FakeSlice("MIG-b", 2, {1: 0}), FakeSlice("MIG-c", 4)]
    plugged(FakeBoard("GPU-a", slices=slices), FakeBoard("GPU-b", slices=[]))
    assert idle_boards() == ("MIG-a", "MIG-c")


def test_without_a_driver_there_are_no_boards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert idle_boards() == ()


def test_jobs_take_turns_on_a_board(desk: Any) -> None:
    """Two slots, one board: the second job can be submitted, and waits for the first."""
    desk.executor.gpus = ("GPU-a",)
    first = desk.submit(gpus=1)
    desk.tick(seconds=1)
    assert desk.ctx.store.jobs.held_gpus() == desk.ctx.store.jobs.held_gpus("local") == {"GPU-a"}
    assert desk.ctx.store.jobs.held_gpus("elsewhere") == frozenset()
    second = desk.submit(gpus=1)
    desk.tick(minutes=5)
    assert desk.job(second).state is JobState.PLANNED
    desk.tick(minutes=55)
    assert desk.job(first).state is JobState.SUCCEEDED
    while desk.job(second).plan.start > desk.clock.now:
        assert desk.job(second).state is JobState.PLANNED
        desk.tick(minutes=5)
    assert desk.job(second).state in {JobState.STARTING, JobState.RUNNING}
    for job in (first, second):
        assert desk.ctx.store.jobs.attempts(job)[-1].gpus == ("GPU-a",)


def test_more_boards_than_there_are_is_said_at_submit(desk: Any) -> None:
    desk.executor.gpus = ("GPU-a",)
    with pytest.raises(UsageError, match="local has 1 of 2 GPUs"):
        desk.submit(gpus=2)


def test_a_board_that_was_taken_meanwhile_is_not_claimed(desk: Any) -> None:
    """Two passes at once: both find the board free, one gets it."""
    desk.executor.gpus = ("GPU-a", "GPU-b")
    first, second = (desk.submit(gpus=1) for _ in range(2))
    store, now = desk.ctx.store.jobs, desk.clock.now

    def claim(job_id: str) -> bool:
        job = store.get(job_id)
        attempt = Attempt(job_id, 1, "local", "/run", "token", now, gpus=("GPU-a",))
        return bool(store.claim(job, attempt, ("GPU-a",), 2))

    assert claim(first)
    assert not claim(second)
    assert store.get(second).state is JobState.PLANNED


@pytest.mark.parametrize(
    ("told", "boards"),
    [
        ("0,3", ("GPU-a", "GPU-d")),
        ("GPU-b,MIG-y", ("GPU-b", "MIG-y")),
        ("GPU-d", ("GPU-d",)),
        ("1", ("GPU-b",)),  # a silent one counts as well
        ("2", ("2",)),  # in MIG mode: its slices have other names
        ("7, 0", ("7", "GPU-a")),
        ("NoDevFiles", ()),
        ("", ()),
    ],
)
def test_what_an_engine_gave_by_number_has_a_uuid(
    plugged: Callable[..., FakeNvml], told: str, boards: tuple[str, ...]
) -> None:
    silent = frozenset({"nvmlDeviceGetEnforcedPowerLimit"})
    slices = [FakeSlice("MIG-x"), FakeSlice("MIG-y")]
    nvml = plugged(
        FakeBoard("GPU-a"), FakeBoard("GPU-b", denied=silent), FakeBoard("GPU-c", slices=slices),
        FakeBoard("GPU-d"),
    )  # fmt: skip
    assert assigned(told) == boards
    assert nvml.inits == 0


def test_without_a_driver_or_an_answer_of_it_a_board_stands_for_itself(
    plugged: Callable[..., FakeNvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = plugged(FakeBoard("GPU-a"))
    answers = threading.Event()
    monkeypatch.setattr(nvml, "nvmlInit", lambda: answers.wait(30))
    monkeypatch.setattr("providers.meters.nvml.library.OPEN_PATIENCE_S", 0.1)
    assert assigned("0") == ("0",)
    answers.set()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert assigned("0") == ("0",)
