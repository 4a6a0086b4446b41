"""The sources inside the package, and the declared constant."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from providers import typical
from providers.base import Triple
from providers.errors import NoData, SettingsError
from providers.intensity import climatology, constant, country_mean
from providers.surroundings import Surroundings

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
HERE = Surroundings.at(Path())


@cache
def _table() -> dict[tuple[str, int, int], dict[str, str]]:
    raw = (files("providers") / typical.TABLE).read_bytes()
    rows = csv.DictReader(gzip.decompress(raw).decode().splitlines())
    return {(row["zone"], int(row["month"]), int(row["hour_utc"])): row for row in rows}


@cache
def _means() -> dict[str, dict[int, float]]:
    """The yearly table, read by other code than the source's."""
    found: dict[str, dict[int, float]] = {}
    text = (files("providers") / typical.YEARLY).read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["zone"], {})[int(row["year"])] = float(row["g_per_kwh"])
    return found


def _year(source: climatology.Climatology, zone: str) -> Triple:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = datetime(2027, 1, 1, tzinfo=UTC)
    mean = source.forecast(zone, start, end, NOW).mean(start.timestamp(), end.timestamp())
    assert mean is not None
    return mean


def test_the_table_is_whole_for_every_zone() -> None:
    table = _table()
    zones = typical.shapes().keys()
    assert len(zones) == 123
    assert len(_means()) == 352
    assert climatology.build({}, HERE).zones() == zones | _means().keys()
    assert table.keys() == {(z, m, h) for z in zones for m in range(1, 13) for h in range(24)}


@pytest.mark.parametrize("zone", ["DE", "AT", "SE-SE3", "US-CAL-CISO", "ZA", "IN-UP"])
def test_each_hour_has_the_shape_of_its_month_and_utc_hour(zone: str) -> None:
    """Over a turn of year and of a leap February, from every start; IN-UP has no yearly mean."""
    table, source = _table(), climatology.build({}, HERE)
    rows = [row for key, row in table.items() if key[0] == zone]
    days = sum(int(row["days"]) for row in rows)
    usual = sum(float(row["mean_g_per_kwh"]) * int(row["days"]) for row in rows) / days
    scale = _means()[zone][2025] / usual if zone in _means() else 1.0
    for start in (datetime(2027, 12, 30, tzinfo=UTC), datetime(2028, 2, 27, tzinfo=UTC)):
        series = source.forecast(zone, start, start + 96 * HOUR, NOW)
        assert len(series) == 96
        for i, (value, low, high) in enumerate(
            zip(series.g_per_kwh, series.low, series.high, strict=True)
        ):
            at = start + i * HOUR
            row = table[zone, at.month, at.hour]
            mean, p10, p90 = (float(row[f"{k}_g_per_kwh"]) for k in ("mean", "p10", "p90"))
            assert series.starts[i] == at.timestamp()
            assert value == pytest.approx(scale * mean)
            # Wider than the days of one year: years differ, too.
            assert low < scale * min(p10, mean)
            assert high > scale * max(p90, mean)


@pytest.mark.parametrize("zone", sorted(typical.yearly())[::40])
def test_the_mean_over_a_year_is_the_newest_yearly_mean(zone: str) -> None:
    assert _year(climatology.build({}, HERE), zone).value == pytest.approx(_means()[zone][2025])


@pytest.mark.parametrize("year", [2024, 2025])
@pytest.mark.parametrize("hourly", [True, False], ids=["with hourly shape", "yearly mean alone"])
def test_the_mean_of_a_following_year_lies_inside_the_band_of_2023(year: int, hourly: bool) -> None:
    """In nine tenths of the zones; the band is computed from the years up to 2023 alone."""
    source = climatology.Climatology(until=2023)
    zones = [z for z in _means() if (z in typical.shapes()) == hourly]
    bands = {zone: _year(source, zone) for zone in zones}
    inside = [z for z, band in bands.items() if band.low <= _means()[z][year] <= band.high]
    assert len(inside) >= 0.9 * len(zones)


def test_a_zone_without_hourly_shape_has_one_mean_at_all_times() -> None:
    series = climatology.build({}, HERE).forecast("CN", NOW, NOW + 48 * HOUR, NOW)
    assert series.g_per_kwh.tolist() == [_means()["CN"][2025]]
    assert series.low[0] < series.g_per_kwh[0] < series.high[0]
    assert series.source == "climatology (Electricity Maps, mean of 2025)"


def test_an_odd_span_is_cut_within_the_hours() -> None:
    start = datetime(2026, 1, 31, 23, 20, tzinfo=UTC)
    series = climatology.build({}, HERE).forecast("DE", start, start + 1.5 * HOUR, NOW)
    minutes = ((series.ends - series.starts) / 60).tolist()
    assert minutes == [40, 50]
    months = climatology.months("DE")
    assert months is not None
    assert series.g_per_kwh.tolist() == [months[0, 23], months[1, 0]]


@pytest.mark.parametrize(("zone", "level"), [("DE", 2025), ("IN-UP", 2022)])
def test_the_years_of_shape_and_level_stand_in_every_interval(zone: str, level: int) -> None:
    series = climatology.build({}, HERE).forecast(zone, NOW, NOW + 3 * HOUR, NOW)
    said = f"climatology (Electricity Maps, shape of 2022, level of {level})"
    assert set(series.sources.tolist()) == {said}
    assert (series.factors, series.flow) == ("lifecycle", "consumption")


