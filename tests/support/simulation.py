"""Inputs of ``simulate``: a job log, a trace of two regions, forecasts; and what a refusal is."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 72
# Grams per kWh in each hour; every day is the same.
INTENSITY = {
    "DE": [float((hour * 37) % 24 * 20 + 50) for hour in range(24)] * 3,
    "FR": [float((hour * 11) % 24 * 5 + 150) for hour in range(24)] * 3,
}
FILES = ("--jobs", "jobs.csv", "--trace", "trace.csv")


def utc(hours: float) -> str:
    """So many hours after the start, as a stamp."""
    return f"{START + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def write_csv(path: Path, header: str, rows: list[tuple[Any, ...]]) -> None:
    """A file with that header."""
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


def write_inputs(folder: Path) -> None:
    """A log, a trace of two regions, and forecasts that are wrong by a third."""
    header = "job_id,submitted_utc,duration_s,deadline_utc,slots,power_w,regions,pausable"
    write_csv(
        folder / "jobs.csv",
        header,
        [
            (name, utc(begun), length * 3600, utc(begun + length + slack), *rest)
            for name, begun, length, slack, *rest in [*JOBS, WIDE, *REFUSED]
        ],
    )
    hours = [(h, zone, g[h]) for zone, g in INTENSITY.items() for h in range(HOURS)]
    write_csv(
        folder / "trace.csv",
        "timestamp_utc,region,g_per_kwh",
        [(utc(h), zone, g) for h, zone, g in sorted(hours)],
    )
    write_forecasts(folder / "forecast.csv", range(0, HOURS, 6))


def write_forecasts(path: Path, issues: range, factor: float = 1.0) -> None:
    """What was issued at each of some hours, wrong by a third."""
    rows = [
        (utc(at), utc(h), zone, factor * g[h] * (1.33 if (h + at) % 5 < 2 else 0.7))
        for at in issues
        for zone, g in INTENSITY.items()
        for h in range(at, min(at + 24, HOURS))
    ]
    write_csv(path, "issued_utc,target_utc,region,forecast_g_per_kwh", rows)


def one_line(result: Any, code: int, *said: str) -> None:
    """A refusal: nothing on stdout, one line on stderr that holds each text."""
    assert result.code == code, result
    assert result.out == ""
    lines = [line for line in str(result.err).splitlines() if line]
    assert len(lines) == 1, lines
    for text in said:
        assert text in lines[0], (text, lines[0])


def last_line(result: Any, code: int, said: str) -> None:
    """The same with remarks before the line."""
    assert result.code == code, result
    assert result.out == ""
    assert said in str(result.err).splitlines()[-1]
