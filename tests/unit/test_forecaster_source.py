"""The forecaster as a source: what it learns from, how far it reaches, what it keeps."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from providers import forecaster as numerics
from providers.errors import NoData
from providers.intensity.forecaster import build
from providers.series import Series, hourly_means
from providers.surroundings import Surroundings
from scheduler.testing import FakeHistory

NOW = datetime(2026, 3, 2, 8, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _day(hours: int) -> list[float]:
    return [300 + 100 * math.cos(i / 24 * 2 * math.pi) for i in range(hours)]


def _here(folder: Path, days: float, late_h: float = 0.0) -> Surroundings:
    """History in whole days that ends ``late_h`` before this hour."""
    end = NOW.replace(minute=0) - timedelta(hours=late_h)
    history = FakeHistory(end - timedelta(days=days), _day(round(days * 24)))
    return Surroundings(folder, folder / "cache", history=history)


def _ask(here: Surroundings, hours: float = 200) -> Series:
    return build({}, here).forecast("DE", NOW, NOW + hours * HOUR, NOW)


def test_it_reaches_120_hours_from_this_hour_and_says_how_it_was_made(tmp_path: Path) -> None:
    series = _ask(_here(tmp_path, 60))
    assert series.starts[0] == NOW.timestamp()
    assert series.ends[-1] == (NOW.replace(minute=0) + 120 * HOUR).timestamp()
    assert "history" in series.source
    assert "forecaster (" in series.source
    assert np.all((series.low <= series.g_per_kwh) & (series.g_per_kwh <= series.high))


def test_days_that_repeat_are_foreseen(tmp_path: Path) -> None:
    series = _ask(_here(tmp_path, 60), 96)
    hour = (series.starts - (NOW.replace(minute=0) - timedelta(days=60)).timestamp()) // 3600
    wanted = 300 + 100 * np.cos(hour / 24 * 2 * math.pi)
    assert np.abs(series.g_per_kwh - wanted).max() < 1.0


def test_less_than_two_weeks_are_refused_and_what_there_is_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoData, match=r"needs 14 days of actuals of DE .* history has 13 days"):
        _ask(_here(tmp_path, 13))


def test_a_zone_without_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoData, match="of FR up to the last 48 h: none are stored"):
        build({}, _here(tmp_path, 30)).forecast("FR", NOW, NOW + HOUR, NOW)


def test_actuals_may_be_two_days_late_and_no_more(tmp_path: Path) -> None:
    series = _ask(_here(tmp_path, 30, late_h=47))
    assert series.ends[-1] == (NOW.replace(minute=0) + 120 * HOUR).timestamp()
    with pytest.raises(NoData, match="the last 49 h ago"):
        _ask(_here(tmp_path, 30, late_h=49))


def test_another_signal_is_not_learned_from(tmp_path: Path) -> None:
    with pytest.raises(NoData, match="needs 14 days"):
        build({"signal": "marginal"}, _here(tmp_path, 30)).forecast("DE", NOW, NOW + HOUR, NOW)


def test_what_was_learned_is_kept_for_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[int] = []
    fit = numerics.fit

    def counted(*args: object) -> numerics.Model:
        fits.append(1)
        return fit(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(numerics, "fit", counted)
    here = _here(tmp_path, 60)
    first = _ask(here)
    assert np.array_equal(_ask(here).g_per_kwh, first.g_per_kwh)
    assert len(fits) == 1
    later = NOW + timedelta(days=8)
    history = FakeHistory(later.replace(minute=0) - timedelta(days=60), _day(60 * 24))
    here = Surroundings(tmp_path, tmp_path / "cache", history=history)
    build({}, here).forecast("DE", later, later + HOUR, later)
    assert len(fits) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"not a model at all"])
def test_a_torn_model_is_learned_anew(tmp_path: Path, content: bytes) -> None:
    here = _here(tmp_path, 60)
    first = _ask(here)
    (kept,) = (tmp_path / "cache" / "forecaster").iterdir()
    kept.write_bytes(content)
    assert np.array_equal(_ask(here).g_per_kwh, first.g_per_kwh)


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    assert len(_ask(_here(tmp_path, 30)))


def test_an_hour_of_which_less_than_half_is_known_has_no_mean() -> None:
    starts = np.array([0.0, 3600.0, 3600.0 + 900])
    ends = np.array([1700.0, 4500.0, 7200.0])
    values = np.array([5.0, 10.0, 20.0])
    series = Series(
        "DE", "average", "actual", NOW, starts, ends, values, values, values, np.full(3, "x")
    )
    found = hourly_means(series, 0.0, 3, 0.5)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(17.5)
    assert np.isnan(found[2])