def test_the_zone_before_a_similar_name_is_not_taken_for_it() -> None:
    with pytest.raises(NoData, match="has no zone US-CAL"):
        climatology.build({}, HERE).forecast("US-CAL", NOW, NOW + HOUR, NOW)


@pytest.mark.parametrize(("zone", "country"), [("PL", "PL"), ("US-CAL-CISO", "US"), ("CN", "CN")])
def test_a_country_mean_serves_every_zone_of_the_country(zone: str, country: str) -> None:
    text = (files("providers") / "data/country_means.csv").read_text(encoding="utf-8")
    row = next(r for r in csv.DictReader(text.splitlines()) if r["iso2"] == country)
    series = country_mean.build({}, HERE).forecast(zone, NOW, NOW + 48 * HOUR, NOW)
    span = NOW.timestamp(), (NOW + 48 * HOUR).timestamp()
    assert series.mean(*span) == Triple.exact(float(row["g_per_kwh"]))
    assert series.source == f"country mean (Ember {row['year']})"


def test_every_country_mean_is_a_plausible_figure_of_a_known_year() -> None:
    text = (files("providers") / "data/country_means.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len({row["iso2"] for row in rows}) == len({row["iso3"] for row in rows}) == len(rows)
    for row in rows:
        # From hydropower alone (20) to old gas plants (Turkmenistan, 1306).
        assert 10 < float(row["g_per_kwh"]) < 1400, row
        # Small grids are surveyed rarely; the year stands in the source's name.
        assert 2000 <= int(row["year"]) <= 2024, row
        assert (len(row["iso2"]), len(row["iso3"])) == (2, 3), row


def test_an_unknown_country_is_no_data_and_never_a_world_mean() -> None:
    with pytest.raises(NoData, match="no country XX"):
        country_mean.build({}, HERE).forecast("XX-1", NOW, NOW + HOUR, NOW)


def test_a_constant_carries_its_band_and_its_stated_source() -> None:
    settings = {
        "g_per_kwh": {"low": 20, "value": 30, "high": 45},
        "source": "own solar roof, meter of 2025",
        "zones": ["roof"],
        "signal": "marginal",
    }
    source = constant.build(settings, HERE)
    series = source.forecast("roof", NOW, NOW + HOUR, NOW)
    assert series.mean(NOW.timestamp(), NOW.timestamp() + 60) == Triple(20, 30, 45)
    assert series.source == "constant (own solar roof, meter of 2025)"
    assert (series.signal, source.info.signal) == ("marginal", "marginal")
    with pytest.raises(NoData, match="declared for roof, not DE"):
        source.forecast("DE", NOW, NOW + HOUR, NOW)


def test_a_constant_without_zones_serves_any() -> None:
    source = constant.build({"g_per_kwh": 0, "source": "island grid"}, HERE)
    assert source.zones() is None
    series = source.forecast("anything", NOW, NOW + HOUR, NOW)
    assert series.mean(NOW.timestamp(), NOW.timestamp() + 60) == Triple.exact(0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"g_per_kwh": 100}, "source: Field required"),
        ({"g_per_kwh": 100, "source": "   "}, "source"),
        ({"g_per_kwh": -1, "source": "guess"}, "greater than or equal to 0"),
        ({"g_per_kwh": float("nan"), "source": "guess"}, "g_per_kwh"),
        ({"g_per_kwh": "much", "source": "guess"}, "g_per_kwh.low: .*number"),
        ({"g_per_kwh": {"low": 3, "value": 2, "high": 4}, "source": "guess"}, "out of order"),
        ({"g_per_kWh": 100, "source": "guess"}, "did you mean 'g_per_kwh'|Field required"),
    ],
    ids=["no source", "blank source", "negative", "not a number", "text", "bounds", "wrong key"],
)
def test_a_constant_needs_a_number_and_a_source(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        constant.build(settings, HERE)


@pytest.mark.parametrize("module", [climatology, country_mean])
def test_an_embedded_source_takes_no_settings(module: Any) -> None:
    with pytest.raises(SettingsError, match="unknown key"):
        module.build({"year": 2022}, HERE)


def test_licences_and_attributions_ship_beside_the_data() -> None:
    data = files("providers") / "data"
    for name in ("ODbL-1.0", "CC-BY-4.0"):
        text = (data / "LICENSES" / f"{name}.txt").read_text(encoding="utf-8")
        assert text.startswith(f"SPDX-License-Identifier: {name}\n")
        assert len(text) > 10_000
    wanted = "Contains information from Electricity Maps, made available under the ODbL 1.0"
    for name in ("NOTICE", "climatology/ATTRIBUTION.md"):
        said = " ".join((data / name).read_text(encoding="utf-8").split())
        assert wanted in said, name


def test_asking_one_embedded_zone_needs_no_http_client_and_no_database() -> None:
    code = (
        "import sys; from pathlib import Path; from datetime import *\n"
        "from providers import registry\n"
        "from providers.surroundings import Surroundings\n"
        "t = datetime(2026, 1, 1, tzinfo=timezone.utc)\n"
        "s = registry.load('intensity', 'climatology')({}, Surroundings.at(Path()))\n"
        "s.forecast('DE', t, t + timedelta(days=1), t)\n"
        "print(sorted({'requests', 'sqlmodel', 'scheduler', 'apscheduler'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
