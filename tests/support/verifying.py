"""Reports with evidence of any kind, made from journals on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from providers.base import ZERO, Component, Reading, Triple
from providers.journal import read
from providers.runner.journal import JournalWriter
from providers.series import Series
from scheduler.models import Hardware, Site
from scheduler.report import exports
from scheduler.report.exports import Entry
from scheduler.sci import AttemptRecord, Expectation, Start, count, settle
from support import reports

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from providers.base import Journal

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
METHODS = ("measured", "integrated", "modelled")


def series(rng: Random, zone: str, kind: Any = "actual", hours: int = 30) -> Series:
    """Intensity of some hours from two before :data:`T0` on, some of it equal to the one before."""
    starts = T0.timestamp() - 7200 + 3600.0 * np.arange(hours)
    g = np.repeat([rng.uniform(20, 800) for _ in range(hours)], rng.choice([1, 2]))[:hours]
    facts = g, 0.9 * g, 1.2 * g, np.array(["a grid operator"] * hours)
    return Series(zone, "average", kind, T0, starts, starts + 3600, *facts, "lifecycle", None)


def journal(rng: Random, folder: Path, start_s: float, seconds: float) -> Journal:
    """Counters and models, some of them with a hole at the end."""
    names = [("cpu", rng.choice(METHODS)), ("dram", "modelled"), ("gpu:A", rng.choice(METHODS))]
    parts = [
        Component(name, method, f"a {method} source", rng.choice([None, 300.0]))  # type: ignore[arg-type]
        for name, method in names[: rng.randint(1, 3)]
    ]
    folder.mkdir(parents=True)
    writer = JournalWriter(folder, parts, {}, start_s)
    drawn = dict.fromkeys([p.name for p in parts], ZERO)
    seen_s = seconds * rng.choice([1.0, 0.5])
    for step in range(1, 6):
        readings = []
        for part in parts:
            joules = rng.uniform(10, 5e5)
            drawn[part.name] += Triple(0.8 * joules, joules, 1.3 * joules)
            covered = seen_s * step / 5
            energy = drawn[part.name]
            readings.append(Reading(part.name, energy.scaled(0.5), energy, covered, {"w": joules}))
        writer.sample(start_s + seen_s * step / 5, 300.0 * step, readings)
    writer.close()
    return read(folder / "journal.jsonl")


def site(rng: Random, region: str, zone: str) -> Site:
    """With hardware or without it."""
    hardware = Hardware(Triple(500, 1000, 2000), 35040.0, 8, rng.choice([0, 4]), "a data sheet")
    pue = Triple(1.1, rng.uniform(1.1, 1.3), 1.4)
    return Site(region, zone, pue, "declared", rng.choice([hardware, hardware, None]))


def document(rng: Random, folder: Path, jobs: int = 2) -> dict[str, Any]:
    """A whole ``report --json`` of some jobs."""
    entries = []
    for number in range(jobs):
        begun, records = T0 + rng.uniform(0, 5) * HOUR, []
        for attempt in range(rng.randint(1, 2)):
            seconds = rng.uniform(600, 9000)
            run = journal(rng, folder / f"{number}-{attempt}", begun.timestamp(), seconds)
            end, at = begun + timedelta(seconds=seconds), begun.timestamp()
            stops = rng.choice([(), ((at + 100.0, at + 250.0),)])
            resumed = bool(attempt)
            records.append(AttemptRecord(begun, end, 0, run, stops, rng.choice([0, 30.0]), resumed))
            begun = end + timedelta(seconds=rng.uniform(0, 900))
        here = site(rng, "here", "DE")
        home = rng.choice([here, replace(here, region="home"), site(rng, "home", "FR")])
        there = series(rng, home.zone or "")
        local = there if home.zone == here.zone else series(rng, "DE")
        began_s, forecast = records[0].started_at.timestamp(), series(rng, "DE", "forecast")
        settlement = settle(
            attempts=records, site=here, home=home, release=T0, intensity=local,
            home_intensity=there, provisional=False, slots=2, gpus=rng.choice([0, 1]),
            unit=rng.choice([None, "tokens"]), work=count([("tokens", 7e5), ("metric.loss", 0.2)]),
            expected=Expectation(((began_s + 1800, began_s + 5400),), 80.0, forecast),
            first_come=Start(T0 + rng.uniform(0, 3) * HOUR, there, estimated=rng.random() < 0.5),
        )  # fmt: skip
        entries.append(Entry(reports.job(f"{number:08x}", group="g"), settlement))
    made: dict[str, Any] = json.loads(json.dumps(exports.document(entries, "g")))
    return made
