"""How the CPU seconds of an attempt were counted, and what a record from elsewhere is worth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from scheduler.models import Site
from scheduler.report import terminal
from scheduler.sci import AttemptRecord, Work, settle
from scheduler.sci.attribution import describe
from scheduler.sci.energy import tally

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def _journal(*components: Component, covered_s: float = 100.0, **meta: Any) -> Journal:
    """1 kWh of each component over 100 s."""
    begin = T0.timestamp()
    joules = Triple.exact(3.6e6)
    first = tuple(Reading(c.name, ZERO, ZERO, 0.0) for c in components)
    last = tuple(Reading(c.name, ZERO, joules, covered_s) for c in components)
    samples = (Sample(begin, 0, first), Sample(begin + 100, 1, last))
    return Journal(components, samples, (), meta)


@pytest.mark.parametrize(
    ("told", "ended", "said"),
    [
        (
            {"counted_by": "cgroup", "seen_cpu_s": 49.0, "cpu_s": 50.0},
            True,
            "cgroup cpu.stat, exact for the process tree; 98 % of 50.0 CPU seconds seen by samples",
        ),
        (
            {"counted_by": "wait4", "seen_cpu_s": 0.0, "cpu_s": 0.0},
            True,
            "wait4 of all descendants, exact for the process tree",
        ),
        (
            {"counted_by": "wait4", "seen_cpu_s": 1.8, "cpu_s": 1.8, "unseen_cpu_s": 6.3},
            True,
            "wait4 of all descendants: 1.8 CPU seconds, and up to 6.3 more of processes whose "
            "end no look met",
        ),
        (
            {"counted_by": "wait4"},
            True,
            "wait4 of all descendants, cut off: what came after the last sample is not counted",
        ),
        ({"counted_by": "cgroup"}, False, "cgroup cpu.stat, so far"),
        ({"counted_by": "rubbish"}, True, "not recorded"),
        ("rubbish", True, "not recorded"),
    ],
)
def test_the_way_of_counting_is_said(told: Any, ended: bool, said: str) -> None:
    assert describe(_journal(attribution=told), ended=ended) == said


def test_a_sleeping_machine_leaves_no_hole() -> None:
    """Neither a note, nor full power in the upper bound for the time that it slept."""
    cpu = Component("cpu", "measured", "test", 1000.0)
    record = AttemptRecord(T0, T0 + timedelta(seconds=3700), 0, _journal(cpu, suspended_s=3600.0))
    told = tally([record])
    assert told.notes == ()
    assert told.reserved_kwh == Triple.exact(1.0)
    awake = replace(record, journal=_journal(cpu))
    assert tally([awake]).reserved_kwh != Triple.exact(1.0)


def test_what_is_replayed_is_never_measured_here() -> None:
    parts = (
        Component("cpu", "measured", "replayed from a file: RAPL", replayed=True),
        Component("dram", "measured", "RAPL"),
    )
    site = Site("here", "DE", Triple.exact(1.0), "none", None)
    settled = settle(
        attempts=[AttemptRecord(T0, T0 + timedelta(seconds=100), 0, _journal(*parts))],
        site=site, home=site, release=T0, intensity=None, home_intensity=None,
        provisional=False, slots=1, gpus=0, unit=None, work=Work({}, {}),
    )  # fmt: skip
    assert settled.measured_percent == pytest.approx(50)
    assert [c.replayed for c in settled.components] == [True, False]
    assert "replayed" in terminal.method(settled.components[0])
    assert terminal.method(settled.components[1]) == "measured"
