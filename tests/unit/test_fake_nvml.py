"""The played driver answers to the names, arguments and constants of the real library."""

from __future__ import annotations

import inspect
from typing import Any

import pynvml
import pytest

from scheduler.testing.boards import FakeBoard
from scheduler.testing.nvml import FakeNvml

QUESTIONS = [name for name in vars(FakeNvml) if name.startswith("nvml")]
CONSTANTS = [name for name in vars(FakeNvml) if name.startswith("NVML_")]


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_question_is_one_of_the_library_with_its_arguments(name: str) -> None:
    def arguments(function: Any) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert arguments(getattr(FakeNvml, name))[1:] == arguments(getattr(pynvml, name))


@pytest.mark.parametrize("name", CONSTANTS)
def test_each_constant_is_that_of_the_library(name: str) -> None:
    assert getattr(FakeNvml, name) == getattr(pynvml, name)


def test_suspension_draws_nothing_and_loads_are_summed_up() -> None:
    board = FakeBoard("GPU-a", load=lambda at_s: 100.0 * at_s, counter_mj=0.0)
    nvml = FakeNvml([board])
    nvml.advance(2.0)
    assert board.counter_mj == pytest.approx(200_000)
    nvml.suspend(100.0)
    assert nvml.clock() == 102
    assert board.counter_mj == pytest.approx(200_000)
