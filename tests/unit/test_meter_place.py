"""Where a run is metered: what is taken for granted, and what is looked up before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers import typical
from providers.errors import NoData
from scheduler.config import Settings
from scheduler.errors import UsageError
from scheduler.meter import place as places


def _place(root: Path, *, region: str | None = None, zone: str | None = None) -> places.Place:
    environ = {"LOWTIDE_HOME": str(root / "home")}
    return places.place(region, zone, config=None, environ=environ, cwd=root)


def test_without_a_file_the_packaged_defaults_hold(tmp_path: Path) -> None:
    found, settings = _place(tmp_path), Settings()
    assert (found.name, found.meters) == (settings.home, settings.meters)
    assert (found.interval_s, found.grace_s) == (settings.sample_interval, settings.grace)


@pytest.mark.parametrize("zone", sorted(typical.zones())[::60])
def test_zones_of_the_table_need_no_desk(
    tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.meter.desk.Desk", None)
    assert _place(tmp_path, zone=zone).zone == zone


def test_zones_that_only_a_country_mean_knows_are_taken(tmp_path: Path) -> None:
    assert "UA" not in typical.zones()
    assert _place(tmp_path, zone="UA").zone == "UA"


@pytest.mark.parametrize("zone", ["de", "Germany", "ZZ"])
def test_zones_that_nobody_knows_are_refused(tmp_path: Path, zone: str) -> None:
    with pytest.raises(NoData, match=zone):
        _place(tmp_path, zone=zone)


def test_a_chain_that_does_not_know_a_zone_of_the_table_refuses_it(tmp_path: Path) -> None:
    rows = "timestamp_utc,region,g_per_kwh\n2026-01-01T00:00:00Z,MINE,1\n"
    (tmp_path / "mine.csv").write_text(rows)
    (tmp_path / "config.yaml").write_text(
        "providers: [mine]\nsources: {mine: {type: trace, path: mine.csv}}\n"
    )
    assert _place(tmp_path, zone="MINE").zone == "MINE"
    with pytest.raises(NoData, match="asked: mine"):
        _place(tmp_path, zone="DE")


def test_a_source_that_is_asked_over_the_network_may_know_any_zone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("providers: [electricity_maps]\n")
    assert _place(tmp_path, zone="XX").zone == "XX"


def test_the_zone_of_a_configured_region_is_checked_as_well(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("regions: {lab: {zone: XYZ}, dark: {}}\nhome: lab\n")
    with pytest.raises(NoData, match="XYZ"):
        _place(tmp_path)
    assert _place(tmp_path, region="dark").name == "dark"
    assert _place(tmp_path, zone="FR").name == "lab"
    with pytest.raises(UsageError, match="both"):
        _place(tmp_path, region="lab", zone="FR")
