"""The backtest's scores by hand, and that no forecast ever saw what came after it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers.errors import BadData, NoData
from providers.intensity.trace import build
from providers.surroundings import Surroundings
from scheduler import backtest
from scheduler.backtest.run import hourly_of
from scheduler.backtest.scoring import coverage, mape_by_day
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 1, 1, tzinfo=UTC)
START_S = START.timestamp()
HOUR_S = 3600.0
NAN = np.nan


def test_what_a_window_saves_by_hand() -> None:
    actual = np.array([[10.0, 8.0, 2.0, 4.0], [6.0, 9.0, 3.0, 3.0]])
    value = np.array([[9.0, 1.0, 5.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    # The first chooses its second hour (a tie, the earliest), the second runs now.
    assert backtest.savings(value, actual, 1, 3) == pytest.approx((100 * 2 / 16, 100 * 11 / 16))
    # Windows of two: told 5, 3, 3 and 1.5, 2.5, 3.5; came 9, 5, 3 and 7.5, 6, 3.
    assert backtest.savings(value, actual, 2, 2) == pytest.approx(
        (100 * 4 / 16.5, 100 * 10.5 / 16.5)
    )


def test_an_issue_with_an_unknown_hour_in_reach_counts_nowhere() -> None:
    actual = np.array([[10.0, 5.0, NAN], [10.0, NAN, 1.0]])
    value = np.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    assert backtest.savings(value, actual, 1, 1) == (50.0, 50.0)
    assert backtest.savings(value, actual, 1, 2) is None
    assert backtest.savings(value, np.zeros((2, 3)), 1, 2) is None


def test_a_tie_by_rounding_goes_to_the_earliest() -> None:
    actual = np.array([[5.0, 2.0, 3.0]])
    value = np.array([[1.0, 0.3, 0.1 + 0.2 - 1e-12]])
    assert backtest.savings(value, actual, 1, 2) == (60.0, 60.0)


def test_shares_average_savings_before_they_divide() -> None:
    assert backtest.share([(5.0, 10.0), (30.0, 30.0)]) == pytest.approx(87.5)
    assert backtest.share([(5.0, 10.0), None]) == pytest.approx(50.0)
    assert backtest.share([(0.0, 0.09)]) is None
    assert backtest.share([None]) is None


def test_errors_by_day_leave_zeros_and_unknowns_out() -> None:
    actual = np.full((2, 96), 10.0)
    value = actual.copy()
    value[0, :24] = 11.0
    actual[1, 24:48], actual[0, 24], value[0, 25] = 0.0, NAN, 20.0
    actual[:, 48:72] = 0.0
    days, zeros = mape_by_day(value, actual)
    assert days == [pytest.approx(5.0), pytest.approx(100 / 23), None, pytest.approx(0.0)]
    assert zeros == 24 + 48


def test_coverage_counts_known_hours() -> None:
    low, high = np.full((1, 4), 1.0), np.full((1, 4), 2.0)
    assert coverage(low, high, np.array([[1.0, 2.0, 3.0, NAN]])) == pytest.approx(200 / 3)
    assert coverage(low, high, np.full((1, 4), NAN)) is None


def _noisy(days: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    rng = np.random.default_rng(3)
    hours = np.arange(days * 24)
    return np.maximum(300 + 90 * np.sin(hours / 3.82) + rng.normal(0, 20, len(hours)), 0.0)


def test_the_future_never_changes_an_earlier_forecast() -> None:
    hourly = _noisy(60)
    cut = 45 * 24
    other = hourly.copy()
    other[cut:] = 999.0
    one = backtest.replay(hourly, START_S, None, None)
    two = backtest.replay(other, START_S, None, None)
    assert one is not None
    assert two is not None
    before = one.issues <= cut
    assert before.sum() > 100
    for name in ("low", "value", "high"):
        assert np.array_equal(getattr(one, name)[before], getattr(two, name)[before])
    assert not np.array_equal(one.value[~before], two.value[~before])


def test_issues_start_with_14_days_and_end_with_120_h_to_go() -> None:
    found = backtest.replay(_noisy(40), START_S + 2 * HOUR_S, None, None)
    assert found is not None
    # The series begins at 02:00: the first issue at 06:00 of the 15th day.
    assert found.issues[0] == 14 * 24 + 4
    assert found.issues[-1] <= 40 * 24 - 120
    assert set(np.diff(found.issues)) == {6}
    assert (found.issues[found.midnight] + 2) % 24 == pytest.approx(0)
    assert set(found.methods) == {"hod7decay"}
    part = backtest.replay(_noisy(40), START_S, START_S + 20 * 86400, START_S + 30 * 86400 + HOUR_S)
    assert part is not None
    assert (part.issues[0], part.issues[-1]) == (20 * 24, 25 * 24)
    assert backtest.replay(_noisy(18), START_S, None, None) is None


def test_issues_without_14_known_days_before_them_are_left_out() -> None:
    hourly = _noisy(40)
    hourly[24 : 15 * 24] = NAN
    found = backtest.replay(hourly, START_S, None, None)
    assert found is not None
    assert found.issues[0] == 28 * 24


def test_an_issue_whose_actuals_are_over_two_days_old_is_none() -> None:
    hourly = _noisy(40)
    hourly[20 * 24 : 24 * 24] = NAN
    found = backtest.replay(hourly, START_S, None, None)
    assert found is not None
    left_out = {*range(14 * 24, 35 * 24 + 1, 6)} - set(found.issues.tolist())
    # From the end of the second day on, until actuals are known again.
    assert left_out == {*range(22 * 24 + 6, 24 * 24 + 1, 6)}


def _csv(path: Path, rows: list[str]) -> Path:
    path.write_text("timestamp_utc,region,g_per_kwh\n" + "\n".join(rows) + "\n")
    return path


def _rows(days: float, step_h: float = 1.0, zone: str = "DE") -> list[str]:
    made = []
    for n in range(round(days * 24 / step_h)):
        at = datetime.fromtimestamp(START_S + n * step_h * HOUR_S, UTC)
        made.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{zone},{100 + at.hour + n % 2}")
    return made


def test_half_hours_become_hourly_means_and_part_of_an_hour_is_unknown(tmp_path: Path) -> None:
    rows = _rows(1, step_h=0.5)
    path = _csv(tmp_path / "half.csv", [*rows[:4], *rows[5:]])
    hourly, start = hourly_of(build({"path": str(path)}, Surroundings.at(tmp_path)).whole("DE"))
    assert start == START_S
    assert hourly[:2] == pytest.approx([100.5, 101.5])
    assert np.isnan(hourly[2])
    assert len(hourly) == 24
    long = _csv(tmp_path / "long.csv", _rows(30, step_h=3))
    with pytest.raises(BadData, match="steps of 3 h"):
        backtest.run(long)


def test_regions_are_told_and_means_stand_over_them(tmp_path: Path) -> None:
    path = _csv(tmp_path / "two.csv", [*_rows(24), *_rows(24, zone="FR")])
    heard = []
    found = backtest.run(path, on_region=lambda *what: heard.append(what))
    assert heard == [("DE", 0, 2), ("FR", 1, 2)]
    assert [row["region"] for row in found["regions"]] == ["DE", "FR"]
    assert (found["from"], found["to"]) == ("2024-01-15T00:00:00Z", "2024-01-25T00:00:00Z")
    assert [row["region"] for row in backtest.run(path, ["FR"])["regions"]] == ["FR"]


def test_a_span_without_issues_is_refused(tmp_path: Path) -> None:
    path = _csv(tmp_path / "short.csv", _rows(18))
    with pytest.raises(NoData, match="14 days of history"):
        backtest.run(path)
    with pytest.raises(UsageError, match="is not before --to"):
        backtest.run(path, from_s=START_S, to_s=START_S)
