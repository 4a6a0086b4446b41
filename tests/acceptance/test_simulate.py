"""``simulate`` from files to figures: every one is recomputed from the schedule and the trace."""

from __future__ import annotations

import csv
import gzip
import shutil
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.simulation import (
    FILES,
    HOURS,
    INTENSITY,
    JOBS,
    REFUSED,
    START,
    WIDE,
    last_line,
    one_line,
    utc,
    write_csv,
    write_forecasts,
    write_inputs,
)

from scheduler.simulate import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIELDS = {
    "jobs", "policy", "emissions_g", "run_now_g", "saved_percent", "oracle_saved_percent",
    "captured_percent", "lower_bound_g", "gap_percent", "missed_deadlines", "mean_delay_s",
    "peak_slots", "planning_seconds", "refused", "oracle_g", "lateness_s", "worst_lateness_s",
    "run_now_missed_deadlines", "oracle_missed_deadlines", "reserve_cost_percent", "null_reasons",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_inputs(tmp_path)
    return tmp_path


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
    write_forecasts(folder / "forecast.csv", range(0, 24, 6))
    less = starts()
    assert full != less
    assert [s for s in full if s[2] < 24] == [s for s in less if s[2] < 24]
    write_forecasts(folder / "forecast.csv", range(0, HOURS, 6), factor=2.0)
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
            HEAD + f"a,{utc(1)},60,{utc(2)},1,5\nb,{utc(5)},60,{utc(4)},1,5\n",
            2,
            "row 3: deadline_utc",
        ),
        ("jobs.csv", HEAD + f"a,{utc(1)},-60,{utc(2)},1,5\n", 2, "row 2: duration_s"),
        ("jobs.csv", HEAD + f"a,{utc(1)},60,{utc(2)},1.5,5\n", 2, "row 2: slots"),
        ("jobs.csv", HEAD + f"a,2026-01-05,60,{utc(2)},1,5\n", 2, "row 2: '2026-01-05'"),
        (
            "jobs.csv",
            HEAD + f"a,{utc(1)},60,{utc(2)},1,5\n" * 2,
            2,
            "row 3: job a stands in row 2",
        ),
        ("trace.csv", "", 4, "is empty"),
        ("trace.csv", f"timestamp_utc,region\n{utc(1)},DE\n", 4, "g_per_kwh"),
        ("trace.csv", TIME + f"{utc(1)},DE,5\n{utc(1)},DE,5\n", 4, "row 3"),
        ("forecast.csv", "", 2, "it has none"),
        ("forecast.csv", f"issued_utc,region\n{utc(1)},DE\n", 2, "target_utc"),
        ("forecast.csv", TOLD + f"{utc(0)},{utc(1)},DE,5\n{utc(0)},soon,DE,5\n", 2, "row 3"),
        (
            "forecast.csv",
            TOLD + f"{utc(0)},{utc(1)},DE,-5000\n",
            2,
            "row 2: forecast_g_per_kwh '-5",
        ),
        ("forecast.csv", TOLD + f"{utc(0)},{utc(1)},DE,inf\n", 2, "(from 0 to 2000 g/kWh)"),
        ("forecast.csv", TOLD + f"{utc(0)},{utc(1)},DE,nan\n", 2, "'nan' is not a number"),
        ("forecast.csv", TOLD + f"{utc(0)},{utc(1)},DE,99999\n", 2, "like g/MWh"),
        ("trace.csv", TIME + f"{utc(0)},DE,455000\n{utc(1)},DE,460000\n", 4, "row 2"),
        ("forecast.csv", TOLD + f"{utc(0)},{utc(1)},PL,5\n", 2, "no forecast for DE, FR"),
        ("forecast.csv", TOLD + f"{utc(900)},{utc(901)},DE,5\n", 2, "do not overlap"),
        ("forecast.csv", TOLD + f"{utc(-99)},{utc(-98)},DE,5\n", 2, "do not overlap"),
    ],
)
def test_a_wrong_file_is_one_line_and_leaves_the_schedule_that_was_there(
    lowtide: Callable[..., Any], folder: Path, name: str, text: str, code: int, said: str
) -> None:
    (folder / name).write_text(text)
    (folder / "out.csv").write_text("as it was")
    result = lowtide("simulate", *FILES, "--forecast", "forecast.csv", "--json", "--out", "out.csv")
    one_line(result, code, name, said)
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
    one_line(result, code, said)
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


def test_jobs_that_all_lie_outside_the_trace_are_an_error_with_both_spans(
    lowtide: Callable[..., Any], folder: Path
) -> None:
    rows = [(str(n), utc(1000 + 24 * n), 3600, utc(1010 + 24 * n), 1, 100) for n in range(12)]
    write_csv(folder / "jobs.csv", HEAD.strip(), rows)
    result = lowtide("simulate", *FILES, "--json", "--out", "out.csv")
    said = "all 12 jobs lie outside the trace (2026-01-05 to 2026-01-08): nothing to simulate"
    one_line(result, 4, said, "from 2026-02-15 to 2026-02-26")
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
    rows = [("a", utc(1), 7200, utc(2), 1, 100), ("b", utc(1), 3600, utc(9), 1, 100, "XX")]
    write_csv(folder / "jobs.csv", HEAD.strip() + ",regions", [(*rows[0], ""), rows[1]])
    result = lowtide("simulate", *FILES, "--json")
    said = "of 2 jobs none can be simulated: 1 deadline too near, 1 no such region"
    last_line(result, 4, said)


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
    rows = [f"{utc(h)[:-1]},DE,{200 + h},{300 - h}" for h in range(HOURS)]
    text = "\n".join((f"{head}Carbon intensity gCO₂eq/kWh (Life cycle)", *rows))
    (folder / "trace.csv").write_text(text, encoding="utf-8")
    one_line(lowtide("simulate", *FILES, "--json"), 2, "--factors direct or --factors lifecycle")
    direct = lowtide("simulate", *FILES, "--factors", "direct", "--json").json
    lifecycle = lowtide("simulate", *FILES, "--factors", "lifecycle", "--json").json
    assert direct["run_now_g"] < lifecycle["run_now_g"]
