"""Whose work on a board is the job's: with real processes, and with pids that are nobody's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from support.boards import opened, second

from providers.base import Scope, Usage
from providers.meters.nvml import sharing
from providers.meters.nvml.meter import NvmlMeter
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
    assert sharing.judge(frozenset(), tree) == "empty"
    assert sharing.judge(frozenset({first}), tree) == "own"
    # A child that is younger than what was told of the tree.
    assert sharing.judge(frozenset({child}), tree) == "own"
    assert sharing.judge(frozenset({first, me}), tree) == "shared"
    assert sharing.judge(frozenset({me}), tree) == "others"
    assert sharing.judge(frozenset({1}), tree) == "others"  # root's, which we may not signal
    # One that has gone since was there all the same.
    assert sharing.judge(frozenset({nobody}), tree, frozenset({nobody})) == "others"
    # Pids of the host, none of which is known here.
    assert sharing.judge(frozenset({nobody}), tree) == "unverified"
    assert sharing.judge(frozenset({first, nobody}), tree) == "own"  # it has just ended
    assert sharing.judge(frozenset({0, 2**32 - 1}), tree) == "unverified"  # no pids at all
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
    # There at the opening and at the last two looks: the first second and the last two are open.
    assert gpu.energy_j.low == pytest.approx(0.95 * 1400 - 40)
    assert gpu.energy_j.value == pytest.approx(200 + 1400 + 0.75 * 400)
    assert gpu.facts["shared_samples_percent"] == 20


def test_a_stranger_before_the_first_look_is_not_charged_as_certain(job: tuple[int, int]) -> None:
    """It was there when the meter was opened, and has ended by the first look."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        nvml = _shared(job[0])
        nvml.boards[0].pids = {stranger.pid: 90}
        meter = opened(nvml)
        stranger.kill()
    nvml.boards[0].pids = {job[0]: 30}
    usage = Usage(0.0, 0.0, 0.0, frozenset(job))
    meter.sample(usage)
    for _ in range(3):
        second(nvml, meter)
    (gpu,) = meter.sample(usage)
    assert gpu.energy_j.low == pytest.approx(0.95 * 400 - 40)  # 2 of 3 s
    assert gpu.energy_j.high == pytest.approx(1.05 * 600 + 40)


def test_utilisation_from_before_the_run_is_of_no_account(job: tuple[int, int]) -> None:
    nvml = _shared(job[0])
    told, before = nvml.nvmlDeviceGetProcessUtilization, []

    def kept(handle: FakeBoard, timeStamp: int) -> list[object]:  # noqa: N803
        """The driver's buffer also has what others used an hour ago."""
        before.append(timeStamp)
        old = SimpleNamespace(pid=os.getpid(), timeStamp=1, smUtil=10_000)
        return [*told(handle, timeStamp), *([old] if timeStamp < 1 else [])]

    nvml.nvmlDeviceGetProcessUtilization = kept  # type: ignore[method-assign, assignment]
    meter = opened(nvml)
    usage = Usage(0.0, 0.0, 0.0, frozenset(job))
    meter.sample(usage)
    second(nvml, meter)
    (gpu,) = meter.sample(usage)
    assert gpu.energy_j.value == pytest.approx(0.75 * 200)


def test_a_board_that_the_job_does_not_hold_counts_while_the_job_is_seen_on_it(
    job: tuple[int, int],
) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=100.0), FakeBoard("GPU-b", power_w=200.0)])
    meter = opened(nvml, "GPU-a")
    usage = Usage(0.0, 0.0, 0.0, frozenset(job))
    meter.sample(usage)
    for second_of in range(10):
        nvml.boards[1].pids = {job[1]: 50} if 3 <= second_of < 7 else {}
        second(nvml, meter)
        if second_of == 2:
            assert [c.name for c in meter.components()] == ["gpu:GPU-a"]
    assert [c.name for c in meter.components()] == ["gpu:GPU-a", "gpu:GPU-b"]
    held, other = meter.sample(usage)
    assert held.energy_j.value == pytest.approx(1000)
    # Seen at four looks; it may have come and gone at any time of the second at either end.
    assert other.energy_j.low == pytest.approx(0.95 * 600 - 40)
    assert other.energy_j.value == pytest.approx(1000)
    assert other.energy_j.high == pytest.approx(1.05 * 1000 + 40)
    assert other.covered_s == pytest.approx(10)
    assert [n for n in meter.notes() if "gpu:GPU-b" in n and "not among the boards" in n]


def test_strangers_make_no_board_the_jobs_own(job: tuple[int, int]) -> None:
    nvml = FakeNvml([FakeBoard("GPU-a"), FakeBoard("GPU-b", pids={os.getpid(): 90})])
    meter = opened(nvml, "GPU-a")
    meter.sample(Usage(0.0, 0.0, 0.0, frozenset(job)))
    for _ in range(3):
        second(nvml, meter)
    assert [c.name for c in meter.components()] == ["gpu:GPU-a"]
    assert meter.notes() == ()


def test_in_a_container_a_board_that_is_used_counts_within_all_and_nothing(nobody: int) -> None:
    """Pids of the host mean nothing there: whose they are cannot be known."""
    nvml = FakeNvml([FakeBoard("GPU-a", power_w=100.0)])
    meter = NvmlMeter(Scope(1), nvml, nvml.clock, nvml.advance)
    usage = Usage(0.0, 0.0, 0.0, frozenset({os.getpid()}))
    meter.sample(usage)
    second(nvml, meter)
    assert meter.components() == ()
    nvml.boards[0].pids = {nobody: 90}
    for _ in range(5):
        second(nvml, meter)
    (gpu,) = meter.sample(usage)
    assert gpu.energy_j.low == 0
    assert gpu.energy_j.value == pytest.approx(500)
    assert any("unverified" in note for note in meter.notes())


def test_a_board_used_by_the_job_that_cannot_be_read_is_missing(job: tuple[int, int]) -> None:
    board = FakeBoard("GPU-b", counter_mj=None, tells=frozenset(), limit_w=None)
    nvml = FakeNvml([FakeBoard("GPU-a"), board])
    meter = opened(nvml, "GPU-a")
    usage = Usage(0.0, 0.0, 0.0, frozenset(job))
    meter.sample(usage)
    board.pids = {job[0]: 90}
    second(nvml, meter)
    assert [(c.name, c.method) for c in meter.components()] == [
        ("gpu:GPU-a", "measured"), ("gpu:GPU-b", "missing"),
    ]  # fmt: skip
    assert [r.component for r in meter.sample(usage)] == ["gpu:GPU-a"]


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
