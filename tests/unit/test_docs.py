"""Pages of the documentation name what there is, as it describes itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from providers import registry
from providers.meters.nvml import power
from providers.meters.nvml.library import OPEN_PATIENCE_S
from providers.series import IntensityProvider
from providers.surroundings import Surroundings
from scheduler.report.exports.columns import COLUMNS

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
NEEDS_SETTINGS = {"trace", "constant"}


def _rows(page: Path = PAGE) -> dict[str, str]:
    lines = page.read_text(encoding="utf-8").splitlines()
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


def test_the_page_on_reports_has_every_column_of_the_csv_in_its_order() -> None:
    text = (PAGE.parent / "exports.md").read_text(encoding="utf-8")
    listed = re.search(r"^`job_id`.*?`inside_band`\.$", text, re.DOTALL | re.MULTILINE)
    assert listed is not None
    named = re.findall(r"`(\w+)`(\*?)", listed[0])
    assert (
        tuple(
            column
            for name, star in named
            for column in ((f"{name}_low", name, f"{name}_high") if star else (name,))
        )
        == COLUMNS
    )


def test_every_meter_has_its_row_and_no_other_has() -> None:
    assert set(_rows(PAGE.with_name("metering.md"))) == set(registry.BUILTINS["meters"])


SECURITY = PAGE.with_name("security.md").read_text(encoding="utf-8")


def test_every_threat_names_tests_that_there_are() -> None:
    threats = re.split(r"^- ", SECURITY.partition("## Commands and words")[2], flags=re.MULTILINE)
    assert len(threats) > 20
    for threat in threats[1:]:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", threat)
        assert named, threat
        for path, name in named:
            source = (PAGE.parents[1] / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", source, re.MULTILINE), (path, name)
