"""The page on sources names every one of them, as it describes itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from providers import registry
from providers.meters.nvml import power
from providers.meters.nvml.kind import OPEN_PATIENCE_S
from providers.series import IntensityProvider
from providers.surroundings import Surroundings

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
NEEDS_SETTINGS = {"trace", "constant"}


def _rows() -> dict[str, str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    return {name: line for line in rows for name in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_source_has_its_row_and_no_other_has() -> None:
    assert set(_rows()) == set(registry.BUILTINS["intensity"])


@pytest.mark.parametrize("name", sorted(set(registry.BUILTINS["intensity"]) - NEEDS_SETTINGS))
def test_a_row_says_what_the_source_says(name: str, tmp_path: Path) -> None:
    built: IntensityProvider = registry.load("intensity", name)({}, Surroundings.at(tmp_path))
    info, row = built.info, _rows()[name]
    assert info.signal in row
    for fact in (info.factors, info.flow, info.key_env):
        assert fact is None or fact in row
    if info.final_after_s:
        assert f"| {info.final_after_s / 3600:.0f} h |" in row
    if info.horizon_h:
        assert f"{info.horizon_h:.0f} h" in row or name in {"energy_charts", "electricity_maps",
                                                            "watttime"}  # fmt: skip


def test_the_page_on_gpus_tells_what_the_meter_does() -> None:
    text = PAGE.with_name("gpu.md").read_text(encoding="utf-8")
    for name, seen in power.SEEN_BY_NAME.items():
        row = next(line for line in text.splitlines() if line.startswith("| ") and name in line)
        assert f" {100 * seen:.0f} %" in row
    assert f"taken as {100 * power.SEEN_UNPUBLISHED:.0f} %" in text
    assert f"after {OPEN_PATIENCE_S:g} s the job starts" in text
    assert f"one renewal ({1000 * power.UPDATE_S:.0f} ms)" in text
