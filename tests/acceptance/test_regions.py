"""``lowtide regions``: filters, distances, what each row tells, and whether to move or to wait."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from providers.catalogue import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIG = """
regions:
  local: {zone: DE, country: DE, lat: 52.4, lon: 13.1, price: {per_slot_hour: 0.5}}
  lab: {zone: FR}
"""
FIELDS = {
    "provider", "distance_km", "yearly_g_per_kwh", "seasonal_g_per_kwh", "next_24h_g_per_kwh",
    "basis", "carbon_free_percent", "price", "transfer",
}  # fmt: skip


@pytest.fixture
def regions(lowtide: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return lambda *argv: lowtide("regions", "--power", "100W", *argv)


def _names(found: Any) -> set[str]:
    return {row["region"] for row in found.json["regions"]}


def test_providers_and_areas_narrow_what_is_compared(regions: Callable[..., Any]) -> None:
    found = regions("--provider", "aws", "--provider", "gcp", "--within", "SE,FI", "--json")
    expected = {
        n
        for n, r in catalogue().items()
        if r.country in {"SE", "FI"} and n.startswith(("aws", "gcp"))
    }
    assert _names(found) == expected
    assert {row["provider"] for row in found.json["regions"]} == {"aws", "gcp"}


def test_a_group_of_countries_leaves_out_who_does_not_say_where_it_is(
    regions: Callable[..., Any],
) -> None:
    found = regions("--within", "EU", "--json")
    assert {"local", "hetzner:hel1", "ovh:gra"} <= _names(found)
    assert not _names(found) & {"lab", "aws:eu-west-2", "azure:norwayeast", "aws:us-east-1"}
    reason = "its country is not known: set regions.lab.country"
    assert found.json["left_out"] == [{"region": "lab", "reason": reason}]
    assert f"left out: lab: {reason}" in regions("--within", "EU").out
    assert "azure:norwayeast" in _names(regions("--within", "EEA", "--json"))
    assert "aws:eu-central-2" in _names(regions("--within", "EFTA", "--json"))


def test_near_gives_distances_and_within_km_keeps_to_them(regions: Callable[..., Any]) -> None:
    near = ("--near", "aws:eu-central-1", "--within-km", "300", "--json")
    rows = regions(*near).json["regions"]
    far = {row["region"]: row["distance_km"] for row in rows}
    assert far["gcp:europe-west3"] == pytest.approx(0, abs=1)
    assert far["hetzner:nbg1"] == pytest.approx(187, abs=10)
    assert all(km <= 300 for km in far.values())
    assert "hetzner:hel1" not in far
    at = regions("--near", "-33.9,18.4", "--region", "aws:af-south-1", "--json").json["regions"]
    assert at[0]["distance_km"] == pytest.approx(0, abs=1)


def test_every_row_has_every_field_and_every_null_its_reason(regions: Callable[..., Any]) -> None:
    rows = regions("--json").json["regions"]
    assert len(rows) >= len(catalogue())
    for row in rows:
        assert row.keys() >= FIELDS
        missing = {name for name in FIELDS if row[name] is None}
        assert missing <= row["null_reasons"].keys(), row["region"]
        assert "not known" not in {row["null_reasons"][name] for name in missing}, row["region"]
    by_name = {row["region"]: row for row in rows}
    assert by_name["gcp:europe-north1"]["carbon_free_percent"] == {
        "value": 98.0,
        "year": 2024,
        "source": "Google CFE",
    }
    assert by_name["aws:eu-north-1"]["carbon_free_percent"] is None
    assert set(by_name["aws:eu-north-1"]["seasonal_g_per_kwh"]) == {"DJF", "MAM", "JJA", "SON"}
    alberta = by_name["aws:ca-west-1"]
    assert alberta["seasonal_g_per_kwh"] is None
    assert alberta["null_reasons"]["seasonal_g_per_kwh"] == "only a yearly mean is known"
    source = "climatology (Electricity Maps, mean of 2025)"
    assert alberta["yearly_g_per_kwh"] == {"value": 385.0, "source": source}
    assert alberta["same_basis"] is True
    assert by_name["local"]["price"] == {"value": 0.5, "currency": "EUR"}
    assert by_name["lab"]["distance_km"] is None
    assert "regions.lab.lat" in by_name["lab"]["null_reasons"]["distance_km"]


def test_without_a_place_to_start_from_no_distance_is_told(lowtide: Callable[..., Any]) -> None:
    row = lowtide("regions", "--region", "ovh:gra", "--json").json["regions"][0]
    assert row["distance_km"] is None
    assert "add --near" in row["null_reasons"]["distance_km"]


def test_data_counts_and_is_told(regions: Callable[..., Any]) -> None:
    argv = ("--region", "local", "--region", "aws:eu-north-1", "--json")
    with_data = regions("--data", "450GB", *argv).json["regions"]
    plain = {row["region"]: row for row in regions(*argv).json["regions"]}
    for row in with_data:
        assert row["transfer"]["hours"] == pytest.approx(0 if row["region"] == "local" else 1)
    moved = next(row for row in with_data if row["region"] == "aws:eu-north-1")
    assert moved["transfer"]["g"] > 0
    assert moved["expected_g"]["value"] > plain["aws:eu-north-1"]["expected_g"]["value"]
    assert plain["local"]["transfer"] is None


def test_it_says_whether_place_beats_time(regions: Callable[..., Any]) -> None:
    argv = ("--provider", "aws", "--within", "SE,FR")
    it = regions(*argv, "--json").json["place_or_time"]
    assert it["home"] == "local"
    assert it["verdict"] == "place"
    assert it["best_region"] == "aws:eu-north-1"
    assert it["move_saves_percent"] > 80
    assert it["null_reasons"] == {}
    said = regions(*argv).out.splitlines()[-1]
    assert re.fullmatch(
        r"Place beats time: moving to aws:eu-north-1 saves \d+ %, "
        r"waiting at home up to 24h saves \d+ %",
        said,
    )


def test_a_home_without_a_zone_is_said_so(lowtide: Callable[..., Any]) -> None:
    shown = lowtide("regions", "--region", "aws:eu-north-1")
    assert shown.code == 0
    assert "Place or time: not known: region local has no grid zone" in shown.out


def test_the_table_is_no_wider_than_it_says_and_cuts_no_name(regions: Callable[..., Any]) -> None:
    lines = regions().out.splitlines()
    table = lines[: lines.index("")]
    assert max(len(line) for line in table) <= 110 + 10  # one column more: a price is set
    assert any("gcp:northamerica-northeast1 " in line for line in table)
    assert "…" not in "".join(table)


@pytest.mark.parametrize(
    "argv",
    [
        ("--provider", "amazn"),
        ("--within", "ZZ"),
        ("--within", "FR", "--provider", "hetzner"),
        ("--within-km", "-1"),
        ("--near", "nowhere"),
        ("--near", "99,3"),
        ("--data", "much"),
        ("--within-km", "5", "--near", "0,0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    regions: Callable[..., Any], argv: tuple[str, ...]
) -> None:
    done = regions(*argv)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"lowtide: [^\n]+\n", done.err)
