"""The table of cloud regions, checked against references that may not be copied."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from providers.catalogue import CatalogueRegion, catalogue, nearest_names
from providers.intensity import climatology, country_mean
from providers.surroundings import Surroundings

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
NEAR_DEGREES = 3.0
NOW = datetime(2026, 3, 2, tzinfo=UTC)

# Regions whose published centre differs between sources by 3 to 5 degrees; the zone is the same.
CENTRES_DIFFER = {"azure:germanynorth", "azure:francesouth", "azure:westcentralus", "azure:westus"}
# The SDK's file has the longitude's sign wrong: Madrid lies at 3.4 degrees west.
SIGN_WRONG = {"azure:spaincentral"}
# Younger than the reference, or of a provider's part that it leaves out.
YOUNGER = {
    "aws:ap-east-2", "aws:cn-north-1", "aws:cn-northwest-1", "azure:austriaeast",
    "azure:belgiumcentral", "azure:chilecentral", "azure:malaysiawest", "azure:westindia",
}  # fmt: skip
# The reference's names of OVHcloud's sites; it has none in Milan.
OVH = {
    "bhs": "ca-beauharnois", "de": "de-frankfurt", "gra": "fr-gravelines", "hil": "us-hillsboro",
    "par": "fr-paris", "rbx": "fr-roubaix", "sbg": "fr-strasbourg", "sgp": "sg-singapore",
    "syd": "au-sydney", "tor": "ca-toronto", "uk": "gb-london", "vin": "us-vint_hill",
    "waw": "pl-warsaw", "ynm": "in-mumbai",
}  # fmt: skip


def _reference(name: str) -> Path:
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"no {name} in the shared folder beside the repository")
    return path


def _far(name: str, lat: float, lon: float) -> bool:
    listed = catalogue()[name]
    return abs(listed.lat - lat) > NEAR_DEGREES or abs(listed.lon - lon) > NEAR_DEGREES


def _of(*providers: str) -> dict[str, CatalogueRegion]:
    return {name: r for name, r in catalogue().items() if r.provider in providers}


def test_every_region_of_the_three_clouds_stands_in_its_zone_and_place() -> None:
    rows = list(csv.DictReader(_reference("cloud-regions.csv").read_text().splitlines()))
    expected = {f"{row['provider']}:{row['region']}": row for row in rows}
    assert set(_of("aws", "gcp", "azure")) == set(expected) | YOUNGER
    wrong = {n: r["em_zone"] for n, r in expected.items() if catalogue()[n].zone != r["em_zone"]}
    assert wrong == {}
    far = {n for n, r in expected.items() if _far(n, float(r["lat"]), float(r["lon"]))}
    assert far <= CENTRES_DIFFER


def test_every_site_of_ovh_stands_in_its_zone_and_place() -> None:
    sites = json.loads(_reference("em-data-centers.json").read_text())
    assert set(_of("ovh")) == {f"ovh:{name}" for name in (*OVH, "mil")}
    wrong = {}
    for name, site in OVH.items():
        listed, known = catalogue()[f"ovh:{name}"], sites[f"ovh-{site}"]
        assert not _far(listed.name, known["lonlat"][1], known["lonlat"][0]), name
        if listed.zone != known["zoneKey"]:
            wrong[listed.name] = known["zoneKey"]
    assert wrong == {"ovh:hil": "US-NW-BPAT"}, "its grid is Portland General Electric's"


@pytest.mark.parametrize(
    ("name", "next_door"),
    [
        ("scaleway:fr-par", "aws:eu-west-3"),
        ("scaleway:nl-ams", "azure:westeurope"),
        ("scaleway:pl-waw", "gcp:europe-central2"),
        ("hetzner:ash", "gcp:us-east4"),
        ("hetzner:hel1", "gcp:europe-north1"),
        ("hetzner:hil", "ovh:hil"),
        ("hetzner:fsn1", "azure:germanynorth"),
        ("hetzner:nbg1", "aws:eu-central-1"),
        ("hetzner:sin", "aws:ap-southeast-1"),
        ("ovh:mil", "aws:eu-south-1"),
        ("aws:ap-east-2", "gcp:asia-east1"),
        ("aws:cn-north-1", "azure:chinanorth"),
        ("aws:cn-northwest-1", "azure:chinanorth"),
        ("azure:chilecentral", "gcp:southamerica-west1"),
        ("azure:malaysiawest", "aws:ap-southeast-5"),
        ("azure:westindia", "aws:ap-south-1"),
        ("azure:belgiumcentral", "gcp:europe-west1"),
    ],
)
def test_what_no_reference_has_shares_zone_and_country_with_its_neighbour(
    name: str, next_door: str
) -> None:
    one, other = catalogue()[name], catalogue()[next_door]
    assert (one.zone, one.country) == (other.zone, other.country)


def test_the_carbon_free_share_is_that_of_googles_own_table() -> None:
    text = (_reference("gcp-region-carbon") / "2024.csv").read_text(encoding="utf-8")
    told = {
        f"gcp:{row['Google Cloud Region']}": 100 * float(row["Google CFE"])
        for row in csv.DictReader(text.splitlines())
        if row["Google CFE"]
    }
    ours = {n: r.carbon_free_percent for n, r in catalogue().items() if r.carbon_free_year == 2024}
    assert ours == pytest.approx({n: p for n, p in told.items() if n in catalogue()})
    unknown = {n for n, r in _of("gcp").items() if r.carbon_free_percent is None}
    assert unknown == {"gcp:asia-southeast3"}
    assert {r.provider for r in catalogue().values() if r.carbon_free_percent is not None} == {
        "gcp"
    }


def test_names_of_single_sources_are_read_by_source() -> None:
    assert catalogue()["aws:us-west-1"].zones == {"watttime": "CAISO_NORTH"}
    assert catalogue()["aws:eu-north-1"].zones == {}


def test_madrid_lies_west_of_greenwich() -> None:
    """Without any reference beside the repository: the sign that another table has wrong."""
    assert catalogue()["azure:spaincentral"].lon == pytest.approx(-3.7)


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


def test_a_pue_has_year_and_source_or_is_not_known() -> None:
    seen = Counter((r.name.split(":")[0], r.pue, r.pue_year) for r in catalogue().values())
    assert seen == {
        ("aws", 1.15, 2024): 34,
        ("aws", None, None): 2,
        ("gcp", 1.09, 2024): 43,
        ("azure", 1.16, 2025): 60,
        ("hetzner", None, None): 6,
        ("ovh", None, None): 15,
        ("scaleway", None, None): 3,
    }
    assert all((r.pue is None) == (r.pue_source == "") for r in catalogue().values())


def test_every_zone_of_the_catalogue_is_known_to_an_embedded_source() -> None:
    """Where the month x hour table has no zone, the country's mean is the floor."""
    known = climatology.build({}, Surroundings.at(Path())).zones()
    assert known is not None
    floor = {r.zone for r in catalogue().values()} - known
    no_hours = {"AE", "BH", "CA-AB", "CN", "IN-NO", "IN-SO", "MX", "MY-WM", "QA", "SA", "TH"}
    assert floor == no_hours
    means = country_mean.build({}, Surroundings.at(Path()))
    assert all(len(means.forecast(zone, NOW, NOW + timedelta(hours=1), NOW)) for zone in floor)


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
