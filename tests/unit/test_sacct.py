"""A cluster's accounting as a job log. REAL is what a Slurm 22.05 with slurmdbd wrote."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.errors import UsageError
from scheduler.simulate import Past, Rates, read_sacct

# sacct -P -a -D -S now-1hour -o JobID,Account,User,Partition,Submit,Start,End,State,AllocCPUS,...
REAL = """\
JobID|Account|User|Partition|Submit|Start|End|State|AllocCPUS|Elapsed|ElapsedRaw|Timelimit|AllocTRES|ConsumedEnergyRaw
1|root|root|eu-north-1|2026-11-24T22:43:45|2026-11-24T22:43:46|2026-11-24T22:43:49|COMPLETED|1|00:00:03|3|365-00:00:00|billing=1,cpu=1,node=1|0
1.batch|root|||2026-11-24T22:43:46|2026-11-24T22:43:46|2026-11-24T22:43:49|COMPLETED|1|00:00:03|3||cpu=1,mem=0,node=1|0
1.0|root|||2026-11-24T22:43:46|2026-11-24T22:43:46|2026-11-24T22:43:49|COMPLETED|1|00:00:03|3||cpu=1,mem=0,node=1|0
2|root|root|eu-north-1|2026-11-24T22:43:45|2026-11-24T22:43:46|2026-11-24T22:43:48|COMPLETED|2|00:00:02|2|365-00:00:00|billing=2,cpu=2,node=1|
4|root|root|eu-north-1|2026-11-24T22:43:45|2026-11-24T22:43:48|2026-11-24T22:43:50|COMPLETED|1|00:00:02|2|UNLIMITED|billing=1,cpu=1,gres/gpu=2,node=1|
5|root|root|eu-north-1|2026-11-24T22:43:45|2026-11-24T22:43:49|2026-11-24T22:43:49|FAILED|1|00:00:00|0|UNLIMITED|billing=1,cpu=1,node=1|
6|root|root|eu-north-1|2026-11-24T22:43:45|2026-11-24T22:43:50|2026-11-24T22:43:53|CANCELLED by 0|1|00:00:03|3|365-00:00:00|billing=1,cpu=1,node=1|
7|root|root|eu-north-1|2026-11-24T22:43:45|2026-11-24T22:43:50|2026-11-24T22:43:53|REQUEUED|1|00:00:03|3|UNLIMITED|billing=1,cpu=1,node=1|
3_1|root|root|eu-north-1|2026-11-24T22:43:45|2026-11-24T22:43:46|2026-11-24T22:43:48|COMPLETED|1|00:00:02|2|365-00:00:00|billing=1,cpu=1,node=1|
3_1.batch|root|||2026-11-24T22:43:46|2026-11-24T22:43:46|2026-11-24T22:43:48|COMPLETED|1|00:00:02|2||cpu=1,mem=0,node=1|0
7|root|root|eu-north-1|2026-11-24T22:43:53|2026-11-24T22:43:55|2026-11-24T22:44:01|COMPLETED|1|00:00:06|6|365-00:00:00|billing=1,cpu=1,node=1|
12|root|root|eu-north-1|2026-11-24T22:43:54|2026-11-24T22:43:55|Unknown|RUNNING|1|00:00:12|12|365-00:00:00|billing=1,cpu=1,node=1|
"""  # noqa: E501
# sacct -p -a -X -o State,NCPUS,Elapsed,End,Start,Submit,JobID
OTHER_ORDER = """\
State|NCPUS|Elapsed|End|Start|Submit|JobID|
COMPLETED|2|00:00:02|2026-11-24T22:43:48|2026-11-24T22:43:46|2026-11-24T22:43:45|2|
CANCELLED by 0|1|00:00:03|2026-11-24T22:43:53|2026-11-24T22:43:50|2026-11-24T22:43:45|6|
"""
HEAD = "JobID|Submit|Start|State|AllocCPUS|Elapsed|AllocTRES|ConsumedEnergyRaw\n"


def _read(folder: Path, text: str, zone: str = "UTC", **rates: float | bool | None) -> Past:
    path = folder / "sacct.txt"
    path.write_text(text)
    return read_sacct(path, zone, 3600.0, Rates(**({"per_slot_w": 10.0} | rates)))  # type: ignore[arg-type]


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_real_cluster_s_output_is_read_whole(tmp_path: Path) -> None:
    past = _read(tmp_path, REAL, per_gpu_w=300.0)
    jobs = {job.id: job for job in past.jobs}
    assert set(jobs) == {"1", "2", "4", "6", "7", "7#2", "3_1"}
    assert past.left_out == {"steps_of_jobs": 3, "never_ran": 1, "not_over": 1}
    assert past.notes == ("1 jobs were requeued: each attempt counts as a job",)
    second = jobs["7#2"]
    assert (second.submitted_s, second.duration_s) == (_at("2026-11-24T22:43:53"), 6.0)
    assert second.deadline_s == _at("2026-11-24T22:44:01") + 3600
    assert (jobs["2"].slots, jobs["2"].power_w) == (2, 20.0)
    assert jobs["4"].power_w == 10 + 2 * 300
    assert jobs["1"].regions == ()
    submitted = [job.submitted_s for job in past.jobs]
    assert submitted == sorted(submitted)


def test_jobs_with_gpus_are_left_out_while_nobody_says_what_these_draw(tmp_path: Path) -> None:
    past = _read(tmp_path, REAL)
    assert past.left_out["power_of_gpus_not_given"] == 1
    assert "4" not in {job.id for job in past.jobs}


@pytest.mark.parametrize(
    ("tres", "boards"),
    [
        ("cpu=1,gres/gpu=4,mem=5G", 4),
        ("gres/gpu:a100=2,gres/gpu=3,gres/gpu:t4=1", 3),
        ("cpu=1,gres/gpu:a100=2,gres/gpu:t4=1", 3),
        ("cpu=1,gres/nvme=1", 0),
    ],
)
def test_boards_are_counted_once(tmp_path: Path, tres: str, boards: int) -> None:
    row = f"1|2026-05-01T06:00:00|2026-05-01T06:00:00|COMPLETED|1|01:00|{tres}|"
    (job,) = _read(tmp_path, HEAD + row, per_gpu_w=100.0).jobs
    assert job.power_w == 10 + boards * 100


def test_columns_in_another_order_tell_the_same(tmp_path: Path) -> None:
    whole = {job.id: job for job in _read(tmp_path, REAL).jobs}
    for job in _read(tmp_path, OTHER_ORDER).jobs:
        assert job == whole[job.id]


def test_compressed_with_a_byte_order_mark_and_twice_in_one_file(tmp_path: Path) -> None:
    plain = _read(tmp_path, REAL)
    path = tmp_path / "sacct.txt.gz"
    path.write_bytes(gzip.compress((REAL + REAL).replace("\n", "\r\n").encode("utf-8-sig")))
    again = read_sacct(path, "UTC", 3600.0, Rates(10.0))
    assert again.jobs == plain.jobs
    assert again.left_out["listed_twice"] == len(plain.jobs)


@pytest.mark.parametrize(
    ("elapsed", "seconds"),
    [("05:06", 306), ("01:05:06", 3906), ("2-01:05:06", 176706), ("365-00:00:00", 31536000),
     ("00:05.250", 5)],
)  # fmt: skip
def test_elapsed_is_read_as_sacct_writes_it(tmp_path: Path, elapsed: str, seconds: int) -> None:
    row = f"1|2026-05-01T06:00:00|2026-05-01T06:00:00|TIMEOUT|1|{elapsed}||"
    (job,) = _read(tmp_path, HEAD + row).jobs
    assert job.duration_s == seconds


@pytest.mark.parametrize(
    ("submit", "start", "utc"),
    [
        ("2026-07-01T12:00:00", "2026-07-01T12:00:00", "2026-07-01T10:00:00"),
        ("2026-01-01T12:00:00", "2026-01-01T12:00:00", "2026-01-01T11:00:00"),
        ("2026-01-01T12:00:00+03:00", "2026-01-01T12:00:00+03:00", "2026-01-01T09:00:00"),
        ("1767265200", "1767265200", "2026-01-01T11:00:00"),
    ],
)
def test_times_are_those_of_the_cluster(tmp_path: Path, submit: str, start: str, utc: str) -> None:
    (job,) = _read(tmp_path, HEAD + f"1|{submit}|{start}|COMPLETED|1|01:00||", "Europe/Berlin").jobs
    assert job.submitted_s == _at(utc)


def test_the_hour_that_comes_twice_is_told_and_keeps_the_order(tmp_path: Path) -> None:
    """On 25 October 2026 at 3:00 the clocks of Berlin go back to 2:00."""
    row = "1|2026-10-25T02:50:00|2026-10-25T02:10:00|COMPLETED|1|01:00||"
    past = _read(tmp_path, HEAD + row, "Europe/Berlin")
    (job,) = past.jobs
    assert job.submitted_s == _at("2026-10-25T00:50:00")
    assert job.deadline_s == _at("2026-10-25T01:10:00") + 60 + 3600
    assert "show twice" in past.notes[0]


def test_what_slurm_metered_counts_only_where_it_is_asked_for(tmp_path: Path) -> None:
    rows = HEAD + "1|2026-05-01T06:00:00|2026-05-01T06:00:00|COMPLETED|4|01:00||6000\n"
    rows += "2|2026-05-01T06:00:00|2026-05-01T06:00:00|COMPLETED|4|01:00||0\n"
    assert [job.power_w for job in _read(tmp_path, rows).jobs] == [40.0, 40.0]
    past = _read(tmp_path, rows, metered=True)
    assert [job.power_w for job in past.jobs] == [100.0, 40.0]
    assert past.notes == ("1 jobs have the energy that Slurm metered",)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1|2026-05-01T06:00:00|Unknown|CANCELLED by 1000|0|00:00:00||", "never_ran"),
        ("1_[5-9%2]|2026-05-01T06:00:00|None|CANCELLED|0|00:00:00||", "never_ran"),
        ("1|2026-05-01T06:00:00|Unknown|PENDING|0|00:00:00||", "not_over"),
        ("1|2026-05-01T06:00:00|2026-05-01T06:00:00||1|00:10:00||", "not_over"),
        ("1|2026-05-01T06:00:00|2026-05-01T06:00:00|FAILED|0|00:10:00||", "held_no_cpus"),
        ("1|2026-05-01T06:00:00|2026-05-01T06:00:00|FAILED||00:10:00||", "held_no_cpus"),
        ("1|2026-05-01T06:00:00|2026-05-01T06:00:00|FAILED|1|||", "never_ran"),
    ],
)
def test_what_is_no_job_is_left_out_by_its_reason(tmp_path: Path, row: str, why: str) -> None:
    good = "9|2026-05-01T06:00:00|2026-05-01T06:00:00|COMPLETED|1|01:00||\n"
    assert _read(tmp_path, f"{HEAD}{row}\n{good}").left_out == {why: 1}
    with pytest.raises(UsageError, match="no job in it that is over and ran"):
        _read(tmp_path, HEAD + row)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs the column.s. JobID, Submit, Start, State, AllocCPUS or NCPUS, ElapsedRaw or"),
        ("JobID|Submit|Start|State|Elapsed\n", "AllocCPUS or NCPUS; it has JobID"),
        (HEAD + "1|a|b\n", "row 2: 3 fields under 8 columns"),
        (HEAD + "1|a|b|COMPLETED|1|01:00||\n", "row 2: 'a' is no time"),
        (HEAD + "1|0001-01-01T00:00:00|0001-01-01T00:00:00|FAILED|1|01:00||\n", "is no time"),
        (HEAD + "|2026-05-01|2026-05-01|FAILED|1|01:00||\n", "a row without a JobID"),
        (HEAD + "1|2026-05-01|2026-05-01|FAILED|two|01:00||\n", "'two' is not a number of CPUs"),
        (HEAD + "1|2026-05-01|2026-05-01|FAILED|1|INVALID||\n", "'INVALID' is not a span of time"),
        (HEAD + "1|2026-05-02|2026-05-01|FAILED|1|01:00||\n", "1: Start is before Submit"),
        (HEAD, "no job in it that is over and ran .no row"),
    ],
)
def test_a_damaged_output_is_one_line_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        _read(tmp_path, text, "Europe/Berlin")
    assert "\n" not in str(told.value)


GPU_HEAD = "JobID|Submit|Start|End|State|NCPUS|Elapsed|Partition|ReqTRES"
COUNTED = f"{GPU_HEAD}|AllocTRES\n"
RAN = "|2026-05-01T06:00:00|2026-05-01T06:00:00|2026-05-01T07:00:00|COMPLETED|2|01:00:00|"


@pytest.mark.parametrize(
    ("partition_and_request", "tres"),
    [
        ("main|", "cpu=2,gres/mps=25"),
        ("main|", "cpu=2,gres/shard=4"),
        ("main|", "cpu=2,gres/mps:a100=50"),
        ("main|", "cpu=2,gres/gpu:a100_1g.5gb=1,gres/gpu=1"),
        ("main|", "cpu=2,gres/gpu=1,gres/gpu:nvidia_h100_80gb_hbm3_1c.3g.40gb=1"),
        ("main|", "cpu=2,gres/gpu:1g.10gb=2"),
        ("main|cpu=2,gres/shard=1", ""),
    ],
)
def test_a_share_of_a_gpu_is_left_out_as_one(
    tmp_path: Path, partition_and_request: str, tres: str
) -> None:
    """Neither none nor a whole board: what a share draws is unknown."""
    rows = f"{COUNTED}1{RAN}{partition_and_request}|{tres}\n2{RAN}main||cpu=2,gres/gpu=1\n"
    past = _read(tmp_path, rows, per_gpu_w=300.0)
    assert past.left_out == {"shares_of_gpus": 1}
    assert [(job.id, job.power_w) for job in past.jobs] == [("2", 320.0)]


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("gpu_a100|", True),
        ("h100|", True),
        ("dgx-long|", True),
        ("batch|cpu=2,gres/gpu=1", True),
        ("batch|billing=2,cpu=2", False),
        ("part1|", False),
        ("a1000x|", False),
    ],
)
def test_gpus_that_no_column_counts_are_unknown_and_not_none(
    tmp_path: Path, where: str, left: bool
) -> None:
    past = _read(tmp_path, f"{GPU_HEAD}\n1{RAN}{where}\n2{RAN}main|\n", per_gpu_w=300.0)
    assert past.left_out == ({"gpus_unknown": 1} if left else {})
    assert "without a column AllocTRES jobs count as without GPUs" in past.notes[0]


@pytest.mark.parametrize(
    ("elapsed", "suspended", "end", "ran_h", "ended_h", "note"),
    [
        ("05:30", "", "11:30:00", 5.5, 5.5, "read as hours and minutes"),
        ("05:30", "", "06:05:30", 330 / 3600, 330 / 3600, ""),
        ("05:30", "", "Unknown", 330 / 3600, 330 / 3600, ""),
        ("1-00:30", "", "T+1 06:30:00", 24.5, 24.5, "read as hours and minutes"),
        ("01:00:00", "04:00:00", "11:00:00", 1.0, 5.0, ""),
        ("01:00:00", "04:00:00", "Unknown", 1.0, 5.0, ""),
        ("01:00:00", "", "11:00:00", 1.0, 5.0, "as of suspended ones"),
        ("01:00:00", "", "07:00:01", 1.0, 1 + 1 / 3600, ""),
    ],
)
def test_elapsed_is_held_against_start_and_end(
    tmp_path: Path, elapsed: str, suspended: str, end: str, ran_h: float, ended_h: float, note: str
) -> None:
    """How long it ran, when it ended, and what is said where they do not say the same."""
    day = "2026-05-02" if end.startswith("T+1") else "2026-05-01"
    ended = end if end == "Unknown" else f"{day}T{end.removeprefix('T+1 ')}"
    head = "JobID|Submit|Start|End|State|NCPUS|Elapsed|Suspended|AllocTRES\n"
    row = f"1|2026-05-01T06:00:00|2026-05-01T06:00:00|{ended}|COMPLETED|1|{elapsed}|{suspended}|c"
    past = _read(tmp_path, head + row)
    (job,) = past.jobs
    assert job.duration_s == pytest.approx(3600 * ran_h)
    assert job.deadline_s == pytest.approx(_at("2026-05-01T06:00:00") + 3600 * (ended_h + 1))
    assert note in " ".join(past.notes)
    assert bool(past.notes) == bool(note)


def test_an_elapsed_longer_than_from_start_to_end_is_left_out(tmp_path: Path) -> None:
    head = "JobID|Submit|Start|End|State|NCPUS|Elapsed\n"
    times = "2026-05-01T06:00:00|2026-05-01T06:00:00|2026-05-01T07:00:00"
    rows = f"1|{times}|COMPLETED|1|02:00:00\n2|{times}|COMPLETED|1|01:00:00\n"
    past = _read(tmp_path, head + rows)
    assert past.left_out == {"elapsed_beyond_end": 1}
    assert [job.id for job in past.jobs] == ["2"]


def test_in_the_hour_that_comes_twice_the_end_says_which_is_meant(tmp_path: Path) -> None:
    """On 25 October 2026 at 3:00 the clocks of Berlin go back to 2:00."""
    head = "JobID|Submit|Start|End|State|NCPUS|Elapsed\n"
    row = "1|2026-10-25T01:30:00|2026-10-25T02:30:00|2026-10-25T03:30:00|COMPLETED|1|01:00:00"
    (job,) = _read(tmp_path, head + row, "Europe/Berlin").jobs
    assert job.deadline_s == _at("2026-10-25T02:30:00") + 3600


def test_a_row_that_starts_before_its_submission_does_not_reject_the_others(tmp_path: Path) -> None:
    head = "State|JobID|NCPUS|Submit|Start|Elapsed\n"
    rows = "COMPLETED|78|4|2022-09-09T17:39:14|2022-09-09T17:41:15|01:00:00\n"
    rows += "COMPLETED|81|4|2022-09-09T17:39:14|2022-09-09T17:39:13|01:00:00\n"
    past = _read(tmp_path, head + rows)
    assert [job.id for job in past.jobs] == ["78"]
    assert past.left_out == {"start_before_submit": 1}


NAMES = ("jobid%20", "SUBMIT", "start", "state", "alloccpus", "elapsed", "alloctres")
BARE = "1|2026-05-01T06:00:00|2026-05-01T06:00:00|COMPLETED|4|01:00:00|cpu=4"


@pytest.mark.parametrize(
    "text",
    [
        f"{BARE}\n",
        f"{BARE}|\n",
        f"Id|Submit|a|b|c|d|e\n{BARE}\n",
        f"job|submitted|began|outcome|cores|ran|held\n{BARE}\n",
    ],
)
def test_columns_of_an_output_without_a_header_can_be_named(tmp_path: Path, text: str) -> None:
    """As sacct takes them for --format: in any case, with widths."""
    path = tmp_path / "dump.txt"
    path.write_text(text)
    past = read_sacct(path, "UTC", 3600.0, Rates(10.0), NAMES)
    assert [(job.id, job.slots, job.duration_s) for job in past.jobs] == [("1", 4, 3600.0)]


def test_an_output_without_a_header_asks_for_the_names_of_its_columns(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"its first row is not sacct's header.*--sacct-columns"):
        _read(tmp_path, BARE)


def test_names_that_leave_a_needed_column_out_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dump.txt"
    path.write_text(BARE)
    with pytest.raises(UsageError, match=r"needs the column.s. State"):
        read_sacct(path, "UTC", 3600.0, Rates(10.0), (*NAMES[:3], "x", *NAMES[4:]))
    with pytest.raises(UsageError, match="row 1: 7 fields under 6 columns"):
        read_sacct(path, "UTC", 3600.0, Rates(10.0), NAMES[:6])
