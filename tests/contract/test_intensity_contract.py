"""What every source of carbon intensity promises, over all registered ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.clock import NOW
from support.plays import KEYS, PLAYS
from support.server import Play, SourceServer

from providers import registry
from providers.errors import AccessDenied, NoData, SettingsError
from providers.surroundings import Surroundings
from scheduler.testing import FakeHistory, FakeProvider

if TYPE_CHECKING:
    from providers.series import IntensityProvider, Series

LONG = timedelta(hours=30, minutes=7)
# A source that does not reach so far at NOW: the rest of its day.
REACHES = {"energy_charts": timedelta(hours=14)}
HOURS = 72
TRACE = "trace.csv"

# What a source needs to be built and to know zone DE; a new one adds its line here.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "climatology": {},
    "forecaster": {},
    "country_mean": {},
    "trace": {"path": TRACE},
    "constant": {"g_per_kwh": 300, "source": "contract test", "zones": ["DE"]},
}
FAKES = ("fake", "fake with actuals")


@dataclass(frozen=True)
class Case:
    """A source under test: a zone that it knows, and how far it is asked."""

    source: IntensityProvider
    zone: str
    end: datetime

    def forecast(self, start: datetime = NOW, end: datetime | None = None) -> Series:
        """What it expects of the zone."""
        return self.source.forecast(self.zone, start, end or self.end, NOW)


@pytest.fixture
def case(source: IntensityProvider, request: pytest.FixtureRequest) -> Case:
    name = request.node.callspec.params["source"]
    horizon = source.info.horizon_h
    reach = REACHES.get(name, LONG if horizon is None else timedelta(hours=horizon))
    zone = PLAYS[name][1] if name in PLAYS else "DE"
    return Case(source, zone, NOW + min(LONG, reach))


@pytest.fixture
def ahead(case: Case) -> Case:
    """A source that looks ahead at all."""
    if case.source.info.horizon_h == 0:
        pytest.skip(f"{case.source.info.name} has no forecast")
    return case


@pytest.fixture(params=[*registry.targets("intensity"), *FAKES])
def source(
    request: pytest.FixtureRequest, tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> IntensityProvider:
    name = request.param
    values = [100.0 + i % 24 for i in range(HOURS)]
    midnight = NOW.replace(hour=0, minute=0)
    if name in FAKES:
        return FakeProvider(midnight, {"DE": values}, actuals=name != "fake")
    rows = [f"{(midnight + timedelta(hours=i)).isoformat()},DE,{v}" for i, v in enumerate(values)]
    (tmp_path / TRACE).write_text("\n".join(("timestamp_utc,region,g_per_kwh", *rows)))
    settings = _settings(name)
    if name in PLAYS:
        settings["base_url"] = serve(PLAYS[name][2]).url
    past = [200.0 + 50 * np.sin(i / 24 * 2 * np.pi) + i % 7 for i in range(30 * 24)]
    history = FakeHistory(midnight - timedelta(days=29), past)
    here = Surroundings(tmp_path, tmp_path / "cache", KEYS, history)
    built: IntensityProvider = registry.load("intensity", name)(settings, here)
    return built


def _settings(name: str) -> dict[str, Any]:
    return dict(PLAYS[name][0] if name in PLAYS else SETTINGS[name])


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


def test_a_live_source_says_so(case: Case, request: pytest.FixtureRequest) -> None:
    assert case.source.info.live == (request.node.callspec.params["source"] in {*PLAYS, *FAKES})


def test_the_zones_it_lists_are_zones_it_knows(case: Case) -> None:
    listed = case.source.zones()
    assert listed is None or case.zone in listed


def test_a_forecast_lies_within_what_was_asked_and_is_no_less_than_nothing(ahead: Case) -> None:
    series = ahead.forecast()
    assert (series.zone, series.kind, series.issued_at) == (ahead.zone, "forecast", NOW)
    info = ahead.source.info
    assert (series.signal, series.factors) == (info.signal, info.factors)
    assert series.starts[0] == NOW.timestamp()
    assert series.ends[-1] == ahead.end.timestamp()
    assert not series.gaps(NOW.timestamp(), ahead.end.timestamp())
    assert np.all(series.low >= 0)
    assert all(series.sources.tolist())


def test_a_source_without_a_shape_has_one_value(ahead: Case) -> None:
    values = set(ahead.forecast().g_per_kwh.tolist())
    assert ahead.source.info.shiftable == (len(values) > 1)


def test_a_part_of_the_time_gives_the_same_part_of_the_answer(ahead: Case) -> None:
    a, b = NOW + (ahead.end - NOW) / 5, NOW + (ahead.end - NOW) / 3
    assert _equal(ahead.forecast(a, b), ahead.forecast().clip(a.timestamp(), b.timestamp()))


def test_the_same_question_has_the_same_answer(ahead: Case) -> None:
    assert _equal(ahead.forecast(), ahead.forecast())


def test_no_time_asked_is_nothing_told(case: Case) -> None:
    assert len(case.forecast(NOW, NOW)) == 0


def test_an_unknown_zone_is_no_data_in_one_line(case: Case) -> None:
    with pytest.raises(NoData, match="XX-NOWHERE") as raised:
        case.source.forecast("XX-NOWHERE", NOW, case.end, NOW)
    assert "\n" not in str(raised.value)


def test_a_source_without_forecast_says_so(case: Case) -> None:
    if case.source.info.horizon_h == 0:
        with pytest.raises(NoData, match="no forecast") as raised:
            case.forecast(NOW, NOW + timedelta(hours=1))
        assert case.zone in str(raised.value)


@pytest.mark.parametrize("name", PLAYS)
def test_a_key_that_is_wanted_is_asked_for_by_name_and_not_the_network(
    name: str, tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(PLAYS[name][2])
    settings = {**_settings(name), "base_url": server.url}
    source = registry.load("intensity", name)(settings, Surroundings.at(tmp_path))
    if source.info.key_env is not None:
        with pytest.raises(AccessDenied, match=r"set [A-Z_]+; one is had at http") as raised:
            source.actual(PLAYS[name][1], NOW - timedelta(hours=1), NOW)
        assert "\n" not in str(raised.value)
        assert not server.asked


def test_actuals_are_told_only_where_they_are_kept(case: Case) -> None:
    start = NOW - timedelta(hours=7, minutes=50)
    series = case.source.actual(case.zone, start, NOW)
    assert series.kind == "actual"
    assert (len(series) > 0) == case.source.info.has_actuals
    assert np.all((series.starts >= start.timestamp()) & (series.ends <= NOW.timestamp()))


def test_a_naive_time_is_refused(case: Case) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="no offset"):
        case.source.forecast(case.zone, naive, naive + timedelta(hours=1), NOW)


@pytest.mark.parametrize("name", registry.targets("intensity"))
def test_an_unknown_setting_is_refused_with_exit_code_3(name: str, tmp_path: Path) -> None:
    settings = {**_settings(name), "no_such_setting": 1}
    with pytest.raises(SettingsError, match="no_such_setting") as raised:
        registry.load("intensity", name)(settings, Surroundings.at(tmp_path))
    assert raised.value.exit_code == 3
