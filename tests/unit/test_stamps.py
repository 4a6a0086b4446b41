"""Time stamps that jitter are put on round times, and cells follow the rows."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from providers.intensity import stamps, trace
from providers.series import from_unix
from providers.surroundings import Surroundings
from scheduler.simulate import read

HOUR = 3600.0
START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
ROWS = 240
EVEN = START + HOUR * np.arange(ROWS)


def _file(folder: Path, times: np.ndarray, ends: np.ndarray | None = None) -> Path:
    path = folder / "t.csv"
    lines = [f"{from_unix(t).isoformat()},DE,{200 + n % 24}" for n, t in enumerate(times.tolist())]
    head = "timestamp_utc,region,g_per_kwh"
    if ends is not None:
        head += ",ends_utc"
        lines = [f"{x},{from_unix(e).isoformat()}" for x, e in zip(lines, ends, strict=True)]
    path.write_text("\n".join((head, *lines)) + "\n")
    return path


def _late(seed: int, most_s: float) -> np.ndarray:
    return EVEN + np.random.default_rng(seed).uniform(-most_s, most_s, ROWS)


@pytest.mark.parametrize(
    "times",
    [
        np.where(np.arange(ROWS) == 99, EVEN + 1, EVEN),
        np.rint(_late(1, 20.0)),
        _late(2, 3.0),
        np.where(np.arange(ROWS) % 3 == 0, EVEN + 59, EVEN),
    ],
    ids=["one stamp a second off", "seconds", "fractions of a second", "each third a minute late"],
)
def test_stamps_that_jitter_give_what_even_ones_give(tmp_path: Path, times: np.ndarray) -> None:
    even = read(_file(tmp_path, EVEN), None, ())
    found = read(_file(tmp_path, times), None, ())
    assert (found.start_s, found.step_s) == (even.start_s, even.step_s) == (START, HOUR)
    assert np.array_equal(found.actual, even.actual)
    moved = int(np.count_nonzero(times != EVEN))
    assert f"DE: {moved} of {ROWS} time stamps lie beside round times" in found.notes[0]
    assert f"by {np.max(np.abs(times - EVEN)):.3g} s at most" in found.notes[0]


@pytest.mark.parametrize("step", [60.0, 300.0, 900.0, 1800.0, 3600.0])
def test_each_usual_step_is_found_under_a_jitter_of_a_tenth(step: float) -> None:
    even = START + step * np.arange(ROWS)
    shift = np.random.default_rng(3).uniform(-0.099 * step, 0.099 * step, ROWS)
    assert np.array_equal(stamps.snapped(even + shift), even)


@pytest.mark.parametrize(
    "times",
    [
        EVEN,
        EVEN + 7,
        START + 3601 * np.arange(ROWS),
        np.delete(EVEN, [5, 6, 50]),
        np.concatenate((EVEN[:100], EVEN[100] + 900 * np.arange(100))),
        np.concatenate((EVEN[:100], EVEN[99] + 5 + HOUR * np.arange(100))),
        EVEN[:1],
        EVEN[:2],
    ],
    ids=["even", "even beside the hour", "drifting", "holes", "two steps", "two stamps in one",
         "one row", "two rows"],
)  # fmt: skip
def test_stamps_that_do_not_jitter_are_left_alone(times: np.ndarray) -> None:
    assert np.array_equal(stamps.snapped(times), times)


def test_jitter_makes_no_holes(tmp_path: Path) -> None:
    """Of a source that is planned with, where a hole of a second would bar a window."""
    source = trace.build({"path": str(_file(tmp_path, _late(5, 30.0)))}, Surroundings.at(tmp_path))
    series = source.whole("DE")
    assert series.gaps(START, START + ROWS * HOUR) == []
    irregular = source_of(tmp_path, _late(6, 900.0))
    assert all(a == b for (_, a), (b, _) in pairwise(irregular))


def source_of(folder: Path, times: np.ndarray) -> list[tuple[float, float]]:
    series = trace.build({"path": str(_file(folder, times))}, Surroundings.at(folder)).whole("DE")
    return list(zip(series.starts.tolist(), series.ends.tolist(), strict=True))


def test_a_missing_row_of_an_irregular_log_stays_a_hole(tmp_path: Path) -> None:
    times = np.delete(np.rint(_late(7, 700.0)), [100, 101, 102])
    spans = source_of(tmp_path, times)
    holes = [(a, b) for (_, a), (b, _) in pairwise(spans) if a != b]
    assert len(holes) == 1
    assert holes[0][1] - holes[0][0] == pytest.approx(3 * HOUR, abs=2000)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("off_s", [1, 419, 1007.5])
def test_the_cells_of_a_replay_follow_the_rows(tmp_path: Path, off_s: float, ended: bool) -> None:
    """Whatever single stamp lies beside the others, and whether the file says when periods end."""
    times = np.where(np.arange(ROWS) == 99, EVEN + off_s, EVEN)
    ends = np.append(times[1:], times[-1] + HOUR) if ended else None
    found = read(_file(tmp_path, times, ends), None, ())
    assert found.actual.size <= ROWS + 2
    assert not np.isnan(found.actual).any()
    # Over all of the time the mean is that of the file, value by value.
    lasts = np.diff(np.append(times, times[-1] + HOUR))
    exact = float(lasts @ (200 + np.arange(ROWS) % 24) / lasts.sum())
    assert found.actual.mean() == pytest.approx(exact, abs=0.02)
    assert any("hold the mean over time" in n or "time stamps" in n for n in found.notes)


def test_bursts_and_disorder_cost_no_more_than_their_rows(tmp_path: Path) -> None:
    wild = np.unique(np.random.default_rng(8).integers(0, 10**7, 500)) + START
    burst = np.concatenate((START + np.arange(400.0), START + 10_000 + HOUR * np.arange(100)))
    for times in (wild, burst):
        span_s = times[-1] - times[0]
        found = read(_file(tmp_path, times), None, ())
        assert found.actual.size <= max(4 * len(times), span_s / HOUR) + 10


def test_quarters_beside_hours_stay_exact(tmp_path: Path) -> None:
    """As in files where markets went from hours to quarters."""
    times = np.concatenate((EVEN[:100], EVEN[100] + 900 * np.arange(100)))
    found = read(_file(tmp_path, times), None, ())
    assert found.step_s == 900
    assert found.actual[0, :8].tolist() == [200.0] * 4 + [201.0] * 4
    assert found.notes == ()


def test_forecasts_whose_stamps_jitter_are_those_whose_stamps_do_not(tmp_path: Path) -> None:
    even = _file(tmp_path, EVEN)

    def told(shift: np.ndarray) -> list[float]:
        rows = [
            f"{from_unix(START).isoformat()},{from_unix(t).isoformat()},DE,{100 + n}"
            for n, t in enumerate((EVEN[:48] + shift).tolist())
        ]
        path = tmp_path / "forecast.csv"
        path.write_text("\n".join(("issued_utc,target_utc,region,forecast_g_per_kwh", *rows)))
        ((_, ((_, first, values),)),) = read(even, path, ()).issued
        assert first == 0
        return list(values)

    plain = told(np.zeros(48))
    assert plain == [100.0 + n for n in range(48)]
    assert told(np.rint(np.random.default_rng(9).uniform(-30, 30, 48))) == plain


def test_forecasts_finer_than_the_trace_count_by_their_mean(tmp_path: Path) -> None:
    even = _file(tmp_path, EVEN)
    rows = [
        f"{from_unix(START).isoformat()},{from_unix(START + 900 * n).isoformat()},DE,{100 + n}"
        for n in range(8)
    ]
    path = tmp_path / "forecast.csv"
    path.write_text("\n".join(("issued_utc,target_utc,region,forecast_g_per_kwh", *rows)))
    ((_, ((_, _, values),)),) = read(even, path, ()).issued
    assert values.tolist() == pytest.approx([101.5, 105.5])


def test_a_forecast_for_a_far_year_takes_no_cells_beyond_the_trace(tmp_path: Path) -> None:
    even = _file(tmp_path, EVEN)
    path = tmp_path / "forecast.csv"
    issued = from_unix(START).isoformat()
    rows = [f"{issued},{at},DE,100" for at in (issued, "2026-03-02T01:00Z", "9000-12-31T00:00Z")]
    path.write_text("\n".join(("issued_utc,target_utc,region,forecast_g_per_kwh", *rows)))
    ((_, ((_, first, values),)),) = read(even, path, ()).issued
    assert (first, len(values)) == (0, ROWS)
    assert np.count_nonzero(~np.isnan(values)) == 2
