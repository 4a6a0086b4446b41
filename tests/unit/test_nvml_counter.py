"""The energy counter of a board: one odd reading is judged by the next."""

from __future__ import annotations

import pytest

from providers.meters.nvml.counter import Counter, Step

CEILING_W = 600.0


def _steps(*readings: float | None, start: float = 5000.0) -> list[Step]:
    """One reading a second, of a board that draws power."""
    counter = Counter(0.0, start)
    return [counter.step(float(i), r, CEILING_W, True) for i, r in enumerate(readings, 1)]


def _total(steps: list[Step]) -> tuple[float, float, float]:
    """Joules, seconds told of by the counter, and seconds of gap."""
    told = [s for s in steps if s.event not in {"wait", "unread", "still"}]
    return (
        sum(s.joules for s in told),
        sum(s.span_s for s in told),
        sum(s.gap_s for s in steps),
    )


@pytest.mark.parametrize("odd", [0.0, 1e9])
def test_a_torn_reading_is_passed_over_and_nothing_is_lost(odd: float) -> None:
    steps = _steps(5100.0, odd, 5300.0, 5400.0)
    assert [s.event for s in steps] == ["counted", "wait", "torn", "counted"]
    assert _total(steps) == (400.0, 4.0, 0.0)


def test_a_reset_is_a_gap_and_the_count_goes_on_from_it() -> None:
    steps = _steps(5100.0, 50.0, 150.0, 250.0)
    assert [s.event for s in steps] == ["counted", "wait", "reset", "counted"]
    assert _total(steps) == (300.0, 3.0, 1.0)


def test_two_resets_in_a_row_are_one_longer_gap() -> None:
    steps = _steps(5100.0, 3000.0, 10.0, 110.0, 210.0)
    assert [s.event for s in steps] == ["counted", "wait", "wait", "reset", "counted"]
    assert _total(steps) == (300.0, 3.0, 2.0)


def test_a_counter_that_leaps_for_good_is_a_gap() -> None:
    steps = _steps(5100.0, 1e9, 1e9 + 100)
    assert [s.event for s in steps] == ["counted", "wait", "leap"]
    assert _total(steps) == (200.0, 2.0, 1.0)


def test_a_reset_right_after_the_driver_was_loaded_is_no_torn_reading() -> None:
    """The count goes on from the low reading and from the one before: the low one is believed."""
    steps = _steps(0.0, 250.0, start=200.0)
    assert [s.event for s in steps] == ["wait", "reset"]


def test_a_reading_that_fails_is_told_of_and_the_next_begins_anew() -> None:
    steps = _steps(5100.0, None, 5300.0, 5400.0)
    assert [s.event for s in steps] == ["counted", "unread", "unread", "counted"]
    assert _total(steps) == (200.0, 2.0, 0.0)
    assert sum(s.span_s for s in steps) == 4.0


def test_one_renewed_seldom_loses_nothing_and_one_that_stands_is_seen() -> None:
    steps = _steps(5000.0, 5200.0, 5200.0, 5400.0)
    assert [s.event for s in steps] == ["wait", "counted", "wait", "counted"]
    assert _total(steps) == (400.0, 4.0, 0.0)
    assert [s.event for s in _steps(5000.0, 5000.0, 5000.0)] == ["wait", "still", "wait"]
    # After a reset too: power is what is left.
    stuck = [s.event for s in _steps(0.0, 0.0, 0.0, 0.0)]
    assert stuck == ["wait", "wait", "still", "wait"]
    idle = Counter(0.0, 5000.0)
    assert idle.step(1.0, 5000.0, CEILING_W, False).event == "counted"


def test_a_long_time_without_a_look_is_bridged_by_what_can_have_been_drawn() -> None:
    counter = Counter(0.0, 5000.0)
    assert counter.step(3600.0, 5000.0 + 3600 * 300, CEILING_W, True).joules == 3600 * 300
    assert counter.step(7200.0, 1e9, CEILING_W, True).event == "wait"
