"""The meters of one attempt: how often they are asked, and what they find beside energy."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from providers import registry
from providers.base import Component, Launch, Reading, Scope, Usage
from providers.runner import journal
from providers.runner.holdings import Holdings
from providers.runner.metering import Metering
from providers.runner.record import Clock, Record
from providers.runner.tree import Tree
from scheduler.testing import FakeMeter


@dataclass(frozen=True)
class Talking(FakeMeter):
    """Its counter wraps after half a second, and it finds a stranger at its second look."""

    def open(self, scope: Scope) -> Talking:
        return self

    def components(self) -> tuple[Component, ...]:
        return tuple(replace(c, poll_s=0.5) for c in super().components())

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        seen.append(usage.elapsed_s)
        pids.append(usage.pids)
        return tuple(replace(r, facts={"looks": float(len(seen))}) for r in super().sample(usage))

    def notes(self) -> tuple[str, ...]:
        return ("a stranger",) if len(seen) > 1 else ()


seen: list[float] = []
pids: list[frozenset[int]] = []


@pytest.fixture
def alone(tmp_path: Path) -> Holdings:
    """On a host of its own: other tests of this process may hold something, too."""
    return Holdings(1, place=tmp_path / "held")


@pytest.fixture
def metering(monkeypatch: pytest.MonkeyPatch) -> Metering:
    seen.clear()
    pids.clear()
    monkeypatch.setattr(registry, "load", lambda group, name: Talking())
    return Metering(["talking"], Scope(1))


def test_a_counter_that_wraps_is_read_oftener_than_asked(metering: Metering) -> None:
    assert metering.poll_s(600.0) == 0.5
    assert metering.poll_s(0.1) == 0.1


def test_facts_and_notes_are_on_disk_before_the_end(
    tmp_path: Path, metering: Metering, alone: Holdings
) -> None:
    launch = Launch("j", 1, "t", ("true",), "/", str(tmp_path), "", "", "", "local", 1)
    record = Record(tmp_path, launch.interval_s, Clock(), metering, Tree(os.getpid()), alone)
    assert record.next_at == 0.5
    record.sample()
    assert journal.read_journal(tmp_path).notes == ()
    record.sample()
    found = journal.read_journal(tmp_path)  # as after a kill: nothing was closed
    assert found.notes == ("a stranger",)
    assert found.samples[-1].readings[0].facts == {"looks": 2.0}
    record.sample()
    record.close()
    assert journal.read_journal(tmp_path).notes == ("a stranger",)


def test_a_record_that_is_closed_holds_no_file(tmp_path: Path, metering: Metering) -> None:
    """Of a part of a program as well, which may be metered a thousand times."""
    before = sorted(Path("/proc/self/fd").iterdir())
    for n in range(3):
        folder = tmp_path / str(n)
        folder.mkdir()
        Record(
            folder, 1.0, Clock(), metering, Tree(os.getpid()), Holdings(1, place=tmp_path)
        ).close()
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_meter_is_told_which_processes_are_the_jobs(
    tmp_path: Path, metering: Metering, alone: Holdings
) -> None:
    launch = Launch("j", 1, "t", ("true",), "/", str(tmp_path), "", "", "", "local", 1)
    record = Record(tmp_path, launch.interval_s, Clock(), metering, Tree(os.getpid()), alone)
    with subprocess.Popen(["sleep", "60"]) as child:
        record.sample()
        child.kill()
    record.sample()
    assert child.pid in pids[0]
    assert child.pid not in pids[1]


def test_a_meter_is_told_of_the_job_before_the_first_sample(
    tmp_path: Path, metering: Metering, alone: Holdings
) -> None:
    record = Record(tmp_path, 600.0, Clock(), metering, Tree(os.getpid()), alone)
    with subprocess.Popen(["sleep", "60"]) as child:
        record.begin()
        child.kill()
    assert child.pid in pids[0]
    assert len(journal.read_journal(tmp_path).samples) == 1


@dataclass(frozen=True)
class Finding(FakeMeter):
    """It finds a board at its second look."""

    def open(self, scope: Scope) -> Finding:
        seen.clear()
        return self

    def components(self) -> tuple[Component, ...]:
        board = Component("gpu:GPU-a", "measured", "a counter", 400.0)
        silent = Component("gpu:GPU-b", "missing", "GPU is lost")
        return (*super().components(), *((board, silent) if len(seen) > 1 else ()))

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        seen.append(usage.elapsed_s)
        (cpu,) = super().sample(usage)
        return (cpu, *((replace(cpu, component="gpu:GPU-a"),) if len(seen) > 1 else ()))


def test_what_a_meter_finds_later_joins_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: Holdings
) -> None:
    monkeypatch.setattr(registry, "load", lambda group, name: Finding())
    metering = Metering(["finding"], Scope(1), ["a note of the start"])
    record = Record(tmp_path, 1.0, Clock(), metering, Tree(os.getpid()), alone)
    record.sample()
    record.sample()
    record.close()
    found = journal.read_journal(tmp_path)
    assert [c.name for c in found.components] == ["cpu", "gpu:GPU-a", "gpu:GPU-b"]
    assert [r.component for r in found.samples[0].readings] == ["cpu", "gpu:GPU-a"]
    assert found.samples[-1].readings[1].component == "gpu:GPU-a"
    assert found.meta["meters"] == {"cpu": "finding", "gpu:GPU-a": "finding"}
    assert found.notes == ("a note of the start",)
