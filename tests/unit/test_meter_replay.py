"""The replay meter: a record in its own time, and never more than that."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import registry
from providers.base import Component, Reading, Scope, Triple, Usage
from providers.registry import RegistryError
from providers.runner.journal import JournalWriter

CPU = Component("cpu", "measured", "RAPL of long ago", 80.0, poll_s=16.0)
GONE = Component("gpu:GPU-a", "missing", "no meter")


def _record(folder: Path, joules: tuple[float, ...] = (100.0, 300.0), note: str = "") -> Path:
    """A sample each 10 s, with bounds of 10 % and half of it active."""
    writer = JournalWriter(folder, [CPU, GONE], {}, 1000.0)
    for i, value in enumerate(joules, start=1):
        energy = Triple(0.9 * value, value, 1.1 * value)
        reading = Reading("cpu", energy.scaled(0.5), energy, 10.0 * i, {"looks": float(i)})
        writer.sample(1000.0 + 10.0 * i, float(i), [reading])
    if note:
        writer.note(note)
    writer.close()
    return folder / "journal.jsonl"


def _at(meter: object, elapsed_s: float) -> Reading:
    (found,) = meter.sample(Usage(elapsed_s, 99.0, 99.0))  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("named", ["file", "folder"])
def test_a_record_is_played_in_its_own_time(tmp_path: Path, named: str) -> None:
    path = _record(tmp_path)
    meter = registry.meter(f"replay:{path if named == 'file' else tmp_path}").open(Scope(7))
    (cpu,) = meter.components()
    assert (cpu.name, cpu.method, cpu.max_w, cpu.replayed) == ("cpu", "measured", 80.0, True)
    assert cpu.source == f"replayed from {path}: RAPL of long ago"
    assert _at(meter, 0.0).energy_j.high == 0
    half = _at(meter, 5.0)
    assert half.energy_j.as_dict() == pytest.approx({"low": 45, "value": 50, "high": 55})
    assert half.active_j.value == 25.0
    assert half.covered_s == 5.0
    assert _at(meter, 15.0).energy_j.value == 200.0
    assert _at(meter, 15.0).facts == {"looks": 1.0}
    assert _at(meter, 20.0).energy_j.value == 300.0
    assert len(meter.notes()) == 1
    assert "not measured here" in meter.notes()[0]


def test_after_the_record_nothing_more_is_read_and_it_is_said(tmp_path: Path) -> None:
    meter = registry.meter(f"replay:{_record(tmp_path, note='a gap')}").open(Scope(1))
    late = _at(meter, 600.0)
    assert (late.energy_j.value, late.covered_s) == (300.0, 20.0)
    assert meter.notes()[1:] == (
        "the record says: a gap",
        "the record ends after 20 s: the rest is a gap",
    )
    meter.close()


def test_what_fell_in_the_record_is_held(tmp_path: Path) -> None:
    meter = registry.meter(f"replay:{_record(tmp_path, (100.0, 40.0, 120.0))}").open(Scope(1))
    values = [_at(meter, float(s)).energy_j.value for s in range(31)]
    assert all(a <= b for a, b in pairwise(values))
    assert values[20] == 100.0
    assert values[30] == 120.0


@given(
    st.lists(st.floats(0, 1e9), min_size=1, max_size=6),
    st.lists(st.floats(0, 100), min_size=2, max_size=20).map(sorted),
)
def test_readings_never_fall_nor_lose_their_order(
    tmp_path_factory: pytest.TempPathFactory, joules: list[float], looks: list[float]
) -> None:
    path = _record(tmp_path_factory.mktemp("record"), tuple(joules))
    meter = registry.meter(f"replay:{path}").open(Scope(1))
    found = [_at(meter, at) for at in looks]
    for old, new in pairwise(found):
        assert old.energy_j.low <= new.energy_j.low <= new.energy_j.value <= new.energy_j.high
        assert old.energy_j.value <= new.energy_j.value
        assert old.covered_s <= new.covered_s <= 10.0 * len(joules)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be replayed: no energy journal: No such file"),
        ("rubbish", "cannot be replayed: 1 damaged line"),
        (json.dumps({"components": [], "meta": {}}), "it has no samples"),
    ],
)
def test_what_is_no_record_is_not_played(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "other.jsonl"
    if content is not None:
        path.write_text(content)
    kind = registry.meter(f"replay:{path}")
    assert not kind.probe().available
    assert said in kind.probe().detail
    with pytest.raises(OSError, match=said):
        kind.open(Scope(1))


def test_a_record_is_named_by_an_absolute_path() -> None:
    with pytest.raises(OSError, match=r"replay:/path/to/journal.jsonl, found run.jsonl"):
        registry.meter("replay:run.jsonl").open(Scope(1))
    with pytest.raises(OSError, match=r"replay:/path/to/journal.jsonl$"):
        registry.meter("replay").open(Scope(1))


def test_other_meters_take_nothing_after_a_colon() -> None:
    with pytest.raises(RegistryError, match="meter rapl takes nothing after a colon"):
        registry.meter("rapl:/x")
