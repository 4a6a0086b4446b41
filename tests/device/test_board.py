"""The protocol on the first idle board of this machine; prints tables for ``docs/gpu.md``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.attempt import run_attempt

from device import protocol
from providers.meters.nvml import idle_boards
from providers.meters.nvml.inventory import devices
from providers.meters.nvml.library import session

pytestmark = pytest.mark.device
SQUARE = str(Path(__file__).with_name("square.py"))


@pytest.fixture(scope="module")
def board() -> Iterator[tuple[Any, Any, str]]:
    """The library, a handle and a UUID; skips without an idle board, or anything to load it."""
    free = idle_boards()
    if not free:
        pytest.skip("no idle NVIDIA board here")
    if not any(importlib.util.find_spec(name) for name in ("torch", "cupy")):
        pytest.skip("neither torch nor cupy is here to load the board")
    with session() as driver:
        found = next(d for d in devices(driver) if d.uuid == free[0])
        yield driver.nvml, found.board, found.uuid


def _load(uuid: str) -> protocol.Load:
    @contextmanager
    def loaded(period_s: float) -> Iterator[None]:
        variables = {"CUDA_VISIBLE_DEVICES": uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        with subprocess.Popen(
            [sys.executable, SQUARE, str(period_s), "3600"], env=os.environ | variables
        ) as child:
            time.sleep(10.0)  # CUDA has started
            yield
            child.kill()

    return loaded


def test_the_readings_of_the_board(board: tuple[Any, Any, str]) -> None:
    nvml, handle, uuid = board
    print("\n" + protocol.report(nvml, handle, _load(uuid), time.monotonic, time.sleep))


def test_a_pinned_child_and_two_jobs_on_two_halves_of_time(
    board: tuple[Any, Any, str], tmp_path: Path
) -> None:
    """The counter over both is what both were told, and what was drawn between them."""
    nvml, handle, uuid = board
    before = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    rows, total = [], 0.0
    for half in ("first", "second"):
        argv = (sys.executable, SQUARE, "0.5", "20")
        receipt, found = run_attempt(tmp_path / half, None, *argv, gpus=(uuid,))
        (component,) = found.components
        reading = found.samples[-1].readings[0]
        assert component.method == "measured", component.source
        total += reading.energy_j.value
        ran_s = receipt.ended_at - receipt.started_at
        rows.append(
            (half, f"{ran_s:.1f} s", f"{reading.energy_j.value:.0f} J", dict(reading.facts))
        )
    whole = (nvml.nvmlDeviceGetTotalEnergyConsumption(handle) - before) / 1000
    rows.append(("counter over both", "", f"{whole:.0f} J", ""))
    print("\n" + protocol.table(("job", "ran", "energy", "facts"), rows))
    assert total <= whole * 1.02
