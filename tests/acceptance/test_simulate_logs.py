"""``simulate`` on other logs: a cluster's accounting (sacct), the Standard Workload Format."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.simulation import (
    FILES,
    last_line,
    one_line,
    utc,
    write_csv,
    write_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_inputs(tmp_path)
    return tmp_path


SACCT = ("--sacct", "sacct.txt", "--trace", "trace.csv", "--region", "DE")
ROWS = [
    ("1", utc(0), utc(1), "COMPLETED", "4", "02:00:00", "cpu=4"),
    ("1.batch", utc(1), utc(1), "COMPLETED", "4", "02:00:00", "cpu=4"),
    ("2", utc(3), utc(3), "TIMEOUT", "2", "01:30:00", "cpu=2,gres/gpu=1"),
    ("3", utc(4), "Unknown", "CANCELLED by 5", "0", "00:00:00", ""),
]


def _sacct(folder: Path) -> None:
    head = "JobID|Submit|Start|State|AllocCPUS|Elapsed|AllocTRES"
    # Berlin's time, as sacct there would write it: an hour ahead, without an offset.
    local = [[field.removesuffix("Z") for field in row] for row in ROWS]
    for row in local:
        for n in (1, 2):
            if row[n] != "Unknown":
                row[n] = (datetime.fromisoformat(row[n]) + timedelta(hours=1)).isoformat()
    (folder / "sacct.txt").write_text("\n".join([head, *("|".join(row) for row in local)]))


def test_a_cluster_s_accounting_gives_what_the_same_job_log_gives(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    _sacct(folder)
    more = ("--tz", "Europe/Berlin", "--power-per-slot", "25W", "--power-per-gpu", "300W")
    told = lowtide("simulate", *SACCT, *more, "--slack", "6h", "--json")
    assert told.code == 0, told.err
    header = "job_id,submitted_utc,duration_s,deadline_utc,slots,power_w"
    rows = [("1", utc(0), 7200, utc(9), 4, 100), ("2", utc(3), 5400, utc(10.5), 2, 350)]
    write_csv(folder / "jobs.csv", header, rows)
    same = lowtide("simulate", *FILES, "--region", "DE", "--json").json
    figures = told.json
    past = figures.pop("sacct")
    assert figures | {"planning_seconds": 0} == same | {"planning_seconds": 0}
    assert past["left_out"] == {"steps_of_jobs": 1, "never_ran": 1}
    assert (past["jobs"], past["tz"], past["slack_s"]) == (2, "Europe/Berlin", 21600)
    assert (past["power_per_slot_w"], past["power_per_gpu_w"]) == (25, 300)
    assert "left out 1: never ran" in told.err
    assert "run now is each job's submission" in told.err


def test_power_that_nobody_gave_is_assumed_with_its_source_or_left_out(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    _sacct(folder)
    told = lowtide("simulate", *SACCT, "--tz", "Europe/Berlin", "--json")
    past = told.json["sacct"]
    assert past["left_out"]["power_of_gpus_not_given"] == 1
    assert past["jobs"] == 1
    assert "Cloud Carbon Footprint" in past["power_per_slot_source"]
    assert past["power_per_slot_w"] > 0
    assert "give --power-per-gpu" in told.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--trace", "trace.csv"), "give either --jobs FILE"),
        ((*FILES, "--sacct", "sacct.txt"), "give either --jobs FILE"),
        ((*FILES, "--slack", "2h"), "--slack belongs to --sacct"),
        ((*FILES, "--slurm-energy"), "--slurm-energy belongs to --sacct"),
        ((*FILES, "--sacct-columns", "JobID"), "--sacct-columns belongs to --sacct"),
        ((*FILES, "--jobs-start", "2026-01-01T00:00Z"), "--jobs-start belongs to a log in the"),
        ((*SACCT, "--jobs-start", "2026-01-01T00:00Z"), "--jobs-start belongs to a --jobs log"),
        ((*SACCT, "--slack", "soon"), "--slack: invalid duration 'soon'"),
        ((*SACCT, "--tz", "Europe/Berln"), "did you mean 'Europe/Berlin'"),
        ((*SACCT, "--power-per-slot", "9V"), "--power-per-slot: '9V'"),
        (("--sacct", "nowhere", "--trace", "trace.csv"), "nowhere: sacct's output cannot be read"),
        (("--sacct", "jobs.csv", "--trace", "trace.csv"), "write it with sacct -P"),
    ],
)
def test_what_is_asked_wrongly_of_accounting_is_one_line(
    lowtide: Callable[..., Any], folder: Path, argv: tuple[str, ...], said: str
) -> None:
    _sacct(folder)
    one_line(lowtide("simulate", *argv, "--json"), 2, said)


def test_a_log_in_the_standard_workload_format_gives_what_the_same_job_log_gives(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    """By its content, as nothing in the name says it; its second 0 is the trace's start."""
    lines = "; Computer: test\n1 3600 600 7200 4 -1 -1 4\n2 10800 -1 5400 2 -1 -1 -1\n"
    (folder / "log.txt").write_text(lines + "3 10800 -1 -1 2 -1 -1 -1\n")
    given = ("--jobs", "log.txt", "--trace", "trace.csv", "--region", "DE")
    told = lowtide("simulate", *given, "--power-per-slot", "25W", "--slack", "6h", "--json")
    assert told.code == 0, told.err
    header = "job_id,submitted_utc,duration_s,deadline_utc,slots,power_w"
    ends = (1 + 1 / 6 + 2 + 6, 3 + 1.5 + 6)
    rows = [
        ("1", utc(1), 7200, utc(ends[0]), 4, 100),
        ("2", utc(3), 5400, utc(ends[1]), 2, 50),
    ]
    write_csv(folder / "jobs.csv", header, rows)
    same = lowtide("simulate", *FILES, "--region", "DE", "--json").json
    figures = told.json
    past = figures.pop("swf")
    assert figures | {"planning_seconds": 0} == same | {"planning_seconds": 0}
    assert past["left_out"] == {"run_time_unknown": 1}
    assert (past["jobs"], past["slack_s"], past["power_per_slot_w"]) == (2, 21600, 25)
    assert "the trace's start: the log has no UnixStartTime" in told.err
    moved = lowtide("simulate", *given, "--jobs-start", utc(500), "--json")
    last_line(moved, 4, "all 2 jobs lie outside the trace (2026-01-05 to 2026-01-08)")
    wrong = lowtide("simulate", *given, "--jobs-start", "soon", "--json")
    one_line(wrong, 2, "--jobs-start: 'soon' is no time")


def test_accounting_without_a_header_goes_in_by_the_names_of_its_columns(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    _sacct(folder)
    more = ("--tz", "Europe/Berlin", "--json")
    plain = lowtide("simulate", *SACCT, *more).json
    head, _, rest = (folder / "sacct.txt").read_text().partition("\n")
    (folder / "sacct.txt").write_text(rest)
    bare = lowtide("simulate", *SACCT, *more)
    one_line(bare, 2, "its first row is not sacct's header")
    named = lowtide("simulate", *SACCT, *more, "--sacct-columns", head.replace("|", ",")).json
    assert named | {"planning_seconds": 0} == plain | {"planning_seconds": 0}
