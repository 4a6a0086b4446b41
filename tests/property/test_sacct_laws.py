"""Whatever sacct, or who edits its output, may write: jobs with sound figures, or one error."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.errors import UsageError
from scheduler.simulate import Rates, read_sacct

COLUMNS = (
    "JobID", "Submit", "Start", "State", "AllocCPUS", "Elapsed", "ElapsedRaw", "AllocTRES",
    "ConsumedEnergyRaw", "Comment", "End", "Suspended", "Partition", "ReqTRES",
)  # fmt: skip
_TIMES = st.one_of(
    st.datetimes().map(lambda t: t.isoformat()),
    st.sampled_from(["Unknown", "None", "", "9999-12-31T23:59:59", "0001-01-01T00:00:00", "1e9"]),
    st.integers(0, 10**12).map(str),
)
_WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
_FIELDS = {
    "JobID": st.sampled_from(["1", "2", "3_4", "3_[1-9]", "1.batch", "1.0", "5+1", ""]),
    "Submit": _TIMES,
    "Start": _TIMES,
    "State": st.sampled_from(["COMPLETED", "CANCELLED by 7", "REQUEUED", "RUNNING", "", "NEW"]),
    "AllocCPUS": st.one_of(st.integers(-1, 10**8).map(str), _WORDS),
    "Elapsed": st.sampled_from(
        ["00:00:00", "1-00:00:01", "59:59", "INVALID", "", "99999-00:00:00"]
    ),
    "ElapsedRaw": st.one_of(st.integers(0, 10**11).map(str), st.just("")),
    "AllocTRES": st.one_of(_WORDS, st.sampled_from(["cpu=1,gres/gpu=4", "gres/gpu:a100=2"])),
    "ConsumedEnergyRaw": st.one_of(_WORDS, st.integers(0, 10**20).map(str)),
    "Comment": _WORDS,
    "End": _TIMES,
    "Suspended": st.sampled_from(["00:00:00", "1-00:00:01", "", "INVALID"]),
    "Partition": st.one_of(_WORDS, st.sampled_from(["gpu", "batch"])),
    "ReqTRES": st.one_of(_WORDS, st.sampled_from(["cpu=1,gres/gpu=4", "gres/shard=1"])),
}


@st.composite
def _outputs(draw: st.DrawFn) -> str:
    columns = draw(st.permutations(COLUMNS))[: draw(st.integers(6, len(COLUMNS)))]
    lines = ["|".join(columns)]
    for _ in range(draw(st.integers(0, 5))):
        row = [draw(st.one_of(_FIELDS[name], _FIELDS[name], _WORDS)) for name in columns]
        lines.append("|".join(row))
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


def _sound(text: str, zone: str, metered: bool, columns: tuple[str, ...] = ()) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sacct"
        path.write_text(text, encoding="utf-8", newline="")
        try:
            past = read_sacct(path, zone, 60.0, Rates(5.0, 100.0, metered), columns)
        except UsageError:
            return
    assert len({job.id for job in past.jobs}) == len(past.jobs)
    for job in past.jobs:
        assert job.duration_s > 0
        assert job.slots > 0
        assert job.power_w > 0
        assert job.deadline_s >= job.submitted_s + job.duration_s + 60.0 - 1e-3


@example(
    "JobID|Submit|Start|State|NCPUS|Elapsed\n1|0001-01-01|0001-01-01|FAILED|1|00:01",
    "Europe/Berlin",
    False,
)
@given(_outputs(), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]), st.booleans())
def test_rows_of_any_kind_give_sound_jobs_or_one_error(text: str, zone: str, metered: bool) -> None:
    _sound(text, zone, metered)


@given(_outputs(), st.permutations(COLUMNS), st.integers(0, len(COLUMNS)))
def test_columns_of_any_names_give_sound_jobs_or_one_error(
    text: str, names: list[str], count: int
) -> None:
    _sound(text.partition("\n")[2], "UTC", False, tuple(names[:count]))


_DAY = datetime.fromisoformat("2026-05-01")


@given(
    st.integers(0, 86400), st.integers(1, 3 * 86400), st.integers(0, 86400), st.booleans(),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
)  # fmt: skip
def test_a_job_that_waited_ran_and_was_suspended_is_read_as_it_was(
    waited_s: int, ran_s: int, suspended_s: int, told: bool, zone: str
) -> None:
    """Whether the output has a column for suspension or not."""
    start = _DAY + timedelta(seconds=waited_s)
    end = start + timedelta(seconds=ran_s + suspended_s)
    head = "JobID|Submit|Start|End|State|NCPUS|Elapsed|AllocTRES" + ("|Suspended" if told else "")
    row = f"1|{_DAY.isoformat()}|{start.isoformat()}|{end.isoformat()}|COMPLETED|1|{_span(ran_s)}|c"
    row += f"|{_span(suspended_s)}" if told else ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sacct"
        path.write_text(f"{head}\n{row}\n")
        (job,) = read_sacct(path, zone, 60.0, Rates(5.0)).jobs
    assert job.duration_s == ran_s
    assert job.deadline_s - job.submitted_s == waited_s + ran_s + suspended_s + 60


def _span(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    return f"{days}-{timedelta(seconds=rest)}".replace("-", "-0" if rest < 36000 else "-")


@given(st.text(st.characters(codec="utf-8")))
@example("JobID|Submit|Start|State|NCPUS|Elapsed\n\0|\n")
def test_any_text_is_read_or_refused(text: str) -> None:
    _sound(text, "UTC", False)
