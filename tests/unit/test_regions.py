"""Regions: config laid over the table, filters, distances, and what is usual in a zone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from providers.errors import NoData
from providers.intensity import typical
from scheduler.comparison import Spot
from scheduler.config import Config, Settings
from scheduler.engine.selection import GROUPS, select, spot
from scheduler.errors import UsageError
from scheduler.regions import UNKNOWN_PUE, Regions

if TYPE_CHECKING:
    from pathlib import Path


def _regions(tmp_path: Path, **regions: Any) -> Regions:
    settings = Settings.model_validate({"regions": regions})
    return Regions(Config(settings, tmp_path / "config.yaml", tmp_path))


LAB = {"zone": "DE", "country": "DE", "lat": 52.4, "lon": 13.1, "place": "Potsdam"}


def test_an_own_site_stands_where_the_config_says_and_else_nowhere(tmp_path: Path) -> None:
    regions = _regions(tmp_path, lab=LAB, bare={"zone": "DE"})
    lab, bare = regions["lab"], regions["bare"]
    assert (lab.provider, lab.place, lab.country, lab.lat) == ("own", "Potsdam", "DE", 52.4)
    assert (bare.provider, bare.place, bare.country, bare.lat) == ("own", "own", None, None)


def test_the_config_is_laid_over_the_table(tmp_path: Path) -> None:
    moved = {"lat": 38.0, "lon": -122.5, "zones": {"eia": "CAL"}}
    region = _regions(tmp_path, **{"aws:us-west-1": moved})["aws:us-west-1"]
    assert (region.lat, region.lon, region.country) == (38.0, -122.5, "US")
    assert region.zones == {"watttime": "CAISO_NORTH", "eia": "CAL"}


def test_names_of_a_zone_do_not_outlive_it(tmp_path: Path) -> None:
    region = _regions(tmp_path, **{"aws:us-west-1": {"zone": "US-CAL-LDWP"}})["aws:us-west-1"]
    assert region.zones == {}


def test_a_region_without_a_published_pue_has_the_range_of_an_unknown_one(tmp_path: Path) -> None:
    assert _regions(tmp_path)["hetzner:fsn1"].pue == UNKNOWN_PUE


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lat": 52.4}, "lat and lon belong together"),
        ({"lat": 91, "lon": 0}, "lat"),
        ({"country": "Germany"}, "country"),
        ({"country": False}, "quote the country"),
    ],
)
def test_a_place_that_is_none_is_refused(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _regions(tmp_path, lab=wrong)


def test_filters_are_all_to_be_passed(tmp_path: Path) -> None:
    regions = _regions(tmp_path, lab=LAB)
    found = select(regions, providers=["hetzner", "own"], within=["de"]).regions
    assert {r.name for r in found} == {"lab", "hetzner:fsn1", "hetzner:nbg1"}
    berlin = spot("Berlin", regions)
    near = select(regions, ["lab", "hetzner:fsn1"], near=berlin, within_km=100).regions
    assert [r.name for r in near] == ["lab"]


def test_residency_is_that_of_the_members(tmp_path: Path) -> None:
    regions = _regions(tmp_path)

    def lands(*within: str) -> set[str | None]:
        return {r.country for r in select(regions, within=within).regions}

    assert len(GROUPS["EU"]) == 27
    assert lands("EU") <= GROUPS["EU"]
    assert not lands("EU") & {"GB", "CH", "NO"}
    assert lands("EEA") - lands("EU") == {"NO"}
    assert lands("EFTA") == {"CH", "NO"}
    assert lands("EU", "gb") == lands("EU") | {"GB"}


def test_who_cannot_be_judged_is_left_out_and_named(tmp_path: Path) -> None:
    regions = _regions(tmp_path, bare={"zone": "DE"})
    told = select(regions, ["bare", "aws:eu-north-1"], within=["EU"])
    assert [r.name for r in told.regions] == ["aws:eu-north-1"]
    assert "regions.bare.country" in told.notes[0]
    near = spot("Stockholm", regions)
    told = select(regions, ["bare", "aws:eu-north-1"], near=near, within_km=5)
    assert [r.name for r in told.regions] == ["aws:eu-north-1"]
    assert "regions.bare.lat" in told.notes[0]


@pytest.mark.parametrize(
    "text", ["Zurich", "zürich", "aws:eu-central-2", "47.4,8.5", " 47.4 , 8.5"]
)
def test_a_spot_has_many_names(tmp_path: Path, text: str) -> None:
    found = spot(text, _regions(tmp_path))
    assert (found.lat, found.lon) == (47.4, 8.5)


def test_a_spot_may_be_the_town_before_the_comma(tmp_path: Path) -> None:
    assert spot("ashburn", _regions(tmp_path)).lon == pytest.approx(-77.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Berln", "nearest are berlin"),
        ("bare", r"regions\.bare\.lat"),
        ("91,0", "between -90 and 90"),
        ("0,-181", "between -180 and 180"),
        ("qqqqqqqq", "or write LAT,LON"),
    ],
)
def test_a_spot_that_nobody_knows_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        spot(text, _regions(tmp_path, bare={"zone": "DE"}))


def test_distances_are_those_of_great_circles() -> None:
    """A quarter of the meridian, a half of the equator, and across the date line."""
    pole, zero = Spot("pole", 90, 0), Spot("zero", 0, 0)
    assert pole.km_to(0, 77) == pytest.approx(10_007.557, abs=0.01)
    assert zero.km_to(0, 180) == pytest.approx(20_015.115, abs=0.01)
    assert Spot("fiji", 0, 179).km_to(0, -179) == pytest.approx(222.39, abs=0.01)
    assert zero.km_to(0, 0) == 0
    assert zero.km_to(None, None) is None


def test_the_year_is_the_mean_of_its_seasons() -> None:
    usual = typical.of("DE")
    days = {"DJF": 90, "MAM": 92, "JJA": 92, "SON": 91}
    whole = sum(usual.seasons[name] * n for name, n in days.items()) / 365
    assert usual.yearly == pytest.approx(whole)
    assert 300 < usual.yearly < 600
    assert usual.source.endswith("average, lifecycle, consumption")


def test_a_zone_without_hours_has_the_mean_of_its_country_and_no_seasons() -> None:
    usual = typical.of("QA")
    assert dict(usual.seasons) == {}
    assert usual.source == "country mean (Ember 2023), average, lifecycle, production"
    with pytest.raises(NoData, match="no country XX"):
        typical.of("XX")


def test_every_month_has_its_season() -> None:
    assert [typical.season_of(m) for m in (1, 2, 3, 5, 6, 8, 9, 11, 12)] == [
        "DJF", "DJF", "MAM", "MAM", "JJA", "JJA", "SON", "SON", "DJF",
    ]  # fmt: skip
