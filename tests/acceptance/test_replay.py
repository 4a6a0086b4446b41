"""A report made from a record: it repeats, and says at every place what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.base import Component, Reading, Triple
from providers.runner.journal import JournalWriter

RAPL = Component("cpu", "measured", "RAPL by powercap, 2 socket(s)")


def _record(folder: Path) -> None:
    """100 W for an hour, measured somewhere."""
    writer = JournalWriter(folder, [RAPL], {}, 1000.0)
    energy = Triple(342_000.0, 360_000.0, 378_000.0)
    writer.sample(4600.0, 60.0, [Reading("cpu", energy, energy, 3600.0)])
    writer.close()


def _in_one_line(text: str) -> str:
    """Where lines are folded depends on how long the names of folders are."""
    return " ".join(text.split())


@pytest.mark.parametrize("path", ["journal.jsonl", "."])
def test_a_replayed_report_never_claims_to_be_measured_here(
    lowtide: Callable[..., Any], tmp_path: Path, path: str
) -> None:
    _record(tmp_path)
    (tmp_path / "config.yaml").write_text(f"meters: ['replay:{path}']\n")
    assert lowtide("run", "--", "sleep", "1").code == 0
    report = lowtide("report", "--json").json["jobs"][0]
    (cpu,) = report["components"]
    assert cpu["replayed"] is True
    assert (cpu["name"], cpu["method"]) == ("cpu", "measured")
    assert cpu["source"].startswith(f"replayed from {tmp_path}/")
    assert report["measured_percent"] == 0
    assert any("not measured here" in note for note in report["notes"])
    assert ", exact" in report["attempts"][0]["attribution"]
    run_s = report["duration"]["actual_s"]
    assert report["energy_kwh"]["reserved"]["value"] == pytest.approx(0.1 * run_s / 3600, rel=0.2)
    text = _in_one_line(lowtide("report").out)
    assert "0 % measured" in text
    assert "measured, replayed" in text
    assert "attributed" in text
    assert "measured, replayed" in _in_one_line(lowtide("report", "--markdown").out)


def test_a_record_that_is_not_there_is_named(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("meters: ['replay:none.jsonl', strange]\n")
    found = {row["check"]: row for row in lowtide("doctor", "--json").json["checks"]}
    assert not found[f"meter replay:{tmp_path}/none.jsonl"]["ok"]
    assert "No such file" in found[f"meter replay:{tmp_path}/none.jsonl"]["detail"]
    assert "no meters provider is called 'strange'" in found["meter strange"]["detail"]
    assert lowtide("run", "--", "true").code == 0
    report = lowtide("report", "--json").json["jobs"][0]
    assert report["energy_kwh"]["reserved"] is None
    assert any("none.jsonl cannot be replayed" in note for note in report["notes"])
