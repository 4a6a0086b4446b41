"""What no fault of a device may bring about: energy that is negative, above what can be drawn, or
told of time that was not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from itertools import pairwise
from typing import Any

import pytest
from support.boards import opened, second

from providers.base import Usage
from providers.meters.nvml.counter import EXCURSION
from scheduler.testing.boards import FakeBoard, FakeSlice
from scheduler.testing.nvml import FakeNvml

LIMIT_W, POWER_W, SECONDS = 400.0, 300.0, 20
COUNTER = "nvmlDeviceGetTotalEnergyConsumption"
EVERYTHING = frozenset(name for name in vars(FakeNvml) if name.startswith("nvmlDeviceGet"))

Fault = Callable[[FakeNvml, FakeBoard], None]


def _set(**fields: Any) -> Fault:
    def fault(nvml: FakeNvml, board: FakeBoard) -> None:
        for name, value in fields.items():
            setattr(board, name, copy(value))

    return fault


def _add(millijoules: float) -> Fault:
    def fault(nvml: FakeNvml, board: FakeBoard) -> None:
        assert board.counter_mj is not None
        board.counter_mj += millijoules

    return fault


def _resets(nvml: FakeNvml, board: FakeBoard) -> None:
    board.reset()


def _suspends(nvml: FakeNvml, board: FakeBoard) -> None:
    nvml.suspend(3600.0)


# A fault at each time (s); how many of the 20 s may be told of at most and at least; a word of the
# note. With power as a second witness, a counter that is gone costs no coverage.
FAULTS: dict[str, tuple[dict[int, Fault], float, float, str]] = {
    "none": ({}, 20, 20, ""),
    "wrap of 32 bits": ({7: _set(counter_mj=0.0)}, 19, 18, "fell back"),
    "reset": ({7: _resets}, 19, 18, "fell back"),
    "double reset": ({7: _set(counter_mj=1e5), 8: _resets}, 18, 16, "fell back"),
    "reset near the end": ({19: _resets}, 19, 18, ""),
    "torn": ({7: _set(odd_mj=[0.0])}, 20, 20, "passed over"),
    "torn upwards": ({7: _set(odd_mj=[1e15])}, 20, 20, "passed over"),
    "torn twice": ({7: _set(odd_mj=[1e15, 3.0])}, 20, 20, "passed over"),
    "leap": ({7: _add(1e12)}, 19, 18, "leapt"),
    "vanishes": ({7: _set(lost=True)}, 8, 7, "GPU is lost"),
    "comes back": ({7: _set(lost=True), 12: _set(lost=False)}, 15, 13, "GPU is lost"),
    "no permission": ({7: _set(denied=EVERYTHING)}, 8, 7, "Insufficient Permissions"),
    "no counter any more": (
        {7: _set(denied=frozenset({COUNTER}))}, 20, 19, "power is integrated meanwhile",
    ),
    "stands still": ({7: _set(counts=False)}, 20, 17, "stood still"),
    "stands, and no power": ({7: _set(counts=False, tells=frozenset())}, 7, 7, "stood still"),
    "suspended": ({7: _suspends}, 3620, 19, ""),
    "shared": ({7: _set(pids={1: 10})}, 20, 20, "unverified"),
}  # fmt: skip

BOARDS: dict[str, dict[str, Any]] = {
    "counter": {},
    "counter and samples": {"tells": frozenset({"samples"})},
    "instantaneous power": {"counter_mj": None, "tells": frozenset({"instant"})},
    "mean power": {"counter_mj": None, "tells": frozenset({"average"})},
    "samples": {"counter_mj": None, "tells": frozenset({"samples"})},
    "slice": {"slices": [FakeSlice("MIG-a", 7)]},
}


def _metered(kind: str, faults: dict[int, Fault]) -> tuple[list[Any], tuple[str, ...], float]:
    board = FakeBoard("GPU-a", power_w=POWER_W, limit_w=LIMIT_W, **BOARDS[kind])
    nvml = FakeNvml([board])
    nvml.advance(1.0)
    meter = opened(nvml, "MIG-a" if board.slices else "GPU-a")
    begun = nvml.now_s
    told = []
    for at in range(SECONDS):
        if at in faults:
            faults[at](nvml, board)
        second(nvml, meter)
        told += meter.sample(Usage(float(at), 0.0, 0.0))
    return told, meter.notes(), nvml.now_s - begun


@pytest.mark.parametrize("kind", BOARDS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_brings_a_gap_and_never_an_impossible_figure(name: str, kind: str) -> None:
    faults = FAULTS[name][0]
    if BOARDS[kind].get("counter_mj", 1) is None and any(w in name for w in ("leap", "leapt")):
        pytest.skip("there is no counter that could leap")
    told, _, elapsed = _metered(kind, faults)
    for reading in told:
        for figure in (reading.energy_j, reading.active_j):
            assert 0 <= figure.low <= figure.value <= figure.high
        assert reading.energy_j.value <= EXCURSION * LIMIT_W * (elapsed + 0.1)
        assert 0 <= reading.covered_s <= elapsed + 0.2
    for before, after in pairwise(told):
        assert before.energy_j.value <= after.energy_j.value
        assert before.energy_j.low <= after.energy_j.low
        assert before.energy_j.high <= after.energy_j.high
        assert before.covered_s <= after.covered_s


@pytest.mark.parametrize("name", FAULTS)
def test_what_was_not_seen_is_not_covered_and_what_was_is_right(name: str) -> None:
    faults, most, least, word = FAULTS[name]
    told, notes, _ = _metered("counter", faults)
    last = told[-1]
    assert least - 0.2 <= last.covered_s <= most + 0.2
    seen = last.energy_j.value / min(last.covered_s, SECONDS)
    assert seen == pytest.approx(POWER_W, rel=0.06)
    assert bool(word) == bool(notes)
    assert word in "".join(notes)
