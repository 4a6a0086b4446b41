"""What the ledger of the host says, in settlements and their sums."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import ZERO, Component, Journal, Reading, Sample
from scheduler.cli import doctor
from scheduler.cli.main import cli
from scheduler.engine import settling
from scheduler.errors import UsageError
from scheduler.meter import track
from scheduler.models import Figures, JobState
from scheduler.report.schema.totals import JobCost, Totals
from scheduler.report.summary import summed, table
from scheduler.sci import AttemptRecord
from scheduler.sci.attribution import held_slot_s
from scheduler.store import values

if TYPE_CHECKING:
    from pathlib import Path

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
CPU = Component("cpu", "modelled", "test")


def _attempt(share_s: float | None, *, run_s: float = 100.0, **meta: Any) -> AttemptRecord:
    """100 s of samples, in which 150 CPU seconds were used."""
    begin = T0.timestamp()
    samples = (
        Sample(begin, 0.0, (Reading("cpu", ZERO, ZERO, 0.0),), share_s),
        Sample(begin + 100, 150.0, (Reading("cpu", ZERO, ZERO, 100.0),), share_s),
    )
    end = T0 + timedelta(seconds=run_s)
    return AttemptRecord(T0, end, 0, Journal((CPU,), samples, (), meta))


@pytest.mark.parametrize(
    ("attempt", "slots", "held_s"),
    [
        (_attempt(25.0, cpus=8), 2, 200.0),  # a quarter of 8 CPUs
        (_attempt(25.0, cpus=8, suspended_s=50.0), 2, 300.0),  # held while the machine slept
        (_attempt(25.0, run_s=150.0, cpus=8), 2, 300.0),  # its runner died at 100 s
        (_attempt(None, cpus=8), 2, 200.0),  # of a version that had no ledger
        (_attempt(None, cpus=8), 1, 150.0),
        (_attempt(None, cpus=2), 64, 200.0),  # no more than the machine
        (_attempt(None), 64, 6400.0),
    ],
)
def test_what_was_held_is_what_fell_to_the_run(
    attempt: AttemptRecord, slots: int, held_s: float
) -> None:
    assert held_slot_s(attempt, slots) == pytest.approx(held_s)


def _figures(kwh: float, within: str | None = None) -> Figures:
    each = (kwh, kwh, kwh)
    return Figures(each, each, each, each, each, each, each, False, 50.0, within)


def _cost(job_id: str, figures: Figures | None) -> JobCost:
    return JobCost(job_id, JobState.SUCCEEDED, figures)


def test_a_job_within_another_one_counts_there_alone() -> None:
    totals = Totals()
    totals.add(_cost("outer", _figures(3.0)))
    totals.add(_cost("inner", _figures(1.0, "outer")), inner=True)
    totals.add(_cost("unknown", None))
    content = totals.as_json()
    assert (content["jobs"], content["jobs_within"]) == (3, 1)
    assert content["energy_kwh"]["reserved"]["value"] == 3.0
    assert content["jobs_without"]["reserved_kwh"] == 1


@pytest.mark.parametrize(
    ("outer", "by_name"),
    [("sweep", {"sweep": 3.0}), ("script", {"script": 3.0, "sweep": 1.0}), (None, {"sweep": 1.0})],
)
def test_sums_count_it_where_the_outer_one_is_not_among_them(
    outer: str | None, by_name: dict[str, float]
) -> None:
    """Each sum by itself: that of a group, and that of all."""
    found = [
        (outer, _cost("outer", _figures(3.0))),
        ("sweep", _cost("inner", _figures(1.0, "outer"))),
    ]
    summary = summed(found if outer is not None else found[1:], "group")
    rows = {row["name"]: row["energy_kwh"]["reserved"]["value"] for row in summary["groups"]}
    assert rows == by_name
    whole = summary["totals"]["energy_kwh"]["reserved"]["value"]
    assert whole == (3.0 if outer is not None else 1.0)
    assert ("1 within another job" in table(summary)) is (outer is not None)


def test_the_mark_is_stored_and_rows_from_before_it_are_read() -> None:
    made = _figures(1.0, "outer")
    text = values.figures_text(made)
    assert values.figures(text) == made
    before = json.dumps(json.loads(text)[:9])
    assert values.figures(before) == _figures(1.0)


@pytest.mark.parametrize(
    ("within", "gpus", "found"),
    [("outer", 0, "outer"), ("outer", 1, None), ("elsewhere", 0, None), (["x"], 0, None)],
)
def test_a_settlement_is_within_a_job_of_its_own_queue(
    within: object, gpus: int, found: str | None
) -> None:
    """Not within a run that no sum counts; nor where it has boards, which count in it alone."""

    def get(name: str) -> SimpleNamespace:
        if name != "outer":
            raise UsageError("no such job")
        return SimpleNamespace(id=name)

    ctx: Any = SimpleNamespace(store=SimpleNamespace(jobs=SimpleNamespace(get=get)))
    job: Any = SimpleNamespace(spec=SimpleNamespace(gpus=gpus))
    if isinstance(within, list):
        records = [_attempt(1.0, within="outer"), _attempt(1.0)]
    else:
        records = [_attempt(1.0, within=within)]
    assert settling._outer(ctx, job, records) == found


def test_a_run_within_a_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path))
    script = "from scheduler.meter import track\nwith track() as run: pass\nprint(run.report())"
    with track() as outer:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
    said = " ".join(done.stdout.split())
    assert f"this run lies within run {outer.id}, whose energy holds" in said


def test_no_run_holds_more_than_the_machine(tmp_path: Path) -> None:
    cpus = os.cpu_count() or 1
    with pytest.raises(UsageError, match=f"this machine has {cpus} logical CPUs"):
        cli.main(["meter", "--slots", str(cpus + 1), "--", "true"], standalone_mode=False)
    with pytest.raises(UsageError), track(slots=cpus + 1):
        pass


def test_doctor_warns_of_slots_that_are_not_there() -> None:
    here = [
        SimpleNamespace(name="a", executor="local", slots=(1, 16)),
        SimpleNamespace(name="b", executor="slurm", slots=(99,)),
        SimpleNamespace(name="c", executor="local", slots=None),
    ]
    ctx: Any = SimpleNamespace(regions=SimpleNamespace(configured=here))
    ((name, fine, said),) = doctor._slots(ctx, 2)
    assert (name, fine) == ("slots", False)
    assert "regions.a.slots: 16 slots are lent of 2 logical CPUs" in said
    assert not list(doctor._slots(ctx, 16))
