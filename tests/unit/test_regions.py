"""Config laid over the catalogue: what a region is called, where it lies, who runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Triple
from scheduler.config import Config, Settings
from scheduler.models import WaterUse
from scheduler.regions import UNKNOWN_PUE, UNKNOWN_PUE_SOURCE, Regions

if TYPE_CHECKING:
    from pathlib import Path


def _regions(tmp_path: Path, **regions: Any) -> Regions:
    settings = Settings.model_validate({"regions": regions})
    return Regions(Config(settings, tmp_path / "config.yaml", tmp_path))


def test_a_listed_region_has_the_place_and_names_of_the_table(tmp_path: Path) -> None:
    region = _regions(tmp_path)["aws:us-west-1"]
    assert (region.provider, region.country, region.zone) == ("aws", "US", "US-CAL-CISO")
    assert region.zones == {"watttime": "CAISO_NORTH"}
    assert region.lat == pytest.approx(37.4)


def test_a_hoster_without_a_published_pue_has_the_range_of_an_unknown_one(tmp_path: Path) -> None:
    region = _regions(tmp_path)["hetzner:fsn1"]
    assert (region.pue, region.pue_source) == (UNKNOWN_PUE, UNKNOWN_PUE_SOURCE)


def test_a_declared_pue_and_water_use_win_over_the_table_each_with_its_source(
    tmp_path: Path,
) -> None:
    listed = _regions(tmp_path)["aws:us-east-1"].site
    assert (listed.pue.value, listed.water and listed.water.l_per_kwh.value) == (1.15, 0.12)
    own = {
        "pue": {"value": 1.3, "source": "our contract"},
        "wue_l_per_kwh": {"value": 0.5, "high": 0.7, "source": "our water bill"},
    }
    site = _regions(tmp_path, **{"aws:us-east-1": own})["aws:us-east-1"].site
    assert (site.pue, site.pue_source) == (Triple.exact(1.3), "our contract")
    assert site.water == WaterUse(Triple(0.5, 0.5, 0.7), "our water bill")
    assert _regions(tmp_path)["local"].site.water is None


def test_an_own_site_lies_nowhere_until_the_config_says_where(tmp_path: Path) -> None:
    bare = _regions(tmp_path, lab={"zone": "DE"})["lab"]
    assert (bare.provider, bare.place, bare.country, bare.lat) == ("own", "own", None, None)
    told = _regions(tmp_path, lab={"place": "Potsdam", "country": "de", "lat": 52.4, "lon": 13.1})[
        "lab"
    ]
    assert (told.place, told.country, told.lat, told.lon) == ("Potsdam", "DE", 52.4, 13.1)


def test_names_of_the_config_are_laid_over_the_table(tmp_path: Path) -> None:
    own = {"aws:us-west-1": {"zones": {"eia": "CAL"}}}
    region = _regions(tmp_path, **own)["aws:us-west-1"]
    assert region.zones == {"watttime": "CAISO_NORTH", "eia": "CAL"}


def test_another_zone_does_not_keep_the_names_of_the_first(tmp_path: Path) -> None:
    own = {"aws:us-west-1": {"zone": "US-CAL-LDWP"}}
    assert _regions(tmp_path, **own)["aws:us-west-1"].zones == {}


@pytest.mark.parametrize(
    "wrong", [{"lat": 52.4}, {"country": "Germany"}, {"country": False}, {"lat": 91, "lon": 0}]
)
def test_a_place_that_is_none_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"lat|country"):
        _regions(tmp_path, lab=wrong)
