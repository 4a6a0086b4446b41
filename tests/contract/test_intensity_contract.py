"""What every source of carbon intensity promises, over all registered ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from providers import registry
from providers.errors import NoData, SettingsError
from providers.surroundings import Surroundings
from scheduler.testing import FakeProvider

if TYPE_CHECKING:
    from providers.series import IntensityProvider, Series

NOW = datetime(2026, 3, 2, 8, 20, tzinfo=UTC)
END = NOW + timedelta(hours=30, minutes=7)
HOURS = 72
TRACE = "trace.csv"

# What a source needs to be built and to know zone DE; a new one adds its line here.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "climatology": {},
    "country_mean": {},
    "trace": {"path": TRACE},
    "constant": {"g_per_kwh": 300, "source": "contract test", "zones": ["DE"]},
}
FAKES = ("fake", "fake with actuals")


@pytest.fixture(params=[*registry.targets("intensity"), *FAKES])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> IntensityProvider:
    name = request.param
    values = [100.0 + i % 24 for i in range(HOURS)]
    midnight = NOW.replace(hour=0, minute=0)
    if name in FAKES:
        return FakeProvider(midnight, {"DE": values}, actuals=name != "fake")
    rows = [f"{(midnight + timedelta(hours=i)).isoformat()},DE,{v}" for i, v in enumerate(values)]
    (tmp_path / TRACE).write_text("\n".join(("timestamp_utc,region,g_per_kwh", *rows)))
    build = registry.load("intensity", name)
    built: IntensityProvider = build(SETTINGS[name], Surroundings.at(tmp_path))
    return built


def _equal(a: Series, b: Series) -> bool:
    names = ("starts", "ends", "g_per_kwh", "low", "high", "sources")
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names)


def test_it_says_what_it_is(source: IntensityProvider) -> None:
    info = source.info
    assert info.name
    assert info.title
    assert info.licence
    assert info.needs
    assert info.signal in {"average", "marginal"}
    assert info.factors in {"direct", "lifecycle", None}
    assert info.flow in {"consumption", "production", None}


def test_the_zones_it_lists_are_zones_it_knows(source: IntensityProvider) -> None:
    listed = source.zones()
    assert listed is None or "DE" in listed


def test_a_forecast_lies_within_what_was_asked_and_is_no_less_than_nothing(
    source: IntensityProvider,
) -> None:
    series = source.forecast("DE", NOW, END, NOW)
    assert (series.zone, series.kind, series.issued_at) == ("DE", "forecast", NOW)
    assert (series.signal, series.factors) == (source.info.signal, source.info.factors)
    assert series.starts[0] == NOW.timestamp()
    assert series.ends[-1] == END.timestamp()
    assert np.all(series.low >= 0)
    assert all(series.sources.tolist())


def test_a_source_without_a_shape_has_one_value(source: IntensityProvider) -> None:
    values = set(source.forecast("DE", NOW, END, NOW).g_per_kwh.tolist())
    assert source.info.shiftable == (len(values) > 1)


def test_a_part_of_the_time_gives_the_same_part_of_the_answer(source: IntensityProvider) -> None:
    a, b = NOW + timedelta(hours=5, minutes=13), NOW + timedelta(hours=9)
    part = source.forecast("DE", a, b, NOW)
    whole = source.forecast("DE", NOW, END, NOW)
    assert _equal(part, whole.clip(a.timestamp(), b.timestamp()))


def test_the_same_question_has_the_same_answer(source: IntensityProvider) -> None:
    assert _equal(source.forecast("DE", NOW, END, NOW), source.forecast("DE", NOW, END, NOW))


def test_no_time_asked_is_nothing_told(source: IntensityProvider) -> None:
    assert len(source.forecast("DE", NOW, NOW, NOW)) == 0


def test_an_unknown_zone_is_no_data_in_one_line(source: IntensityProvider) -> None:
    with pytest.raises(NoData, match="XX-NOWHERE") as raised:
        source.forecast("XX-NOWHERE", NOW, END, NOW)
    assert "\n" not in str(raised.value)


def test_actuals_are_told_only_where_they_are_kept(source: IntensityProvider) -> None:
    series = source.actual("DE", NOW, END)
    assert series.kind == "actual"
    assert (len(series) > 0) == source.info.has_actuals


def test_a_naive_time_is_refused(source: IntensityProvider) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="no offset"):
        source.forecast("DE", naive, naive + timedelta(hours=1), NOW)


@pytest.mark.parametrize("name", registry.targets("intensity"))
def test_an_unknown_setting_is_refused_with_exit_code_3(name: str, tmp_path: Path) -> None:
    settings = {**SETTINGS[name], "no_such_setting": 1}
    with pytest.raises(SettingsError, match="no_such_setting") as raised:
        registry.load("intensity", name)(settings, Surroundings.at(tmp_path))
    assert raised.value.exit_code == 3
