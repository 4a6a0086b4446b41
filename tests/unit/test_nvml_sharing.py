"""Whose work on a board is the job's: with real processes, and with pids that are nobody's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from support.boards import opened, second

from providers.base import Usage
from providers.meters.nvml import sharing
from scheduler.testing.boards import FakeBoard, FakeSlice
from scheduler.testing.nvml import FakeNvml


@pytest.fixture
def job() -> Iterator[tuple[int, int]]:
    """A process and a child of it."""
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        yield shell.pid, child
        os.kill(child, 9)
        shell.wait()


@pytest.fixture
def nobody() -> int:
    """A pid that no process has."""
    with subprocess.Popen(["true"]) as gone:
        pass
    return gone.pid


def test_who_computes_on_a_board(job: tuple[int, int], nobody: int) -> None:
    first, child = job
    me = os.getpid()
    tree = frozenset({first})
    assert sharing.judge(frozenset(), tree) == "alone"
    assert sharing.judge(frozenset({first}), tree) == "alone"
    # A child that is younger than what was told of the tree.
    assert sharing.judge(frozenset({child}), tree) == "alone"
    assert sharing.judge(frozenset({first, me}), tree) == "shared"
    assert sharing.judge(frozenset({me}), tree) == "shared"
    assert sharing.judge(frozenset({1}), tree) == "shared"  # root's, which we may not signal
    # Pids of the host, none of which is known here.
    assert sharing.judge(frozenset({nobody}), tree) == "unverified"
    assert sharing.judge(frozenset({first, nobody}), tree) == "alone"  # it has just ended
    # A meter that was never told of its job.
    assert sharing.judge(frozenset({me}), frozenset()) == "unverified"


def _shared(job_pid: int, **fields: object) -> FakeNvml:
    board = FakeBoard("GPU-a", power_w=200.0, pids={job_pid: 30, os.getpid(): 10})
    for name, value in fields.items():
        setattr(board, name, value)
    return FakeNvml([board])


def test_a_stranger_is_said_once_and_the_bounds_run_from_nothing_to_all(
    job: tuple[int, int],
) -> None:
    nvml = _shared(job[0])
    meter = opened(nvml)
    usage = Usage(0.0, 0.0, 0.0, frozenset(job))
    meter.sample(usage)
    for _ in range(10):
        second(nvml, meter)
    (gpu,) = meter.sample(usage)
    assert gpu.energy_j.value == pytest.approx(0.75 * 2000)  # by SM utilisation
    assert gpu.energy_j.low == 0
    assert gpu.energy_j.high == pytest.approx(1.05 * 2000 + 40)
    assert gpu.facts["shared_samples_percent"] == 100
    assert len(meter.notes()) == 1
    assert "other processes computed on it too" in meter.notes()[0]


def test_without_utilisation_all_is_counted_within_the_same_bounds(job: tuple[int, int]) -> None:
    nvml = _shared(job[0], tells_utilisation=False)
    meter = opened(nvml)
    meter.sample(Usage(0.0, 0.0, 0.0, frozenset(job)))
    for _ in range(10):
        second(nvml, meter)
    (gpu,) = meter.sample(Usage(10.0, 0.0, 0.0, frozenset(job)))
    assert gpu.energy_j.value == pytest.approx(2000)
    assert gpu.energy_j.low == 0


def test_only_the_time_in_which_a_stranger_was_there_is_uncertain(job: tuple[int, int]) -> None:
    nvml = _shared(job[0])
    board = nvml.boards[0]
    meter = opened(nvml)
    usage = Usage(0.0, 0.0, 0.0, frozenset(job))
    meter.sample(usage)
    for second_of in range(10):
        board.pids = {job[0]: 30} if second_of < 8 else {job[0]: 30, os.getpid(): 10}
        second(nvml, meter)
    (gpu,) = meter.sample(usage)
    assert gpu.energy_j.low == pytest.approx(0.95 * 1600 - 40)
    assert gpu.energy_j.value == pytest.approx(1600 + 0.75 * 400)
    assert gpu.facts["shared_samples_percent"] == 20


@pytest.mark.parametrize("denied", [False, True])
def test_pids_that_are_not_known_here_are_said_to_be_unverified(denied: bool, nobody: int) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=200.0, pids={nobody: 30})])
    if denied:
        nvml.boards[0].denied = frozenset({"nvmlDeviceGetComputeRunningProcesses"})
    meter = opened(nvml)
    meter.sample(Usage(0.0, 0.0, 0.0, frozenset({os.getpid()})))
    for _ in range(10):
        second(nvml, meter)
    (gpu,) = meter.sample(Usage(10.0, 0.0, 0.0, frozenset({os.getpid()})))
    assert gpu.energy_j.value == pytest.approx(2000)
    assert "attribution: device, unverified" in meter.notes()[0]


def test_a_stranger_on_another_slice_is_none(job: tuple[int, int]) -> None:
    slices = [FakeSlice("MIG-a", 1, {job[0]: 0}), FakeSlice("MIG-b", 1, {os.getpid(): 0})]
    nvml = FakeNvml([FakeBoard("GPU-a", slices=slices)])
    meter = opened(nvml, "MIG-a")
    meter.sample(Usage(0.0, 0.0, 0.0, frozenset(job)))
    second(nvml, meter)
    assert meter.notes() == ()
    assert meter.sample(Usage(1.0, 0.0, 0.0))[0].facts["shared_samples_percent"] == 0
