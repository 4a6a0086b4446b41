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
        ("gres/gpumem=80G,gres/gpuutil=100,gres/shard=2", 0),
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
    assert again.left_out["told_twice"] == len(plain.jobs)


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
        (HEAD + "1|2026-05-01|2026-05-01|FAILED|two|01:00||\n", "'two' is no number of CPUs"),
        (HEAD + "1|2026-05-01|2026-05-01|FAILED|1|INVALID||\n", "'INVALID' is no span of time"),
        (HEAD + "1|2026-05-02|2026-05-01|FAILED|1|01:00||\n", "is before Submit"),
        (HEAD, "no job in it that is over and ran .no row"),
    ],
)
def test_a_damaged_output_is_one_line_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        _read(tmp_path, text, "Europe/Berlin")
    assert "\n" not in str(told.value)
