"""Choosing a region on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Lowtide = Any

# Members of the EU with a region in the table.
EU_HERE = {"AT", "BE", "DE", "ES", "FI", "FR", "IE", "IT", "NL", "PL", "SE"}
SITES = """
regions:
  local: {zone: DE}
  lab: {zone: DE, country: DE, lat: 52.4, lon: 13.1, place: Potsdam, price: {per_slot_hour: 0.5}}
"""


@pytest.fixture
def cli(lowtide: Callable[..., Any], tmp_path: Path) -> Lowtide:
    """The command beside a config of a machine and a lab."""
    (tmp_path / "config.yaml").write_text(SITES)
    return lambda *argv: lowtide("regions", *argv)


def _names(result: Any) -> list[str]:
    return [row["region"] for row in result.json["regions"]]


def test_without_filters_everything_is_compared(cli: Lowtide) -> None:
    document = cli("--json").json
    rows = {row["region"]: row for row in document["regions"]}
    assert len(rows) > 160
    assert {row["provider"] for row in rows.values()} == {
        "aws", "azure", "gcp", "hetzner", "ovh", "own", "scaleway",
    }  # fmt: skip
    grams = [row["expected_g"]["value"] for row in document["regions"]]
    assert grams == sorted(grams)
    finland = rows["gcp:europe-north1"]
    assert (finland["carbon_free_percent"], finland["carbon_free_year"]) == (98, 2024)
    assert set(finland["seasonal_g_per_kwh"]) == {"DJF", "MAM", "JJA", "SON"}
    assert rows["aws:eu-north-1"]["carbon_free_percent"] is None
    assert "Google" in rows["aws:eu-north-1"]["null_reasons"]["carbon_free_percent"]
    assert "country mean" in rows["gcp:me-central1"]["yearly_source"]
    assert "own" in rows["lab"]["provider"]
    for row in rows.values():
        assert all(row["null_reasons"].values()), row["region"]
        assert {k for k, v in row.items() if v is None} <= set(row["null_reasons"])
    assert document["place_or_time"]["verdict"] == "place"
    assert document["place_or_time"]["home"] == "local"


def test_residency_provider_and_distance_narrow_the_list(cli: Lowtide) -> None:
    eu = cli("--within", "EU", "--json")
    assert {row["country"] for row in eu.json["regions"]} <= EU_HERE
    assert "local" not in _names(eu)
    assert "regions.local.country" in eu.json["notes"][0]
    both = _names(cli("--within", "de,CH", "--provider", "aws", "--provider", "own", "--json"))
    assert set(both) == {"aws:eu-central-1", "aws:eu-central-2", "lab"}
    near = cli("--near", "Berlin", "--within-km", "300", "--json").json
    far = {row["region"]: row["distance_km"] for row in near["regions"]}
    assert far["lab"] == pytest.approx(23, abs=2)
    assert far["hetzner:fsn1"] == pytest.approx(234, abs=5)
    assert max(far.values()) <= 300
    assert near["near"] == {"name": "Berlin", "lat": 52.5, "lon": 13.4}
    south = cli("--near", "-33.9,151.2", "--provider", "aws", "--json").json["regions"]
    nearest = min(south, key=lambda row: row["distance_km"])
    assert nearest["region"] == "aws:ap-southeast-2"


def test_people_see_a_table_a_verdict_and_what_was_left_out(cli: Lowtide) -> None:
    shown = cli(
        "--region", "aws:eu-north-1", "--region", "aws:eu-central-1", "--region", "lab",
        "--near", "aws:eu-central-1", "--data", "40GB", "--power", "1kW", "--duration", "4h",
    )  # fmt: skip
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[2].split()[0] == "aws:eu-north-1"
    assert "5 min, 40 Wh" in lines[2]
    assert max(len(line) for line in lines[:5]) <= 120
    assert "█" in shown.out
    assert lines[-1].startswith("Place beats time: moving to aws:eu-north-1 saves 9")
    assert "waiting in local up to 24h" in lines[-1]
    filtered = cli("--provider", "own", "--within", "DE")
    assert "local is left out" in filtered.err
    assert "the best 2 of" in cli("--top", "2").out


def test_what_waiting_saves_is_none_without_slack(cli: Lowtide) -> None:
    told = cli("--region", "aws:eu-north-1", "--slack", "0", "--json").json["place_or_time"]
    assert told["wait_saves_percent"] == 0
    assert told["move_saves_percent"] == told["both_save_percent"]


def test_another_home_may_be_compared_with(cli: Lowtide) -> None:
    told = cli("--home", "gcp:europe-north2", "--provider", "aws", "--json").json["place_or_time"]
    assert told["home"] == "gcp:europe-north2"
    assert told["best_region"] != "gcp:europe-north2"
    assert told["verdict"] in {"time", "equal"}


def test_no_region_left_is_an_answer(cli: Lowtide) -> None:
    nothing = cli("--provider", "hetzner", "--within", "CH")
    assert nothing.code == 0
    assert "no region is left" in nothing.out
    document = cli("--provider", "hetzner", "--within", "CH", "--json").json
    assert document["regions"] == []
    assert document["place_or_time"] is None
    assert "no region is left" in document["null_reasons"]["place_or_time"]


def test_a_home_without_a_zone_ranks_the_others_and_says_what_is_missing(
    lowtide: Callable[..., Any],
) -> None:
    result = lowtide("regions", "--json")
    told = result.json["place_or_time"]
    assert told["verdict"] is None
    assert "regions.local.zone" in told["null_reasons"]["verdict"]
    assert all(row["saving_percent"] is None for row in result.json["regions"])
    shown = lowtide("regions", "--region", "local")
    assert shown.code == 0
    assert "no region has a forecast" in shown.out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--provider", "asw"), "known are aws, azure, gcp"),
        (("--within", "Europe"), "groups are EU, EEA, EFTA"),
        (("--near", "91,0"), "latitude"),
        (("--near", "Berln"), "nearest are berlin"),
        (("--near", "local"), "regions.local.lat"),
        (("--within-km", "10"), "give --near too"),
        (("--region", "aws:eu-nort-1"), "aws:eu-north-1"),
        (("--home", "aws:eu-nort-1"), "aws:eu-north-1"),
        (("--slack", "soon"), "soon"),
        (("--data", "much"), "much"),
    ],
)
def test_bad_input_is_one_line(cli: Lowtide, argv: tuple[str, ...], said: str) -> None:
    result = cli(*argv)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
