"""Units of work and metrics from what a job wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.sci import count
from scheduler.sci.work import LONGEST_NAME, MOST_NAMES, done, together, unit_name


def test_units_are_summed_and_the_last_metric_counts() -> None:
    lines = [("epochs", 1.0), ("metric.accuracy", 0.5), ("epochs", 2.0), ("metric.accuracy", 0.97)]
    work = count(lines)
    assert work.units == {"epochs": 3.0}
    assert work.metrics == {"accuracy": 0.97}


def test_parameters_are_a_size_and_never_summed() -> None:
    """Each attempt declares the same model; a smaller one tried on the way takes nothing away."""
    work = count([("parameters", 7e9), ("parameter", 7e9), ("parameters", 1e9)])
    assert work.units == {"parameters": 7e9}
    assert together([{"parameters": 7e9, "tokens": 1.0}, {"parameters": 1e9, "tokens": 2.0}]) == {
        "parameters": 7e9,
        "tokens": 3.0,
    }


@pytest.mark.parametrize(
    ("written", "kept"),
    [("flop", "flops"), ("FLOPs", "flops"), ("token", "tokens"), ("Parameters", "parameters"),
     ("epoch", "epoch"), ("Epochs", "Epochs")],
)  # fmt: skip
def test_units_of_sci_for_ai_have_one_name(written: str, kept: str) -> None:
    assert unit_name(written) == kept
    assert set(count([(written, 2.0), (kept, 3.0)]).units) == {kept}
    assert done(count([(kept, 4.0)]), written) == 4.0


def test_a_hostile_file_is_bounded() -> None:
    many = [(f"{kind}{i}", 1.0) for i in range(10 * MOST_NAMES) for kind in ("u", "metric.m")]
    work = count([*many, ("x" * (LONGEST_NAME + 1), 1.0), ("metric.", 1.0), ("u0", 1.0)])
    assert len(work.units) == len(work.metrics) == MOST_NAMES
    assert work.units["u0"] == 2.0, "a known name still counts"
    assert work.metrics["m0"] == 1.0


def test_names_that_could_steer_a_terminal_do_not_count() -> None:
    assert count([("\x1b[2Jx", 1.0), ("metric.a\x07", 1.0)]).units == {}
    assert count([("metric.a\x07", 1.0)]).metrics == {}


def test_a_count_that_no_score_can_be_divided_by_does_not_count() -> None:
    assert count([("tokens", 5e-324)]).units == {}
    assert done(count([("tokens", 5e-324)]), "tokens") is None
    assert count([("tokens", 1.0), ("tokens", -1.0)]).units == {"tokens": 0.0}


def test_a_sum_beyond_all_numbers_is_not_taken() -> None:
    assert count([("tokens", 1.7e308), ("tokens", 1.7e308)]).units == {"tokens": 1.7e308}


@given(st.lists(st.tuples(st.sampled_from(["tokens", "parameters", "a"]), st.integers(0, 99))))
def test_work_of_several_jobs_is_that_of_their_lines_in_a_row(lines: list[tuple[str, int]]) -> None:
    for cut in range(len(lines) + 1):
        parts = [count((n, float(v)) for n, v in part).units for part in (lines[:cut], lines[cut:])]
        assert together(parts) == count((n, float(v)) for n, v in lines).units
