"""Laws of time stamps and cells, however the stamps lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from providers.intensity.stamps import JITTER, ROUND_S, lengths, snapped
from providers.series import Series, from_unix
from scheduler.simulate.grid import CELLS_A_ROW, Grid, grid_of, on_grid

START = 1_767_225_600.0
times = st.lists(st.floats(0, 1e7), min_size=2, max_size=60, unique=True).map(
    lambda found: START + np.unique(np.round(found, 3))
)
gaps = st.lists(st.sampled_from([1.0, 59.0, 900.0, 3599.0, 3600.0, 7200.0, 1e5]), min_size=2)
stamps = (times | gaps.map(lambda g: START + np.cumsum(g))).filter(lambda found: len(found) > 1)


def _series(starts: np.ndarray, values: np.ndarray | None = None) -> Series:
    value = np.arange(len(starts)) % 7 * 100.0 if values is None else values
    names = np.full(len(starts), "test")
    ends = starts + lengths(starts)
    return Series(
        "X", "average", "actual", from_unix(START), starts, ends, value, value, value, names
    )


@given(stamps)
def test_no_stamp_moves_by_more_than_a_tenth_of_its_step_and_none_twice(found: np.ndarray) -> None:
    on = snapped(found)
    assert np.all(np.diff(on) > 0)
    assert np.max(np.abs(on - found)) <= JITTER * ROUND_S[0]
    assert np.array_equal(snapped(on), on)


@given(stamps)
def test_a_value_holds_until_the_next_one_at_most(found: np.ndarray) -> None:
    held = lengths(found)
    assert np.all(held > 0)
    assert np.all(held[:-1] <= np.diff(found))


@given(stamps)
def test_cells_follow_the_rows_and_keep_what_is_known(found: np.ndarray) -> None:
    """Not the finest difference; a hole adds cells, as it adds time."""
    series = _series(snapped(found))
    grid, notes = grid_of((series,))
    known_s = float(np.sum(series.ends - series.starts))
    assert known_s / grid.step_s <= CELLS_A_ROW * len(series) * (1 + JITTER) + 1
    assert grid.start_s <= series.starts[0]
    assert grid.start_s + grid.cells * grid.step_s >= series.ends[-1] - 1e-3
    row = on_grid(series, grid)
    inside = row[~np.isnan(row)]
    assert np.all((inside >= 0) & (inside <= 600))
    if not notes:
        area = float(np.nansum(row) * grid.step_s)
        assert np.isclose(area, np.sum((series.ends - series.starts) * series.g_per_kwh))


@given(stamps, st.floats(0, 2000))
def test_the_mean_of_what_never_changes_is_that(found: np.ndarray, value: float) -> None:
    series = _series(snapped(found), np.full(len(found), value))
    grid, _ = grid_of((series,))
    row = on_grid(series, grid)
    assert np.allclose(row[~np.isnan(row)], value, rtol=1e-6, atol=1e-6)


@given(st.integers(-50, 150), st.integers(1, 1000), st.sampled_from([300.0, 3600.0]))
def test_a_part_on_the_lines_of_the_grid_is_cut_there(first: int, count: int, step: float) -> None:
    """What lies beyond the grid has no cells."""
    grid = Grid(START, step, 100)
    at, part = grid.cut(START + first * step, START + (first + count) * step)
    low, high = max(0, min(first, 100)), max(0, min(first + count, 100))
    assert (at, part) == (low, Grid(START + low * step, step, high - low))
