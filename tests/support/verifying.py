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
from scheduler.models import Hardware, Site, WaterUse
from scheduler.report import exports
from scheduler.report.exports import Entry
from scheduler.sci import AttemptRecord, Expectation, Start, count, outer_of, settle
from support import reports

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from providers.base import Journal

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
METHODS = ("measured", "integrated", "modelled")
# What may have gone wrong in the attempts of a job; most often nothing has.
TROUBLES = ("unbounded", "unread", "steps not metered", "no journal")


def series(rng: Random, zone: str, kind: Any = "actual", hours: int = 30) -> Series:
    """Intensity of some hours from two before :data:`T0` on, some of it equal to the one before."""
    starts = T0.timestamp() - 7200 + 3600.0 * np.arange(hours)
    g = np.repeat([rng.uniform(20, 800) for _ in range(hours)], rng.choice([1, 2]))[:hours]
    facts = g, 0.9 * g, 1.2 * g, np.array(["a grid operator"] * hours)
    factors: Any = rng.choice(["lifecycle"] * 9 + ["direct"])
    return Series(zone, "average", kind, T0, starts, starts + 3600, *facts, factors, None)


def journal(
    rng: Random, folder: Path, start_s: float, seconds: float, trouble: str, within: str | None
) -> Journal:
    """Counters and models of a machine of 4 CPUs, in some of them with a hole at the end; with
    boards and slices, one of which may be found late; with or without shares of the machine.
    """
    if trouble == "no journal":
        return read(folder / "journal.jsonl")
    most_w = None if trouble == "unbounded" else 300.0
    names = ["cpu", "dram", "gpu:GPU-a", rng.choice(["gpu:GPU-b", "gpu:MIG-c"])]
    parts = [
        Component(
            name,
            "modelled" if name == "dram" else rng.choice(METHODS),
            "a meter",
            most_w,
            share=3 / 7 if "MIG" in name else 1.0,
        )
        for name in names[: rng.randint(1, 4)]
    ]
    if trouble == "unread":
        parts.append(Component("gpu:GPU-d", "missing", "GPU is lost", rng.choice([None, 300.0])))
    late = [parts.pop()] if len(parts) > 2 and rng.random() < 0.4 else []
    meta: dict[str, Any] = {"suspended_s": rng.choice([0.0, 0.1 * seconds])}
    if rng.random() < 0.8:
        meta["cpus"] = 4
    if within is not None:
        meta["within"] = within
    if trouble == "steps not metered":
        meta["unmetered"] = "steps not metered"
    folder.mkdir(parents=True)
    writer = JournalWriter(folder, parts, meta, start_s)
    drawn = dict.fromkeys([p.name for p in (*parts, *late)], ZERO)
    seen_s, shared = seconds * rng.choice([1.0, 0.5]), rng.random() < 0.6
    for step in range(1, 6):
        if step == 3:
            for part in late:
                writer.add(part)
            parts += late
        readings = []
        for part in parts:
            if part.method == "missing":
                continue
            joules = rng.uniform(10, 5e5)
            drawn[part.name] += Triple(0.8 * joules, joules, 1.3 * joules)
            covered = seen_s * (step - 2 * (part in late)) / 5
            energy = drawn[part.name]
            readings.append(Reading(part.name, energy.scaled(0.5), energy, covered, {"w": joules}))
        share_s = rng.uniform(0.1, 1) * seen_s * step / 5 if shared else None
        writer.sample(start_s + seen_s * step / 5, 0.4 * seen_s * step, readings, share_s)
    writer.close()
    file = folder / "journal.jsonl"
    if rng.random() < 0.2:  # a line that a full disk cut off
        lines = file.read_text().splitlines(keepends=True)
        lines[4] = lines[4][: len(lines[4]) // 2] + "\n"
        file.write_text("".join(lines))
    return read(file)


def site(rng: Random, region: str, zone: str) -> Site:
    """With hardware or without it, boards of it apart or not; with a use of water or without."""
    boards = rng.choice([None, Triple(100, 250, 450)])
    hardware = Hardware(
        Triple(500, 1000, 2000), 35040.0, 8, rng.choice([0, 2, 4, 8]), "a data sheet",
        boards_kg=boards,
    )  # fmt: skip
    pue = Triple(1.1, rng.uniform(1.1, 1.3), 1.4)
    water = rng.choice([None, WaterUse(Triple.exact(rng.choice([0.0, 0.2])), "published")])
    hardware_here = rng.choice([hardware, hardware, None])
    return Site(region, zone, pue, "declared", hardware_here, water=water)


def attempts(
    rng: Random, folder: Path, number: int, begun: datetime, within: str | None
) -> list[AttemptRecord]:
    """One or two, of which the last may still run."""
    records = []
    tries, trouble = rng.randint(1, 2), rng.choice([""] * 8 + list(TROUBLES))
    for attempt in range(tries):
        seconds = rng.choice([rng.uniform(600, 9000), rng.uniform(600, 9000), rng.uniform(3, 15)])
        at, end = begun.timestamp(), begun + timedelta(seconds=seconds)
        run = journal(rng, folder / f"{number}-{attempt}", at, seconds, trouble, within)
        ended = None if attempt == tries - 1 and run.samples and rng.random() < 0.1 else end
        stop_ends = None if ended is None else at + 0.3 * seconds
        stops = rng.choice([(), ((at + 0.2 * seconds, stop_ends),)])
        reload_s = rng.choice([0, 0.1 * seconds])
        records.append(AttemptRecord(begun, ended, 0, run, stops, reload_s, bool(attempt)))
        begun = end + timedelta(seconds=rng.uniform(0, 900))
    return records


def document(rng: Random, folder: Path, jobs: int = 2) -> dict[str, Any]:
    """A whole ``report --json`` of some jobs, of which others may run within the first."""
    entries = []
    for number in range(jobs):
        within = f"{0:08x}" if number and rng.random() < 0.4 else None
        records = attempts(rng, folder, number, T0 + rng.uniform(0, 5) * HOUR, within)
        here = site(rng, "here", "DE")
        home = rng.choice([here, replace(here, region="home"), site(rng, "home", "FR")])
        there = series(rng, home.zone or "")
        local = there if home.zone == here.zone else series(rng, "DE")
        began_s, forecast = records[0].started_at.timestamp(), series(rng, "DE", "forecast")
        served = Start(T0 + rng.uniform(0, 3) * HOUR, there, estimated=rng.random() < 0.5)
        settlement = settle(
            attempts=records, site=here, home=home, release=T0, intensity=local,
            home_intensity=there, provisional=False, slots=2, gpus=rng.choice([0, 1]),
            unit=rng.choice([None, "tokens"]), work=count([("tokens", 7e5), ("metric.loss", 0.2)]),
            expected=Expectation(((began_s + 1800, began_s + 5400),), 80.0, forecast),
            first_come=served if rng.random() < 0.9 else "not known",
            within=outer_of(record.journal for record in records),
        )  # fmt: skip
        entries.append(Entry(reports.job(f"{number:08x}", group="g"), settlement))
    made: dict[str, Any] = json.loads(json.dumps(exports.document(entries, "g")))
    return made
