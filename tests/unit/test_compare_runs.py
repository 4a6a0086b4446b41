"""Which runs nothing beats, and which are not ranked, for what reason."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import component, job, settlement

from providers.base import Triple
from scheduler.errors import UsageError
from scheduler.models import IntensityUsed, JobState
from scheduler.report import exports, runs_view
from scheduler.report.runs import Run, compare


def _run(job_id: str, grams: float | None = 3.0, **metrics: float) -> Run:
    return Run(job(job_id, name=f"n-{job_id}"), settlement(grams=grams, metrics=metrics))


def _by_id(*runs: Run, metric: str | None = "m", better: Any = "higher") -> dict[str, Run]:
    found = compare(runs, metric, better)
    jsonschema.validate(runs_view.document(found), json.loads(exports.published("compare")))
    assert runs_view.text(found)
    return {run.job.id: run for run in found.runs}


points = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-3, 3)), min_size=2, max_size=8
)  # few values, so that ties and equals come


@given(points, st.sampled_from(["higher", "lower"]))
def test_the_front_is_what_no_other_beats(given_points: list[tuple[int, int]], better: Any) -> None:
    runs = [_run(f"{i:08x}", float(g), m=float(m)) for i, (g, m) in enumerate(given_points)]
    found = compare(runs, "m", better)
    sign = 1 if better == "higher" else -1
    for run, (grams, metric) in zip(found.runs, given_points, strict=True):
        beaten = any(
            (g <= grams and sign * m > sign * metric) or (g < grams and sign * m >= sign * metric)
            for g, m in given_points
        )
        assert run.pareto is not beaten
    assert any(run.pareto for run in found.runs)


@given(points)
def test_the_order_of_the_runs_does_not_matter(given_points: list[tuple[int, int]]) -> None:
    runs = [_run(f"{i:08x}", float(g), m=float(m)) for i, (g, m) in enumerate(given_points)]
    one = {run.job.id: run.pareto for run in compare(runs, "m", "higher").runs}
    other = {run.job.id: run.pareto for run in compare(runs[::-1], "m", "higher").runs}
    assert one == other


def test_a_run_on_another_signal_is_said_to_be_so_and_not_ranked() -> None:
    marginal = IntensityUsed("marginal", "actual", "a source", Triple.exact(1.0))
    odd = Run(job("c"), settlement(intensity=marginal, metrics={"m": 9.0}))
    found = _by_id(_run("a", m=1.0), _run("b", 4.0, m=2.0), odd)
    assert (found["a"].pareto, found["b"].pareto, found["c"].pareto) == (True, True, None)
    assert found["c"].why == "another basis: signal: marginal, not average"
    beside = _by_id(_run("a"), _run("b"), odd, metric=None)
    assert beside["c"].differs == ("signal: marginal, not average",)
    assert "c stands on another basis" in runs_view.text(
        compare(list(beside.values()), None, "higher")
    )


def test_a_run_with_a_part_that_was_not_read_is_not_ranked() -> None:
    parts = (component("cpu", 0.001), component("dram", None))
    half = Run(job("c"), settlement(*parts, metrics={"m": 9.0}))
    found = _by_id(_run("a", m=1.0), _run("b", m=2.0), half)
    assert found["c"].pareto is None
    assert found["c"].why == (
        "another basis: energy of cpu, not of cpu, dram; not read: dram, not nothing"
    )


def test_a_run_on_a_gpu_is_ranked_beside_one_without() -> None:
    """Both count all that they held: that is the comparison that a user wants."""
    board = (component("cpu", 0.001), component("dram", 0.001), component("gpu:GPU-1", 0.5))
    found = _by_id(_run("a", m=1.0), Run(job("b", gpus=1), settlement(*board, metrics={"m": 2.0})))
    assert found["b"].pareto is True
    unread = (component("cpu", 0.001), component("dram", 0.001), component("gpu:GPU-1", None))
    found = _by_id(
        _run("a", m=1.0),
        _run("c", m=1.0),
        Run(job("b", gpus=1), settlement(*unread, metrics={"m": 2.0})),
    )
    assert found["b"].why == "another basis: not read: gpu, not nothing"


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (Run(job("b"), None), "it has not run"),
        (
            Run(job("b", state=JobState.FAILED), settlement(metrics={"m": 9.0})),
            "it has not succeeded",
        ),
        (Run(job("b"), settlement(metrics={"k": 9.0})), "it wrote no metric.m"),
        (
            Run(job("b"), settlement(component("cpu", None), grams=None, metrics={"m": 9.0})),
            "its energy is not known",
        ),
    ],
)
def test_what_cannot_be_ranked_says_why(run: Run, why: str) -> None:
    found = _by_id(_run("a", m=1.0), run, _run("c", m=0.5))
    assert found["b"].pareto is None
    assert why in found["b"].why
    assert found["a"].pareto is True, "and takes nothing from the others"


def test_grams_give_way_to_what_is_known_of_all() -> None:
    bare = Run(job("a"), settlement(embodied=None, metrics={"m": 1.0}))
    found = compare([bare, _run("b", m=2.0)], "m", "higher")
    assert found.against == "operational_g"
    assert "embodied carbon is not known of every run" in found.notes[0]
    found = compare([_run("a", None, m=1.0), _run("b", m=2.0)], "m", "higher")
    assert found.against == "energy_kwh"
    assert [run.pareto for run in found.runs] == [False, True], "the signal does not count in kWh"


def test_other_sources_methods_and_states_are_noted() -> None:
    estimate = IntensityUsed("average", "estimate", "a table", Triple.exact(1.0))
    parts = (component("cpu", 0.001, "measured"), component("dram", 0.001))
    odd = replace(settlement(*parts), intensity=estimate, status="provisional", unit="epochs")
    notes = "\n".join(compare([_run("a"), Run(job("b"), odd)], None, "higher").notes)
    for said in (
        "actual of a source; estimate of a table", "cpu is measured in some runs, modelled in oth",
        "per different units: epochs, job", "provisional",
    ):  # fmt: skip
        assert said in notes


def test_nobody_ranked_is_no_front() -> None:
    failed = Run(job("a", state=JobState.FAILED), settlement(metrics={"m": 1.0}))
    found = _by_id(failed, replace(failed, job=replace(failed.job, id="b")))
    assert {run.pareto for run in found.values()} == {None}


def test_a_metric_of_no_run_is_refused() -> None:
    with pytest.raises(UsageError, match=r"metric\.x=.*known: m"):
        compare([_run("a", m=1.0)], "x", "higher")


def test_hostile_names_stay_in_their_cells() -> None:
    bad = "a|b\n\x1b[2J"
    run = Run(job("b", name=bad), settlement(unit=bad, metrics={"m": 1.0, bad: 2.0}))
    shown = runs_view.text(compare([_run("a", m=1.0), run], "m", "higher"))
    assert "\x1b" not in shown
    assert "a|b\\n\\x1b[2J" in shown
