"""Savings are counted against the same jobs on the same slots, served in order of release."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.base import Component, Reading, Triple
from providers.runner.journal import JournalWriter
from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.first_come import FirstCome
from scheduler.engine.request import Request
from scheduler.models import Job, JobState
from scheduler.planner.first_come import Arrival, serve
from scheduler.report import schema
from scheduler.report.verification import check
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
FALLING = [500.0, 400, 300, 100, 100, 100, *[500.0] * 42]
SLOTS = st.lists(st.integers(1, 4), min_size=1, max_size=3)


class Bench:
    """One region with one slot; jobs of an hour and 1 kWh, metered as such."""

    def __init__(self, folder: Path, database: dict[str, str]) -> None:
        self.clock = FixedClock(NOW)
        executor = FakeExecutor(self.clock, run_s=3600)
        region = "{zone: DE, slots: 1, pue: {value: 1, source: me}}"
        text = f"providers: [fake]\nregions: {{local: {region}}}\n"
        (folder / "config.yaml").write_text(text)
        environ = {"LOWTIDE_HOME": str(folder / "home")} | database
        loaded = config.load(None, environ, folder)
        source = FakeProvider(NOW, {"DE": FALLING}, actuals=True)
        self.ctx = Context.open(
            loaded, NOW, sources={"fake": source}, executors={"local": executor},
            clock=lambda: self.clock.now,
        )  # fmt: skip

    def submit(self, **fields: Any) -> str:
        given = {"argv": ("true",), "duration": "1h", "deadline": "12h", "power": "1kW"} | fields
        request, now = Request(**given), self.clock.now
        spec = submission.to_spec(
            request, self.ctx.config, now, "me", Path("/"), need_duration=True
        )
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)[0]

    def tick(self, hours: int = 0) -> None:
        self.clock.advance(hours=hours)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))
        for job in self.ctx.store.jobs.find():
            for attempt in self.ctx.store.jobs.attempts(job.id):
                if job.state.active:
                    begun = attempt.started_at or attempt.claimed_at
                    _meter(Path(attempt.run_dir), begun.timestamp())

    def job(self, job_id: str) -> Job:
        return self.ctx.store.jobs.get(job_id)


def _meter(folder: Path, start_s: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "journal.jsonl").exists():
        writer = JournalWriter(folder, [Component("cpu", "measured", "a counter")], {}, start_s)
        energy = Triple.exact(3.6e6)
        writer.sample(start_s + 3600, 3600.0, [Reading("cpu", energy, energy, 3600.0)])
        writer.close()


@pytest.fixture
def bench(tmp_path: Path, database: dict[str, str]) -> Any:
    made = Bench(tmp_path, database)
    yield made
    made.ctx.close()


def test_three_jobs_on_one_slot_save_what_a_plain_queue_would_have_emitted_more(
    bench: Bench,
) -> None:
    """Started at release each would emit 500 g, one after the other 500, 400 and 300."""
    ids = [bench.submit() for _ in range(3)]
    for hours in (0, *[1] * 7):
        bench.tick(hours)
    pairs = [(bench.job(i), bench.ctx.store.settlements.latest(i)) for i in ids]
    assert {job.state for job, _ in pairs} == {JobState.SUCCEEDED}
    reports = [schema.report_json(job, s) for job, s in pairs]
    assert [r["operational_g"]["value"] for r in reports] == pytest.approx([100.0] * 3)
    assert [r["baseline_g"]["value"] for r in reports] == pytest.approx([500.0] * 3)
    plain = [r["first_come"]["baseline_g"]["value"] for r in reports]
    assert sorted(plain) == pytest.approx([300.0, 400.0, 500.0])
    sums = schema.totals(pairs)
    assert sums["saved_g"]["value"] == pytest.approx(900.0)
    assert sums["baseline"] == "first come, first served on the same slots"
    for report in reports:
        assert check(report, _read).verdict == "verified"


def _read(named: Any) -> Any:
    from providers.journal import read

    return read(Path(named.path))


def test_a_job_before_it_that_still_runs_makes_the_start_an_estimate(bench: Bench) -> None:
    first = bench.submit(deadline="1h")
    bench.tick()
    bench.clock.advance(seconds=1)
    second = bench.submit()
    queue = FirstCome(bench.ctx, bench.clock.now)
    assert bench.job(first).state.active
    served = [queue.start(bench.job(i), NOW) for i in (first, second)]
    assert [s.start_s for s in served if not isinstance(s, str)] == [
        NOW.timestamp(),
        (NOW + HOUR).timestamp(),
    ]
    assert [s.known for s in served if not isinstance(s, str)] == [True, False]


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    count = draw(st.integers(1, 12))
    return [
        Arrival(
            float(draw(st.integers(0, 20)) * 600),
            0.0,
            f"{n:02d}",
            float(draw(st.integers(1, 30)) * 600),
            draw(st.integers(1, 5)),
        )
        for n in range(count)
    ]


@given(arrivals(), SLOTS)
@settings(max_examples=60, deadline=None)
def test_a_plain_queue_keeps_order_and_slots_and_leaves_none_idle(
    jobs: list[Arrival], slots: list[int]
) -> None:
    served = serve(jobs, slots)
    fitting = [job for job in sorted(jobs) if job.slots <= max(slots)]

    def held(at: float, before: int) -> int:
        starts = [(served[j.job_id].start_s, j) for j in fitting[:before]]
        return sum(j.slots for start, j in starts if start <= at < start + j.run_s)

    latest = float("-inf")
    for n, job in enumerate(fitting):
        start = served[job.job_id].start_s
        earliest = max(job.ready_s, latest)
        assert start >= earliest
        assert held(start, n) + job.slots <= slots[int(start // 3600) % len(slots)]
        # At no earlier moment was there room: only ends, hours and its own turn make room.
        moments = {earliest, *(served[j.job_id].start_s + j.run_s for j in fitting[:n])}
        moments |= {float(h) for h in range(0, int(start) + 1, 3600)}
        for at in moments:
            if earliest <= at < start:
                assert held(at, n) + job.slots > slots[int(at // 3600) % len(slots)]
        latest = start
    for job in set(jobs) - set(fitting):
        assert served[job.job_id].start_s == job.ready_s
