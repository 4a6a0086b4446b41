"""Job logs in the Standard Workload Format."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.errors import UsageError
from scheduler.simulate import Past, is_swf, read_swf

# The first lines of NASA-iPSC-1993 in the Parallel Workloads Archive, and one that ends early.
HEADER = "; Version: 2.2\n; Computer: Intel iPSC/860\n; UnixStartTime: 749458803\n"
LINES = """\
    1      0     -1   1460  128   -1     -1   -1    -1    -1  -1   1   1  -1   1  -1  -1  -1
2 1460 30 62.5 16 -1 -1 32 -1 -1 1 1 1 1 -1 -1 -1
"""
TRACE_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def _read(folder: Path, text: str, start_s: float | None = None) -> Past:
    path = folder / "log.swf"
    path.write_text(text)
    return read_swf(path, start_s, TRACE_S, 3600.0, 5.0)


def test_a_log_is_read_with_its_own_start(tmp_path: Path) -> None:
    past = _read(tmp_path, HEADER + LINES)
    first, second = past.jobs
    assert (first.id, first.submitted_s, first.duration_s) == ("1", 749458803.0, 1460.0)
    assert (first.slots, first.power_w, first.regions) == (128, 640.0, ())
    assert first.deadline_s == 749458803 + 1460 + 3600
    assert second.deadline_s == 749458803 + 1460 + 30 + 62.5 + 3600
    assert second.slots == 16
    assert past.left_out == {}
    assert past.notes == (
        "second 0 of the log is 1993-10-01T07:00:03Z",
        "1 jobs have no wait time: they count as run when submitted",
    )


@pytest.mark.parametrize(
    ("head", "start_s", "zero_s"),
    [
        ("", None, TRACE_S),
        ("; UnixStartTime: 0\n", None, TRACE_S),
        ("; UnixStartTime: -1\n", None, TRACE_S),
        (HEADER, 1e9, 1e9),
    ],
)
def test_a_log_without_a_date_begins_with_the_trace_or_when_the_user_says(
    tmp_path: Path, head: str, start_s: float | None, zero_s: float
) -> None:
    past = _read(tmp_path, head + LINES, start_s)
    assert past.jobs[0].submitted_s == zero_s
    assert ("the trace's start" in past.notes[0]) == (start_s is None)


def _line(**fields: float) -> str:
    names = ("n", "submit", "wait", "run", "procs", "cpu", "memory", "asked", "time", "m", "status")
    usual = dict.fromkeys(names, -1.0) | {"n": 9, "submit": 5, "run": 60, "procs": 2, "status": 1}
    return " ".join(f"{(usual | fields)[name]:g}" for name in names) + " -1" * 7 + "\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (_line(run=-1), "run_time_unknown"),
        (_line(run=0), "never_ran"),
        (_line(submit=-1), "submission_unknown"),
        (_line(procs=-1), "processors_unknown"),
        (_line(status=2), "parts_of_jobs"),
        (_line(status=3), "parts_of_jobs"),
        (_line(status=4), "parts_of_jobs"),
        (_line(n=1), "listed_twice"),
    ],
)
def test_what_cannot_be_run_is_left_out_by_its_reason(tmp_path: Path, line: str, why: str) -> None:
    assert _read(tmp_path, LINES + line).left_out == {why: 1}


def test_processors_that_were_asked_for_stand_in_for_those_that_are_unknown(tmp_path: Path) -> None:
    (job,) = _read(tmp_path, _line(procs=-1, asked=7)).jobs
    assert job.slots == 7


def test_failed_and_cancelled_jobs_that_ran_count(tmp_path: Path) -> None:
    past = _read(tmp_path, _line(status=0) + _line(n=10, status=5))
    assert len(past.jobs) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER, r"no job in it that ran \(no row\)"),
        (HEADER + _line(run=-1), r"no job in it that ran \(1 run time unknown\)"),
        (HEADER + "1 0 10 many 1 -1\n", "row 4: '1 0 10 many 1 -1' is not a line of 5 to 18"),
        (HEADER + "1 0 10\n", "row 4: '1 0 10' is not a line"),
        (HEADER + "1 " * 19 + "\n", "row 4: "),
        (HEADER + "1 0 10 inf 1\n", "row 4: "),
    ],
)
def test_a_damaged_log_is_one_line_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        _read(tmp_path, text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "swf"),
    [
        ("log.swf", "job_id\n", True),
        ("log.swf.gz", "", True),
        ("log.txt", HEADER + LINES, True),
        ("log", f"\n{LINES}", True),
        ("log", "job_id,submitted_utc\n", False),
        ("log", "", False),
    ],
)
def test_a_log_is_known_by_its_name_or_its_first_line(
    tmp_path: Path, name: str, text: str, swf: bool
) -> None:
    (tmp_path / name).write_text(text)
    assert is_swf(tmp_path / name) is swf
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    assert is_swf(tmp_path / name) is swf
    assert not is_swf(tmp_path / "absent")


def test_a_compressed_log_with_comments_in_an_old_encoding(tmp_path: Path) -> None:
    path = tmp_path / "log.swf.gz"
    path.write_bytes(gzip.compress("; Université\n".encode("latin-1") + LINES.encode()))
    assert len(read_swf(path, None, TRACE_S, 0.0, 5.0).jobs) == 2
