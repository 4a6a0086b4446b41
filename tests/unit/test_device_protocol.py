"""The protocol of ``tests/device``, measured on boards whose answers are known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from device import protocol

from scheduler.testing.boards import FakeBoard
from scheduler.testing.nvml import FakeNvml

HIGH_W, LOW_W = 350.0, 50.0


def _board(**fields: object) -> FakeBoard:
    board = FakeBoard("GPU-a", renewed_s=0.1, tells=frozenset({"usage", "samples"}))
    for name, value in fields.items():
        setattr(board, name, value)
    return board


def _load(board: FakeBoard) -> protocol.Load:
    @contextmanager
    def loaded(period_s: float) -> Iterator[None]:
        board.load = lambda at_s: HIGH_W if at_s % period_s < period_s / 2 else LOW_W
        yield
        board.load = None

    return loaded


def test_a_renewal_is_found() -> None:
    nvml = FakeNvml([_board()])
    name = "nvmlDeviceGetTotalEnergyConsumption"
    found = protocol.renewal_s(nvml, nvml.boards[0], name, nvml.clock, nvml.advance)
    assert found == pytest.approx(0.1, abs=0.002)
    nvml.boards[0].counts = False
    assert protocol.renewal_s(nvml, nvml.boards[0], name, nvml.clock, nvml.advance) is None


def test_a_wave_is_told_by_all_three_witnesses() -> None:
    nvml = FakeNvml([_board()])
    board = nvml.boards[0]
    wave = protocol.square_wave(nvml, board, _load(board), 4.0, nvml.clock, nvml.advance)
    mean_j = 20 * (HIGH_W + LOW_W) / 2
    assert wave.counter_j == pytest.approx(mean_j, rel=0.03)
    assert wave.polled_j == pytest.approx(mean_j, rel=0.03)
    assert wave.samples_j == pytest.approx(mean_j, rel=0.03)


def test_a_sensor_that_sees_a_quarter_is_found_out() -> None:
    """A wave in step with the sensor, which looks at its low half only."""
    nvml = FakeNvml([_board(window_s=0.025)])
    board = nvml.boards[0]
    wave = protocol.square_wave(nvml, board, _load(board), 0.1, nvml.clock, nvml.advance)
    assert wave.counter_j == pytest.approx(4000, rel=0.03)
    assert abs(wave.polled_j - 4000) > 0.5 * 4000
    assert "%" in str(wave.row()[2])


def test_the_report_is_markdown_and_leaves_out_what_is_refused() -> None:
    denied = frozenset({"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetSamples"})
    nvml = FakeNvml([_board(denied=denied)])
    board = nvml.boards[0]
    text = protocol.report(nvml, board, _load(board), nvml.clock, nvml.advance, for_s=5.0)
    assert text.startswith("NVIDIA GeForce RTX 3090; sensor said to see 100 %")
    assert "| nvmlDeviceGetTotalEnergyConsumption | 100 ms |" in text
    assert "nvmlDeviceGetUtilizationRates" not in text
    assert text.count("| - |") == len(protocol.PERIODS_S)  # no samples of the driver
