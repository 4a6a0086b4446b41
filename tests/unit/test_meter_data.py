"""Sanity of the vendored tables, and embodied carbon of machines."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from providers.errors import SettingsError
from providers.hardware import ccf as hardware
from providers.meters import microarchitecture

CCF = Path(microarchitecture.DATA).parent


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((CCF / name).read_text(encoding="utf-8").splitlines()))


def test_watts_per_vcpu_are_plausible_and_idle_is_below_full_load() -> None:
    rows = _rows("watts_per_vcpu.csv")
    assert len(rows) > 25
    for row in rows:
        idle, full = float(row["min_w"]), float(row["max_w"])
        assert 0.3 < idle < 2.5, row
        assert 1.4 < full < 9, row
        assert idle < full / 2, row


def test_rows_known_to_be_wrong_are_left_out() -> None:
    names = {row["architecture"] for row in _rows("watts_per_vcpu.csv")}
    assert "EPYC 5th Gen" not in names
    assert not any(name.startswith("Graviton") for name in names)
    assert not any(row["type"].startswith("c4a") for row in _rows("embodied.csv"))


def test_every_architecture_of_our_own_map_has_a_row() -> None:
    names = {row["architecture"] for row in _rows("watts_per_vcpu.csv")}
    ours = set(microarchitecture.INTEL.values()) | {f"EPYC {n} Gen" for n in ("1st", "4th")}
    assert ours <= names


def test_embodied_rows_are_plausible_and_no_instance_exceeds_its_platform() -> None:
    rows = _rows("embodied.csv")
    assert len(rows) > 1000
    assert len({(r["provider"], r["type"]) for r in rows}) == len(rows)
    for row in rows:
        assert 500 <= float(row["platform_kg"]) <= 10_000, row
        assert 1 <= int(row["vcpus"]) <= int(row["platform_vcpus"]) <= 1024, row


def test_an_instance_stands_for_its_platform_times_or_divided_by_two() -> None:
    found = hardware.instance("aws", "a1.large")
    assert found.total_kg.value == 1022.21
    assert found.total_kg.low == pytest.approx(1022.21 / 2)
    assert found.total_kg.high == pytest.approx(1022.21 * 2)
    assert found.slots == 16
    assert found.lifespan_h == 35040
    assert "b0032d9" in found.source


def test_an_unknown_instance_offers_the_nearest_names() -> None:
    with pytest.raises(SettingsError, match=r"aws/m5\.lrage.*aws/m5\.large"):
        hardware.instance("aws", "m5.lrage")


def test_a_server_by_its_parts_follows_the_rule_of_ccf() -> None:
    assert hardware.ccf_server(memory_gb=16).total_kg.value == 1000
    whole = hardware.ccf_server(memory_gb=400, cpus=2, gpus=8, ssds=1, hdds=2)
    assert whole.total_kg.value == pytest.approx(1000 + 533 + 100 + 1200 + 100 + 100)
    assert hardware.ccf_server(memory_gb=4).total_kg.value == 1000
