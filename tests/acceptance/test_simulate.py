"""``simulate`` from files to figures: every one is recomputed from the schedule and the trace."""

from __future__ import annotations

import csv
import gzip
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from scheduler.simulate import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 72
FIELDS = {
    "jobs", "policy", "emissions_g", "run_now_g", "saved_percent", "oracle_saved_percent",
    "captured_percent", "lower_bound_g", "gap_percent", "missed_deadlines", "mean_delay_s",
    "peak_slots", "planning_seconds", "refused", "oracle_g", "lateness_s", "worst_lateness_s",
    "run_now_missed_deadlines", "oracle_missed_deadlines", "reserve_cost_percent", "null_reasons",
}  # fmt: skip
# Grams per kWh in each hour; every day is the same.
INTENSITY = {
    "DE": [float((hour * 37) % 24 * 20 + 50) for hour in range(24)] * 3,
    "FR": [float((hour * 11) % 24 * 5 + 150) for hour in range(24)] * 3,
}
FILES = ("--jobs", "jobs.csv", "--trace", "trace.csv")


def _at(hours: float) -> str:
    return f"{START + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def _csv(path: Path, header: str, rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([header.split(","), *rows])


# Id, submission, length, slack (h), slots, watts, regions, pausable.
JOBS: list[tuple[str, float, float, float, int, int, str, str]] = [
    (f"j{n}", n * 1.5, 1 + n % 4 * 0.75, n * 5 % 19, 1 + n % 3, 300 * (1 + n % 2), regions, able)
    for n, (regions, able) in enumerate(
        zip(["", "DE", "", "FR;DE", "", "DE;FR"] * 3, ["", "1", "0"] * 6, strict=True)
    )
]
# What only a limit of slots keeps out, and what cannot be run at all.
WIDE = ("wide", 2.0, 1.0, 5.0, 99, 100, "", "")
REFUSED = [
    ("early", -2, 1, 5, 1, 100, "", ""),
    ("outside", 70, 5, 5, 1, 100, "", ""),
    ("near", 2, 5, -1, 1, 100, "", ""),
    ("abroad", 2, 1, 5, 1, 100, "XX", ""),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log, a trace of two regions, and forecasts that are wrong by a third."""
    header = "job_id,submitted_utc,duration_s,deadline_utc,slots,power_w,regions,pausable"
    _csv(
        tmp_path / "jobs.csv",
        header,
        [
            (name, _at(begun), length * 3600, _at(begun + length + slack), *rest)
            for name, begun, length, slack, *rest in [*JOBS, WIDE, *REFUSED]
        ],
    )
    hours = [(h, zone, g[h]) for zone, g in INTENSITY.items() for h in range(HOURS)]
    _csv(
        tmp_path / "trace.csv",
        "timestamp_utc,region,g_per_kwh",
        [(_at(h), zone, g) for h, zone, g in sorted(hours)],
    )
    _forecasts(tmp_path / "forecast.csv", range(0, HOURS, 6))
    return tmp_path


def _forecasts(path: Path, issues: range, factor: float = 1.0) -> None:
    rows = [
        (_at(at), _at(h), zone, factor * g[h] * (1.33 if (h + at) % 5 < 2 else 0.7))
        for at in issues
        for zone, g in INTENSITY.items()
        for h in range(at, min(at + 24, HOURS))
    ]
    _csv(path, "issued_utc,target_utc,region,forecast_g_per_kwh", rows)


def _schedule(path: Path) -> list[dict[str, Any]]:
    """Rows of ``--out`` with times in hours since the start."""
    with path.open(newline="") as f:
        return [
            row | {n: _hours(row[f"{n}_utc"]) for n in ("start", "end")}
            for row in csv.DictReader(f)
        ]


def _hours(text: str) -> float:
    return (datetime.fromisoformat(text) - START) / timedelta(hours=1)


def _grams(zone: str, start: float, end: float, watts: float) -> float:
    covered = [max(0.0, min(end, h + 1) - max(start, h)) for h in range(HOURS)]
    return watts / 1000 * sum(c * g for c, g in zip(covered, INTENSITY[zone], strict=True))


@pytest.mark.parametrize("policy", ["run-now", "window", "segments", "fleet", "oracle"])
@pytest.mark.parametrize("more", [(), ("--capacity", "6"), ("--forecast", "forecast.csv")])
def test_every_figure_follows_from_the_schedule_and_the_trace(
    lowtide: Callable[..., Any], folder: Path, policy: str, more: tuple[str, ...]
) -> None:
    options = ("--policy", policy, "--region", "DE", "--region", "FR", "--resume-overhead", "5m")
    result = lowtide("simulate", *FILES, *options, *more, "--json", "--out", "out.csv")
    assert result.code == 0, result.err
    made = result.json
    assert set(made) >= FIELDS
    assert made["policy"] == policy
    rows = _schedule(folder / "out.csv")
    by_job: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_job.setdefault(row["job_id"], []).append(row)
    emitted = run_now = delay = 0.0
    missed = 0
    limited = "--capacity" in more
    jobs = JOBS if limited else [*JOBS, WIDE]
    for name, begun, length, slack, slots, watts, regions, _ in jobs:
        home = (regions or "DE").split(";")[0]
        run_now += _grams(home, begun, begun + length, watts)
        spans = by_job[name]
        for row in spans:
            grams = _grams(row["region"], row["start"], row["end"], watts)
            assert float(row["g"]) == pytest.approx(grams, rel=1e-6, abs=1e-6)
            assert int(row["slots"]) == slots
            emitted += grams
        assert spans[0]["start"] >= begun
        ran = sum(row["end"] - row["start"] for row in spans)
        assert ran >= length + (len(spans) - 1) * 5 / 60 - 1e-6
        missed += spans[-1]["end"] > begun + length + slack + 1e-6
        delay += spans[-1]["end"] - begun - length
    assert made["jobs"] == len(jobs) == len(by_job)
    assert made["emissions_g"] == pytest.approx(emitted)
    assert made["run_now_g"] == pytest.approx(run_now)
    assert made["saved_percent"] == pytest.approx(100 * (run_now - emitted) / run_now)
    assert made["mean_delay_s"] == pytest.approx(3600 * delay / len(jobs))
    assert made["missed_deadlines"] == missed
    held = [
        sum(int(s["slots"]) for s in rows if s["start"] <= row["start"] < s["end"]) for row in rows
    ]
    assert made["peak_slots"] == max(held)
    for zone in INTENSITY:
        here = [s for s in rows if s["region"] == zone]
        at_once = [
            sum(int(s["slots"]) for s in here if s["start"] <= r["start"] < s["end"]) for r in here
        ]
        assert not limited or max(at_once, default=0) <= 6
    assert made["lower_bound_g"] <= made["emissions_g"]
    assert made["planning_seconds"] >= 0
    refused = ["before_the_trace", "after_the_trace", "deadline_too_near", "no_such_region"]
    refused += ["larger_than_a_region"] if limited else []
    assert made["refused"] == dict.fromkeys(refused, 1)


def test_compressed_files_give_the_same(lowtide: Callable[..., Any], folder: Path) -> None:
    plain = lowtide("simulate", *FILES, "--forecast", "forecast.csv", "--json").json
    for name in ("jobs", "trace", "forecast"):
        with (folder / f"{name}.csv").open("rb") as f, gzip.open(f"{name}.csv.gz", "wb") as out:
            shutil.copyfileobj(f, out)
    zipped = ("--jobs", "jobs.csv.gz", "--trace", "trace.csv.gz", "--forecast", "forecast.csv.gz")
    packed = lowtide("simulate", *zipped, "--json").json
    assert packed | {"planning_seconds": 0} == plain | {"planning_seconds": 0}


def test_only_what_was_issued_is_known(lowtide: Callable[..., Any], folder: Path) -> None:
    """What is issued at hour 24 changes no start before it, and some after it."""

    def starts() -> list[tuple[str, str, float]]:
        result = lowtide("simulate", *FILES, "--forecast", "forecast.csv", "--out", "out.csv")
        assert result.code == 0
        rows = _schedule(folder / "out.csv")
        return [(row["job_id"], row["region"], row["start"]) for row in rows]

    full = starts()
    _forecasts(folder / "forecast.csv", range(0, 24, 6))
    less = starts()
    assert full != less
    assert [s for s in full if s[2] < 24] == [s for s in less if s[2] < 24]
    _forecasts(folder / "forecast.csv", range(0, HOURS, 6), factor=2.0)
    assert starts() == full, "a scale that is wrong everywhere is no matter"


HEAD = "job_id,submitted_utc,duration_s,deadline_utc,slots,power_w\n"
TIME = "timestamp_utc,region,g_per_kwh\n"
TOLD = "issued_utc,target_utc,region,forecast_g_per_kwh\n"


@pytest.mark.parametrize(
    ("name", "text", "code", "said"),
    [
        ("jobs.csv", "", 2, "it has none"),
        ("jobs.csv", "job_id,slots\na,1\n", 2, "submitted_utc, duration_s, deadline_utc, power_w"),
        ("jobs.csv", HEAD, 2, "no job in it"),
        (
            "jobs.csv",
            HEAD + f"a,{_at(1)},60,{_at(2)},1,5\nb,{_at(5)},60,{_at(4)},1,5\n",
            2,
            "row 3: deadline_utc",
        ),
        ("jobs.csv", HEAD + f"a,{_at(1)},-60,{_at(2)},1,5\n", 2, "row 2: duration_s"),
        ("jobs.csv", HEAD + f"a,{_at(1)},60,{_at(2)},1.5,5\n", 2, "row 2: slots"),
        ("jobs.csv", HEAD + f"a,2026-01-05,60,{_at(2)},1,5\n", 2, "row 2: '2026-01-05'"),
        ("jobs.csv", HEAD + f"a,{_at(1)},60,{_at(2)},1,5\n" * 2, 2, "row 3: job a stands in row 2"),
        ("trace.csv", "", 4, "is empty"),
        ("trace.csv", f"timestamp_utc,region\n{_at(1)},DE\n", 4, "g_per_kwh"),
        ("trace.csv", TIME + f"{_at(1)},DE,5\n{_at(1)},DE,5\n", 4, "row 3"),
        ("forecast.csv", "", 2, "it has none"),
        ("forecast.csv", f"issued_utc,region\n{_at(1)},DE\n", 2, "target_utc"),
        ("forecast.csv", TOLD + f"{_at(0)},{_at(1)},DE,5\n{_at(0)},soon,DE,5\n", 2, "row 3"),
        (
            "forecast.csv",
            TOLD + f"{_at(0)},{_at(1)},DE,-5000\n",
            2,
            "row 2: forecast_g_per_kwh '-5",
        ),
        ("forecast.csv", TOLD + f"{_at(0)},{_at(1)},DE,inf\n", 2, "(from 0 to 2000 g/kWh)"),
        ("forecast.csv", TOLD + f"{_at(0)},{_at(1)},DE,nan\n", 2, "'nan' is not a number"),
        ("forecast.csv", TOLD + f"{_at(0)},{_at(1)},DE,99999\n", 2, "like g/MWh"),
        ("trace.csv", TIME + f"{_at(0)},DE,455000\n{_at(1)},DE,460000\n", 4, "row 2"),
        ("forecast.csv", TOLD + f"{_at(0)},{_at(1)},PL,5\n", 2, "no forecast for DE, FR"),
        ("forecast.csv", TOLD + f"{_at(900)},{_at(901)},DE,5\n", 2, "do not overlap"),
        ("forecast.csv", TOLD + f"{_at(-99)},{_at(-98)},DE,5\n", 2, "do not overlap"),
    ],
)
def test_a_wrong_file_is_one_line_and_leaves_the_schedule_that_was_there(
    lowtide: Callable[..., Any], folder: Path, name: str, text: str, code: int, said: str
) -> None:
    (folder / name).write_text(text)
    (folder / "out.csv").write_text("as it was")
    result = lowtide("simulate", *FILES, "--forecast", "forecast.csv", "--json", "--out", "out.csv")
    _one_line(result, code, name, said)
    assert (folder / "out.csv").read_text() == "as it was"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--jobs", "nowhere.csv"), 2, "nowhere.csv"),
        (("--jobs", "."), 2, "cannot be read"),
        (("--jobs", "torn.csv.gz"), 2, "torn.csv.gz"),
        (("--trace", "nowhere.csv"), 4, "nowhere.csv"),
        (("--trace", "torn.csv.gz"), 4, "torn.csv.gz"),
        (("--forecast", "nowhere.csv"), 2, "nowhere.csv"),
        (("--region", "XX"), 4, "has no zone XX: it has"),
        (("--capacity", "0"), 2, "--capacity"),
        (("--capacity", "2147483648"), 2, "--capacity must be at most 100000000"),
        (("--policy", "best"), 2, "--policy"),
        (("--refresh", "0s"), 2, "--refresh"),
        (("--resume-overhead", "soon"), 2, "--resume-overhead"),
        (("--max-segments", "0"), 2, "--max-segments"),
    ],
)
def test_a_wrong_option_is_one_line_and_writes_nothing(
    lowtide: Callable[..., Any], folder: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    whole = gzip.compress((folder / "trace.csv").read_bytes())
    (folder / "torn.csv.gz").write_bytes(whole[: len(whole) // 2])
    result = lowtide("simulate", *FILES, *options, "--json", "--out", "out.csv")
    _one_line(result, code, said)
    assert not (folder / "out.csv").exists()


def test_a_region_too_small_for_every_job_is_said_in_one_line(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    log = (folder / "jobs.csv").read_text().splitlines()
    wide = next(row for row in log if row.startswith("wide,"))
    (folder / "wide.csv").write_text(f"{log[0]}\n{wide}\n")
    result = lowtide("simulate", "--jobs", "wide.csv", *FILES[2:], "--capacity", "8")
    assert result.code == 4, result
    said = "1 larger than a region (--capacity 8; the smallest job holds 99 slots)"
    assert f"of 1 jobs none can be simulated: {said}" in result.err
    assert "Traceback" not in result.err


def _one_line(result: Any, code: int, *said: str) -> None:
    assert result.code == code, result
    assert result.out == ""
    lines = [line for line in str(result.err).splitlines() if line]
    assert len(lines) == 1, lines
    for text in said:
        assert text in lines[0], (text, lines[0])


def test_a_schedule_is_written_whole_or_not_at_all(
    lowtide: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Outcome, out: Any) -> None:
        out.write("job_id,region\nj0,")
        raise OSError(28, "No space left on device")

    (folder / "out.csv").write_text("as it was")
    before = {p.name for p in folder.iterdir()}
    monkeypatch.setattr(Outcome, "write", full)
    result = lowtide("simulate", *FILES, "--json", "--out", "out.csv")
    assert result.code == 2
    assert "out.csv cannot be written" in result.err.splitlines()[-1]
    assert (folder / "out.csv").read_text() == "as it was"
    assert {p.name for p in folder.iterdir()} == before


def test_a_log_from_a_spreadsheet_is_read_as_any_other(
    folder: Path, lowtide: Callable[..., Any]
) -> None:
    """With a byte order mark, and the line ends of another system."""
    plain = lowtide("simulate", *FILES, "--region", "DE", "--json").json
    for name in ("jobs.csv", "trace.csv"):
        text = (folder / name).read_text().replace("\n", "\r\n")
        (folder / name).write_bytes(text.encode("utf-8-sig"))
    again = lowtide("simulate", *FILES, "--region", "DE", "--json").json
    assert plain | {"planning_seconds": 0} == again | {"planning_seconds": 0}


SACCT = ("--sacct", "sacct.txt", "--trace", "trace.csv", "--region", "DE")
ROWS = [
    ("1", _at(0), _at(1), "COMPLETED", "4", "02:00:00", "cpu=4"),
    ("1.batch", _at(1), _at(1), "COMPLETED", "4", "02:00:00", "cpu=4"),
    ("2", _at(3), _at(3), "TIMEOUT", "2", "01:30:00", "cpu=2,gres/gpu=1"),
    ("3", _at(4), "Unknown", "CANCELLED by 5", "0", "00:00:00", ""),
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
    rows = [("1", _at(0), 7200, _at(9), 4, 100), ("2", _at(3), 5400, _at(10.5), 2, 350)]
    _csv(folder / "jobs.csv", header, rows)
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
    _one_line(lowtide("simulate", *argv, "--json"), 2, said)


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
    rows = [("1", _at(1), 7200, _at(ends[0]), 4, 100), ("2", _at(3), 5400, _at(ends[1]), 2, 50)]
    _csv(folder / "jobs.csv", header, rows)
    same = lowtide("simulate", *FILES, "--region", "DE", "--json").json
    figures = told.json
    past = figures.pop("swf")
    assert figures | {"planning_seconds": 0} == same | {"planning_seconds": 0}
    assert past["left_out"] == {"run_time_unknown": 1}
    assert (past["jobs"], past["slack_s"], past["power_per_slot_w"]) == (2, 21600, 25)
    assert "the trace's start: the log has no UnixStartTime" in told.err
    moved = lowtide("simulate", *given, "--jobs-start", _at(500), "--json")
    _last_line(moved, 4, "all 2 jobs lie outside the trace (2026-01-05 to 2026-01-08)")
    wrong = lowtide("simulate", *given, "--jobs-start", "soon", "--json")
    _one_line(wrong, 2, "--jobs-start: 'soon' is no time")


def _last_line(result: Any, code: int, said: str) -> None:
    assert result.code == code, result
    assert result.out == ""
    assert said in str(result.err).splitlines()[-1]


def test_jobs_that_all_lie_outside_the_trace_are_an_error_with_both_spans(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    rows = [(str(n), _at(1000 + 24 * n), 3600, _at(1010 + 24 * n), 1, 100) for n in range(12)]
    _csv(folder / "jobs.csv", HEAD.strip(), rows)
    result = lowtide("simulate", *FILES, "--json", "--out", "out.csv")
    said = "all 12 jobs lie outside the trace (2026-01-05 to 2026-01-08): nothing to simulate"
    _one_line(result, 4, said, "from 2026-02-15 to 2026-02-26")
    assert not (folder / "out.csv").exists()


def test_jobs_that_partly_lie_outside_the_trace_are_counted_and_said(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    result = lowtide("simulate", *FILES, "--region", "DE", "--region", "FR", "--json")
    assert result.code == 0
    jobs = len([*JOBS, WIDE, *REFUSED])
    assert f"2 of {jobs} jobs lie outside the trace (2026-01-05 to 2026-01-08)" in result.err


def test_no_job_that_can_be_simulated_is_an_error_with_the_reasons(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    """Not zero grams."""
    rows = [("a", _at(1), 7200, _at(2), 1, 100), ("b", _at(1), 3600, _at(9), 1, 100, "XX")]
    _csv(folder / "jobs.csv", HEAD.strip() + ",regions", [(*rows[0], ""), rows[1]])
    result = lowtide("simulate", *FILES, "--json")
    said = "of 2 jobs none can be simulated: 1 deadline too near, 1 no such region"
    _last_line(result, 4, said)


def test_a_stamp_a_second_off_changes_nothing_and_is_said(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    plain = lowtide("simulate", *FILES, "--region", "DE", "--json").json
    text = (folder / "trace.csv").read_text()
    (folder / "trace.csv").write_text(text.replace("T07:00:00Z,DE", "T07:00:01Z,DE"))
    found = lowtide("simulate", *FILES, "--region", "DE", "--json").json
    (note,) = found.pop("notes")
    assert "DE: 3 of 72 time stamps lie beside round times and are moved to them, by 1 s" in note
    assert found | {"planning_seconds": 0, "notes": []} == plain | {"planning_seconds": 0}


def test_a_trace_from_a_portal_says_which_of_its_values_it_needs(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    head = "Datetime (UTC),Zone id,Carbon intensity gCO₂eq/kWh (direct),"
    rows = [f"{_at(h)[:-1]},DE,{200 + h},{300 - h}" for h in range(HOURS)]
    text = "\n".join((f"{head}Carbon intensity gCO₂eq/kWh (Life cycle)", *rows))
    (folder / "trace.csv").write_text(text, encoding="utf-8")
    _one_line(lowtide("simulate", *FILES, "--json"), 2, "--factors direct or --factors lifecycle")
    direct = lowtide("simulate", *FILES, "--factors", "direct", "--json").json
    lifecycle = lowtide("simulate", *FILES, "--factors", "lifecycle", "--json").json
    assert direct["run_now_g"] < lifecycle["run_now_g"]


def test_accounting_without_a_header_goes_in_by_the_names_of_its_columns(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    _sacct(folder)
    more = ("--tz", "Europe/Berlin", "--json")
    plain = lowtide("simulate", *SACCT, *more).json
    head, _, rest = (folder / "sacct.txt").read_text().partition("\n")
    (folder / "sacct.txt").write_text(rest)
    bare = lowtide("simulate", *SACCT, *more)
    _one_line(bare, 2, "its first row is not sacct's header")
    named = lowtide("simulate", *SACCT, *more, "--sacct-columns", head.replace("|", ",")).json
    assert named | {"planning_seconds": 0} == plain | {"planning_seconds": 0}
