"""Sanity of the vendored tables, and embodied carbon of machines."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from support.ccf_sanity import faulty_embodied, faulty_watts

from providers.base import Triple
from providers.errors import SettingsError
from providers.hardware import boards, processors
from providers.hardware import ccf as hardware
from providers.meters import microarchitecture

CCF = Path(microarchitecture.DATA).parent


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((CCF / name).read_text(encoding="utf-8").splitlines()))


def test_no_row_of_watts_is_of_a_kind_known_to_be_wrong() -> None:
    rows = _rows("watts_per_vcpu.csv")
    assert len(rows) > 25
    assert faulty_watts(rows) == []


@pytest.mark.parametrize(
    ("architecture", "idle", "full", "said"),
    [
        ("EPYC 5th Gen", "3.682424", "8.961435", "3.682424 W idle"),
        ("Graviton2", "0.474262", "1.692962", "repeats EPYC 2nd Gen"),
        ("Graviton3", "0.474262", "1.692962", "repeats EPYC 2nd Gen"),
        ("Graviton4", "0.474262", "1.692962", "repeats EPYC 2nd Gen"),
        ("Hot Lake", "0.9", "1.5", "0.9 W idle"),
    ],
)
def test_a_wrong_row_of_watts_put_back_would_be_seen(
    architecture: str, idle: str, full: str, said: str
) -> None:
    """The rows as CCF @ b0032d9 has them (output/coefficients-aws-use.csv)."""
    row = {"architecture": architecture, "provider": "aws", "min_w": idle, "max_w": full}
    found = faulty_watts([*_rows("watts_per_vcpu.csv"), row])
    assert len(found) == 1
    assert found[0].startswith(f"{architecture}: ")
    assert said in found[0]


def test_rows_known_to_be_wrong_are_left_out() -> None:
    names = {row["architecture"] for row in _rows("watts_per_vcpu.csv")}
    assert "EPYC 5th Gen" not in names
    assert not any(name.startswith("Graviton") for name in names)
    assert not any(row["type"].startswith("c4a") for row in _rows("embodied.csv"))


def test_every_architecture_of_our_own_map_has_a_row() -> None:
    names = {row["architecture"] for row in _rows("watts_per_vcpu.csv")}
    ours = set(microarchitecture.INTEL.values()) | {f"EPYC {n} Gen" for n in ("1st", "4th")}
    assert ours <= names


def test_no_embodied_row_is_of_a_kind_known_to_be_wrong() -> None:
    rows = _rows("embodied.csv")
    assert len(rows) > 1000
    assert len({(r["provider"], r["type"]) for r in rows}) == len(rows)
    assert faulty_embodied(rows) == []


@pytest.mark.parametrize(
    ("kg", "vcpus", "platform", "said"),
    [
        ("37000", "1", "72", "a platform of 37000.0 kg"),
        ("470000000", "8", "8", "a platform of 470000000.0 kg"),
        ("400", "1", "2", "a platform of 400.0 kg"),
        ("1200", "96", "48", "96.0 of 48.0 vCPUs"),
    ],
)
def test_a_wrong_embodied_row_put_back_would_be_seen(
    kg: str, vcpus: str, platform: str, said: str
) -> None:
    """The first two as CCF @ b0032d9 has them (GCP c4a and m4 of 2026)."""
    row = {"provider": "gcp", "type": "c4a-standard-1", "platform_kg": kg}
    row |= {"vcpus": vcpus, "platform_vcpus": platform}
    assert faulty_embodied([*_rows("embodied.csv"), row]) == [f"gcp c4a-standard-1: {said}"]


# --- processors of instance types -----------------------------------------------------------


def test_every_type_has_a_size_and_a_processor_and_those_with_watts_a_row() -> None:
    rows = _rows("architectures.csv")
    assert len(rows) > 2000
    assert len({(r["provider"], r["type"]) for r in rows}) == len(rows)
    named = {name for row in rows for name in row["architectures"].split("|")}
    with_row = {row["architecture"] for row in _rows("watts_per_vcpu.csv")}
    no_row = {"Axion", "Ampere Altra", "Graviton", *processors.WRONG}
    assert named - with_row == no_row
    assert all(1 <= int(row["vcpus"]) <= 2048 for row in rows)
    assert {row["accelerator"] for row in rows} == {"0", "1"}


@pytest.mark.parametrize(
    ("name", "vcpus", "architectures"),
    [
        ("aws/c5.large", 2, ("Skylake",)),
        ("aws/m5.large", 2, ("Skylake",)),
        ("aws/c7a.large", 2, ("EPYC 4th Gen",)),
        ("aws/m7i.large", 2, ("Sapphire Rapids",)),
        ("gcp/n2d-standard-2", 2, ("EPYC 2nd Gen",)),
        ("azure/D4s v3", 4, ("Broadwell", "Cascade Lake", "Haswell", "Skylake")),
    ],
)
def test_types_run_on_the_processors_that_their_clouds_tell(
    name: str, vcpus: int, architectures: tuple[str, ...]
) -> None:
    found = processors.instance_type(name)
    assert (found.name, found.vcpus, found.accelerated) == (name, vcpus, False)
    assert found.architectures == architectures
    assert found.watts is not None
    assert found.watts.idle.low < found.watts.full.value


def test_a_type_on_one_of_several_processors_has_the_bounds_of_all() -> None:
    mixed, one = (processors.instance_type(n) for n in ("azure/D4s v3", "aws/c5.large"))
    assert mixed.watts is not None
    assert one.watts is not None
    assert mixed.watts.full.high > one.watts.full.high
    assert mixed.watts.full.low < one.watts.full.low
    assert " or " in mixed.watts.name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aws/c7g.large", "Graviton3: its row only repeats that of EPYC 2nd Gen"),
        ("aws/m8a.large", "EPYC 5th Gen: its row is a bad join"),
        ("gcp/c4a-standard-1", "Axion: it has no row"),
    ],
)
def test_a_type_without_watts_says_why(name: str, said: str) -> None:
    found = processors.instance_type(name)
    assert found.watts is None
    assert said in found.no_watts


def test_types_with_accelerators_say_so_and_unknown_ones_offer_the_nearest() -> None:
    assert processors.instance_type("aws/p3.2xlarge").accelerated
    with pytest.raises(SettingsError, match=r"aws/c7a\.lrage.*aws/c7a\.large"):
        processors.instance_type("aws/c7a.lrage")
    with pytest.raises(SettingsError, match="write aws/"):
        processors.instance_type("????")


# --- embodied carbon of machines ------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("name", "kg", "source"),
    [
        ("NVIDIA A100-SXM4-40GB", 127.6, "Falk et al. 2025"),
        ("NVIDIA A100 80GB PCIe", 181, "ADEME 2026"),
        ("NVIDIA H100 80GB HBM3", 164, "HGX H100"),
        ("NVIDIA B200", 284.25, "HGX B200"),
        ("Tesla T4", 150, "no figure is published for Tesla T4"),
        ("NVIDIA A10G", 150, "no figure is published"),
        ("NVIDIA H200", 150, "no figure is published"),
        ("AMD Instinct MI300X", 150, "no figure is published"),
    ],
)
def test_a_board_has_its_published_figure_or_the_flat_one_with_a_wide_range(
    name: str, kg: float, source: str
) -> None:
    found = boards.board(name)
    assert found.kg.value == kg
    assert source in found.source
    wide = found.kg.high / found.kg.low
    assert wide == pytest.approx(4 if kg == 150 else (181 / 127.6) ** 2)


@pytest.mark.parametrize(
    ("name", "gpus", "slots"),
    [
        ("aws/p5.48xlarge", 8, 192), ("aws/p6-b200.48xlarge", 8, 192), ("aws/g5.xlarge", 8, 192),
        ("aws/g6.xlarge", 8, 192), ("gcp/a3-highgpu-8g", 8, 208), ("gcp/a4-highgpu-8g", 8, 224),
        ("gcp/g2-standard-4", 8, 96), ("azure/ND96asr v4", 8, 96),
        ("azure/Standard_ND96isr_H100_v5", 8, 96), ("aws/c7i.large", 0, 192),
        ("aws/c7g.large", 0, 64), ("aws/m7a.large", 0, 192), ("aws/m7i.large", 0, 192),
    ],
)  # fmt: skip
def test_a_newer_instance_type_is_composed_of_its_parts_and_says_so(
    name: str, gpus: int, slots: int
) -> None:
    provider, _, kind = name.partition("/")
    found = hardware.instance(provider, kind)
    assert (found.gpus, found.slots) == (gpus, slots)
    assert "composed by Cloud Carbon Footprint's rule" in found.source
    assert (found.boards_kg is not None) == bool(gpus)
    # From half a bare server to eight boards with terabytes of memory.
    assert 500 <= found.total_kg.low < found.total_kg.value < found.total_kg.high < 20_000


def test_no_composed_row_repeats_a_platform_of_ccf_or_is_larger_than_its_platform() -> None:
    rows = _rows("../composed_instances.csv")
    names = {(row["provider"], row["type"]) for row in rows}
    assert len(names) == len(rows)
    assert not names & {(row["provider"], row["type"]) for row in _rows("embodied.csv")}
    assert all(int(row["vcpus"]) <= int(row["platform_vcpus"]) for row in rows)
    assert all(bool(row["gpu"]) == (row["gpus"] != "0") for row in rows)


def test_a_board_may_have_a_figure_of_its_own_with_its_source() -> None:
    plain = hardware.ccf_server(memory_gb=16, gpus=8)
    assert plain.total_kg.value == pytest.approx(1000 + 8 * 150)
    board = Triple(140.0, 164.0, 190.0)
    own = hardware.ccf_server(memory_gb=16, gpus=8, gpu_kg=board, gpu_source="maker's sheet")
    assert own.total_kg.value == pytest.approx(1000 + 8 * 164)
    assert own.total_kg.low == pytest.approx(500 + 8 * 140)
    assert own.total_kg.high == pytest.approx(2000 + 8 * 190)
    assert own.source.endswith("164 kg a GPU: maker's sheet")
    assert plain.source.endswith("150 kg a GPU: Cloud Carbon Footprint's flat figure @ b0032d9")
