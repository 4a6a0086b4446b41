"""The table of cloud regions, checked against references that may not be copied."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from providers.catalogue import catalogue, nearest_names
from providers.intensity import climatology
from providers.surroundings import Surroundings

CLOUDS = ("aws:", "gcp:", "azure:")
# Younger than the reference, or of a part of the cloud that it leaves out.
YOUNGER = {
    "aws:ap-east-2", "aws:cn-north-1", "aws:cn-northwest-1", "azure:austriaeast",
    "azure:belgiumcentral", "azure:chilecentral", "azure:malaysiawest", "azure:westindia",
}  # fmt: skip
REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
NEAR_DEGREES = 3.0
NOW = datetime(2026, 3, 2, tzinfo=UTC)

# Regions whose published centre differs between sources by 3 to 5 degrees; the zone is the same.
CENTRES_DIFFER = {"azure:germanynorth", "azure:francesouth", "azure:westcentralus", "azure:westus"}
# The SDK's file has the longitude's sign wrong: Madrid lies at 3.4 degrees west.
SIGN_WRONG = {"azure:spaincentral"}


def _reference(name: str) -> Path:
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"no {name} in the shared folder beside the repository")
    return path


def _far(name: str, lat: float, lon: float) -> bool:
    listed = catalogue()[name]
    return abs(listed.lat - lat) > NEAR_DEGREES or abs(listed.lon - lon) > NEAR_DEGREES


def test_every_region_of_the_three_clouds_stands_in_its_zone_and_place() -> None:
    rows = list(csv.DictReader(_reference("cloud-regions.csv").read_text().splitlines()))
    expected = {f"{row['provider']}:{row['region']}": row for row in rows}
    assert {n for n in catalogue() if n.startswith(CLOUDS)} == set(expected) | YOUNGER
    wrong = {n: r["em_zone"] for n, r in expected.items() if catalogue()[n].zone != r["em_zone"]}
    assert wrong == {}
    far = {n for n, r in expected.items() if _far(n, float(r["lat"]), float(r["lon"]))}
    assert far <= CENTRES_DIFFER


def test_azure_places_agree_with_the_carbon_aware_sdk_save_for_its_known_faults() -> None:
    sites = json.loads(_reference("casdk-azure-regions.json").read_text())
    known = {f"azure:{name}": site for name, site in sites.items()}
    shared = known.keys() & catalogue().keys()
    assert len(shared) > 40
    far = {
        name
        for name in shared
        if _far(name, float(known[name]["Latitude"]), float(known[name]["Longitude"]))
    }
    assert SIGN_WRONG <= far <= CENTRES_DIFFER | SIGN_WRONG


def test_zones_lie_in_the_country_and_coordinates_on_earth() -> None:
    for region in catalogue().values():
        assert region.zone.split("-")[0] == region.country, region.name
        assert -90 <= region.lat <= 90, region.name
        assert -180 <= region.lon <= 180, region.name


def _facilities() -> list[dict[str, str]]:
    text = (files("providers") / "data/pue_wue.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_a_published_regional_pue_counts_with_year_publisher_and_bounds() -> None:
    rows = _facilities()
    regions = {row["region"] for row in rows}
    assert len(regions) == 48
    for name in regions:
        of_it = {int(r["year"]): float(r["pue"]) for r in rows if r["region"] == name}
        pue = catalogue()[name].pue
        assert pue is not None
        assert pue.figure.value == of_it[max(of_it)], name
        assert str(max(of_it)) in pue.source
        assert 1 <= pue.figure.low < pue.figure.value < pue.figure.high < 2, name
        assert pue.figure.low <= min(of_it.values()) <= max(of_it.values()) <= pue.figure.high


def test_the_change_between_years_holds_the_next_year_of_nine_tenths_of_the_regions() -> None:
    by_region: dict[str, list[float]] = {}
    for row in sorted(_facilities(), key=lambda r: r["year"]):
        by_region.setdefault(row["region"], []).append(float(row["pue"]) - 1)
    pairs = [known for known in by_region.values() if len(known) == 2]
    low_high = catalogue()["gcp:us-west1"].pue
    assert low_high is not None
    by = (low_high.figure.high - 1) / (low_high.figure.value - 1)
    inside = [pair for pair in pairs if 1 / by <= pair[1] / pair[0] * (1 + 1e-9) <= by * (1 + 2e-9)]
    assert len(pairs) == 18
    assert len(inside) == 17


def test_a_region_without_a_figure_of_its_own_has_the_range_of_its_cloud() -> None:
    pue = catalogue()["aws:eu-central-2"].pue
    assert pue is not None
    assert (pue.figure.low, pue.figure.value, pue.figure.high) == (1.06, 1.14, 1.46)
    assert pue.source == "AWS, global mean (2025), bounds: its regions"
    assert catalogue()["hetzner:fsn1"].pue is None


def test_water_is_known_where_the_cloud_publishes_it() -> None:
    known = {name: r.wue_l_per_kwh for name, r in catalogue().items() if r.wue_l_per_kwh}
    assert len(known) == 22
    assert known["aws:eu-north-1"].figure.value == 0.02
    assert known["aws:eu-north-1"].source == "AWS, mean of aws:eu-north-1 (2024), without bounds"


def test_each_cloud_has_a_pue_with_year_and_source() -> None:
    seen = Counter((r.name.split(":")[0], r.pue is not None) for r in catalogue().values())
    assert seen == {
        ("aws", True): 35,
        ("aws", False): 1,
        ("gcp", True): 43,
        ("azure", True): 60,
        ("ovh", False): 15,
        ("scaleway", False): 3,
        ("hetzner", False): 6,
    }
    assert all("(20" in r.pue.source for r in catalogue().values() if r.pue)


def test_sites_of_european_hosters_lie_where_another_table_has_them() -> None:
    sites = json.loads(_reference("em-data-centers.json").read_text())
    known = {
        "ovh:gra": "ovh-fr-gravelines",
        "ovh:rbx": "ovh-fr-roubaix",
        "ovh:sbg": "ovh-fr-strasbourg",
        "ovh:bhs": "ovh-ca-beauharnois",
        "ovh:de": "ovh-de-frankfurt",
        "ovh:uk": "ovh-gb-london",
        "ovh:waw": "ovh-pl-warsaw",
        "ovh:hil": "ovh-us-hillsboro",
        "ovh:par": "ovh-fr-paris",
        "ovh:sgp": "ovh-sg-singapore",
        "ovh:syd": "ovh-au-sydney",
        "ovh:tor": "ovh-ca-toronto",
        "ovh:vin": "ovh-us-vint_hill",
        "ovh:ynm": "ovh-in-mumbai",
    }
    # Of Milan the other table has no site; of Hillsboro it has a neighbour's grid, where the
    # town's own is Portland General Electric's.
    assert set(known) | {"ovh:mil"} == {name for name in catalogue() if name.startswith("ovh:")}
    for name, site in known.items():
        lon, lat = sites[site]["lonlat"]
        assert not _far(name, lat, lon), name
        zone = "US-NW-PGE" if name == "ovh:hil" else sites[site]["zoneKey"]
        assert catalogue()[name].zone == zone, name


def test_two_regions_in_one_town_share_its_zone_and_country() -> None:
    """Where no reference has them, they agree with the neighbour that it has."""
    neighbours = {
        "scaleway:fr-par": "aws:eu-west-3",
        "scaleway:nl-ams": "azure:westeurope",
        "scaleway:pl-waw": "azure:polandcentral",
        "hetzner:ash": "gcp:us-east4",
        "hetzner:sin": "aws:ap-southeast-1",
        "hetzner:hel1": "gcp:europe-north1",
        "hetzner:nbg1": "aws:eu-central-1",
        "hetzner:fsn1": "aws:eu-central-1",
        "hetzner:hil": "ovh:hil",
        "ovh:mil": "aws:eu-south-1",
        "aws:ap-east-2": "gcp:asia-east1",
        "aws:cn-north-1": "azure:chinanorth",
        "aws:cn-northwest-1": "azure:chinanorth",
        "azure:belgiumcentral": "gcp:europe-west1",
        "azure:chilecentral": "gcp:southamerica-west1",
        "azure:malaysiawest": "aws:ap-southeast-5",
        "azure:westindia": "aws:ap-south-1",
    }
    for name, next_door in neighbours.items():
        one, other = catalogue()[name], catalogue()[next_door]
        assert (one.zone, one.country) == (other.zone, other.country), name


def test_names_of_other_sources_are_read_by_source() -> None:
    assert catalogue()["aws:us-west-1"].zones == {"watttime": "CAISO_NORTH"}
    assert catalogue()["aws:eu-north-1"].zones == {}


def test_the_climatology_has_a_level_of_2025_for_every_region_of_the_catalogue() -> None:
    source = climatology.build({}, Surroundings.at(Path()))
    for name, region in catalogue().items():
        series = source.forecast(region.zone, NOW, NOW + timedelta(hours=1), NOW)
        assert len(series) == 1, name
        assert "2025)" in series.source, name


def test_the_catalogue_cannot_be_changed_by_who_reads_it() -> None:
    with pytest.raises(TypeError):
        catalogue()["x:y"] = catalogue()["aws:eu-north-1"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("aws:eu-nort-1", "aws:eu-north-1"),
        ("gcp:us-centrl1", "gcp:us-central1"),
        ("azure:swedencentrl", "azure:swedencentral"),
    ],
)
def test_the_nearest_name_comes_first(typed: str, meant: str) -> None:
    assert nearest_names(typed, catalogue())[0] == meant


def test_a_name_like_none_has_no_nearest() -> None:
    assert nearest_names("zzzz", catalogue()) == []
