"""Which boards a job gets: free ones alone, each for one job at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Launch
from providers.errors import ExecutorError
from providers.executors import local
from providers.executors.local import build
from providers.meters.nvml import board_name, idle_boards
from providers.meters.nvml.assigned import BY_BUS, MASK, ORDER, Allocation, allocation, masked
from providers.runner import claims, proc
from scheduler.engine.request import Request
from scheduler.engine.submission import job_environment
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
    ("mask", "boards"),
    [
        ("0,3", ("GPU-a1", "GPU-d")),
        ("GPU-b,MIG-y", ("GPU-b", "MIG-y")),
        ("GPU-d", ("GPU-d",)),
        ("1", ("GPU-b",)),  # one without a power limit counts as well
        ("2", ("MIG-x",)),  # CUDA takes the first slice of a board in MIG mode
        ("GPU-c", ("MIG-x",)),
        ("4", ("GPU-e",)),  # numbers are of boards, however many slices come before
        ("5", ("5",)),  # in MIG mode without a slice: nothing to compute on
        ("0,-1,3", ("GPU-a1",)),  # CUDA reads no further
        ("3,7,0", ("GPU-d",)),
        ("0,0", ("GPU-a1",)),
        ("GPU-a", ("GPU-a",)),  # it means two of them
        ("GPU-elsewhere", ("GPU-elsewhere",)),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("", ()),
    ],
)
def test_what_a_mask_names_has_a_uuid(
    plugged: Callable[..., FakeNvml], mask: str, boards: tuple[str, ...]
) -> None:
    silent = frozenset({"nvmlDeviceGetEnforcedPowerLimit"})
    slices = [FakeSlice("MIG-x"), FakeSlice("MIG-y")]
    nvml = plugged(
        FakeBoard("GPU-a1"), FakeBoard("GPU-b", denied=silent), FakeBoard("GPU-c", slices=slices),
        FakeBoard("GPU-d"), FakeBoard("GPU-e", limit_w=None), FakeBoard("GPU-a2", slices=[]),
    )  # fmt: skip
    for by_bus in (True, False):  # they are all of one kind
        assert masked(mask, by_bus=by_bus).boards == boards
    assert nvml.inits == 0


def test_numbers_count_in_the_order_of_the_bus(plugged: Callable[..., FakeNvml]) -> None:
    plugged(FakeBoard("GPU-a", bus=7), FakeBoard("GPU-b", bus=3), FakeBoard("GPU-c", bus=5))
    assert masked("0,2", by_bus=True).boards == ("GPU-b", "GPU-a")


def test_of_boards_of_several_kinds_cudas_own_numbers_mean_none(
    plugged: Callable[..., FakeNvml],
) -> None:
    plugged(FakeBoard("GPU-a"), FakeBoard("GPU-b", name="Tesla T4"))
    environ = {MASK: "1"}
    found = allocation(environ)
    assert found is not None
    assert found.boards == ("1",)
    assert "set CUDA_DEVICE_ORDER=PCI_BUS_ID" in found.notes[0]
    assert allocation(environ | {ORDER: BY_BUS}) == Allocation(("GPU-b",))
    assert allocation({MASK: "1,0"}) == Allocation(("GPU-b", "GPU-a"))  # all there are
    assert allocation({}) is None


def test_a_lost_board_keeps_its_number(plugged: Callable[..., FakeNvml]) -> None:
    plugged(FakeBoard("GPU-a", lost=True), FakeBoard("GPU-b"))
    assert masked("0,1", by_bus=True).boards == ("0", "GPU-b")


def test_a_job_with_a_mask_gets_no_board_outside_it(desk: Any) -> None:
    desk.executor.gpus = ("GPU-a", "GPU-b")
    job = desk.submit(gpus=1, env=[f"{MASK}=GPU-b"])
    desk.tick(seconds=1)
    assert desk.ctx.store.jobs.attempts(job)[-1].gpus == ("GPU-b",)
    waits = desk.submit(gpus=1, env=[f"{MASK}=GPU-b"])
    desk.tick(seconds=1)
    assert desk.ctx.store.jobs.attempts(waits) == []
    with pytest.raises(UsageError, match="--gpus 2: CUDA_VISIBLE_DEVICES=GPU-b leaves 1"):
        desk.submit(gpus=2, env=[f"{MASK}=GPU-b"])


def test_a_job_that_submits_another_keeps_its_boards_to_itself(desk: Any) -> None:
    environ = {"LOWTIDE_RUN": "token", MASK: "GPU-a", ORDER: BY_BUS, "PATH": "/bin"}
    config = desk.ctx.config
    assert job_environment(Request(), environ, config) == {"PATH": "/bin"}
    kept = job_environment(Request(env=(MASK,)), environ, config)
    assert kept == {"PATH": "/bin", MASK: "GPU-a"}


def test_a_claimed_board_is_given_to_one_alone(tmp_path: Path) -> None:
    me = proc.identify(os.getpid())
    assert me is not None
    with subprocess.Popen(["sleep", "60"]) as other:
        them = proc.identify(other.pid)
        assert them is not None
        assert claims.take(("GPU-a", "GPU-b"), me, place=tmp_path)
        assert not claims.take(("GPU-b", "GPU-c"), them, place=tmp_path)
        assert claims.claimed(tmp_path) == {"GPU-a", "GPU-b"}
        assert claims.take(("GPU-b",), me, place=tmp_path)  # it has it
        claims.hand(("GPU-b",), me, them, tmp_path)
        assert not claims.take(("GPU-b",), me, place=tmp_path)
        claims.hand(("GPU-a",), me, None, tmp_path)
        assert claims.claimed(tmp_path) == {"GPU-b"}
        assert claims.take(("GPU-b",), me, alone=False, place=tmp_path)  # by a mask of its own
        claims.hand(("GPU-b",), me, None, tmp_path)
        other.kill()
    assert claims.claimed(tmp_path) == frozenset()  # who had it is gone
    assert claims.take(("GPU-b",), me, place=tmp_path)


def test_without_a_folder_nothing_is_claimed_and_nothing_refused(tmp_path: Path) -> None:
    me = proc.identify(os.getpid())
    assert me is not None
    assert claims.take(("GPU-a",), me, place=tmp_path / "no" / "such")
    assert claims.claimed(tmp_path / "no" / "such") == frozenset()


def test_without_a_driver_or_an_answer_of_it_a_board_stands_for_itself(
    plugged: Callable[..., FakeNvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = plugged(FakeBoard("GPU-a"))
    answers = threading.Event()
    monkeypatch.setattr(nvml, "nvmlInit", lambda: answers.wait(30))
    monkeypatch.setattr("providers.meters.nvml.library.OPEN_PATIENCE_S", 0.1)
    found = masked("0", by_bus=True)
    assert found.boards == ("0",)
    assert "NVML did not answer" in found.notes[0]
    answers.set()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert masked("0", by_bus=True).boards == ("0",)


def test_a_job_whose_board_was_given_away_just_now_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for a free board and the start; a start that fails gives its boards back."""
    monkeypatch.setattr(claims.holdings, "folder", lambda: tmp_path / "held")
    launch = Launch(
        "j", 1, "t", ("true",), "/", str(tmp_path / "run"), "", "", "", "local", 1, gpus=("GPU-a",)
    )

    def fails(run_dir: Path) -> int:
        assert claims.claimed() == {"GPU-a"}
        raise OSError("no room for a process")

    monkeypatch.setattr(local, "_spawn_runner", fails)
    with pytest.raises(ExecutorError, match="no room"):
        build({}, tmp_path).start(launch)
    assert claims.claimed() == frozenset()
    with subprocess.Popen(["sleep", "60"]) as other:
        them = proc.identify(other.pid)
        assert them is not None
        assert claims.take(("GPU-a",), them)
        assert "GPU-a" not in build({}, tmp_path).free_gpus(frozenset())
        with pytest.raises(ExecutorError, match="was given one of its boards"):
            build({}, tmp_path).start(launch)
        other.kill()
