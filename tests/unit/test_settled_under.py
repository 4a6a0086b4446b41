"""A job is settled by the configuration that it was submitted under, whoever settles it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from scheduler import config, engine
from scheduler.engine import Context, settling, submission
from scheduler.engine.request import Request
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from scheduler.models import Settlement

MINE = """
providers: [mine]
sources: {mine: {type: trace, path: mine.csv}}
regions:
  local:
    zone: DE
    pue: {value: 1.5, source: my room}
    hardware: {embodied_kg: 800, lifespan: 4y, slots: 8, source: my data sheet}
"""


class Folders:
    """A home, and folders with a config each; jobs run for an hour in each of them."""

    def __init__(self, base: Path, now: datetime) -> None:
        self.base, self.clock = base, FixedClock(now)
        self.executor = FakeExecutor(clock=self.clock, run_s=3600)
        self.opened: list[Context] = []

    def open(self, name: str, text: str | None = None) -> Context:
        """A new process in the folder ``name``, whose config has that text."""
        folder = self.base / name
        folder.mkdir(exist_ok=True)
        rows = [
            f"{self.clock.now + timedelta(hours=h - 30):%Y-%m-%dT%H:%M:%SZ},DE,200"
            for h in range(99)
        ]
        (folder / "mine.csv").write_text(
            "\n".join(["timestamp_utc,region,g_per_kwh", *rows]) + "\n"
        )
        if text is not None:
            (folder / "lowtide.yaml").write_text(text)
        environ = {"LOWTIDE_HOME": str(self.base / "home")}
        loaded = config.load(None, environ, folder)
        fake = FakeProvider(self.clock.now - timedelta(days=1), {"DE": [100.0] * 24 * 60})
        self.opened.append(
            Context.open(
                loaded,
                self.clock.now,
                sources={"fake": fake},
                executors={"local": self.executor},
                clock=lambda: self.clock.now,
            )
        )
        return self.opened[-1]

    def submit(self, ctx: Context) -> str:
        request = Request(argv=("true",), duration="1h", start_by="1h", power="1kW")
        now = self.clock.now
        spec = submission.to_spec(request, ctx.config, now, "me", Path("/"), need_duration=True)
        return engine.submit(ctx, request, spec, dict(os.environ), now)[0]

    def journal(self) -> Journal:
        """A kilowatt for the hour of the only job."""
        started = self.opened[0].store.jobs.find()[0].started_at
        assert started is not None
        at, kwh = started.timestamp(), Triple.exact(3.6e6)
        first, last = Reading("cpu", ZERO, ZERO, 0.0), Reading("cpu", kwh, kwh, 3600.0)
        part = Component("cpu", "measured", "a counter")
        return Journal((part,), (Sample(at, 0, (first,)), Sample(at + 3600, 3600, (last,))))

    def run(self, ctx: Context, job_id: str) -> Settlement:
        """Passes of ``ctx`` until the job has ended and is settled."""
        for _ in range(12):
            self.clock.advance(minutes=20)
            engine.tick(ctx, self.clock.now, self.clock.now + timedelta(minutes=20))
        assert ctx.store.jobs.get(job_id).state is JobState.SUCCEEDED
        settled = ctx.store.settlements.latest(job_id)
        assert settled is not None
        return settled


@pytest.fixture
def folders(tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folders]:
    made = Folders(tmp_path, now)
    monkeypatch.setattr(settling, "read_journal", lambda _: made.journal())
    yield made
    for each in made.opened:
        each.close()


@pytest.mark.parametrize(
    "other",
    [
        None,
        "providers: [fake]\nregions: {local: {zone: FR}}\n",
        "providers: [fake]\nregions: {local: {zone: DE, pue: {value: 2, source: s}}}\n",
    ],
)
def test_a_pass_under_another_config_settles_by_that_of_the_job(
    folders: Folders, other: str | None
) -> None:
    job_id = folders.submit(folders.open("mine", MINE))
    settled = folders.run(folders.open("theirs", other), job_id)
    assert settled.place is not None
    assert (settled.place.zone, settled.pue.value, settled.pue_source) == ("DE", 1.5, "my room")
    assert settled.intensity is not None
    assert (settled.intensity.g_per_kwh.value, settled.intensity.source) == (
        200.0,
        "trace mine.csv",
    )
    assert settled.hardware is not None
    assert settled.hardware.source == "my data sheet"
    assert settled.baseline_g is not None


def test_a_later_edition_of_the_same_file_changes_no_job_that_was_submitted_before(
    folders: Folders,
) -> None:
    job_id = folders.submit(folders.open("mine", MINE))
    later = MINE.replace("zone: DE", "zone: FR").replace("1.5", "1.1")
    settled = folders.run(folders.open("mine", later), job_id)
    assert settled.place is not None
    assert (settled.place.zone, settled.pue.value) == ("DE", 1.5)


def test_a_zone_that_the_job_s_config_lacks_is_taken_from_the_pass_s(folders: Folders) -> None:
    job_id = folders.submit(folders.open("none", "providers: [fake]\n"))
    settled = folders.run(
        folders.open("set", "providers: [fake]\nregions: {local: {zone: DE}}\n"), job_id
    )
    assert settled.place is not None
    assert settled.place.zone == "DE"
    assert settled.operational_g is not None


def test_a_series_keeps_the_config_it_was_submitted_under(folders: Folders) -> None:
    ctx = folders.open("mine", MINE)
    request = Request(argv=("true",), duration="1h", every="0 * * * *", within="2h", tz="UTC")
    now = folders.clock.now
    spec = submission.to_spec(request, ctx.config, now, "me", Path("/"), need_duration=True)
    series, job_id, _ = engine.submit_series(ctx, request, spec, dict(os.environ), now)
    assert series.template.config == ctx.config.digest
    assert ctx.store.jobs.get(job_id).spec.config == ctx.config.digest
    kept = ctx.store.configs.get(ctx.config.digest)
    assert kept == (ctx.config.path.absolute(), MINE.encode())
