"""Memory under load: a daemon's hour with jobs coming and ending, and many jobs at once.

Of memory, unlike of time, a bound is asserted (`pytest -m benchmark -s`).
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.bench import Bench
from support.long_queue import LongQueue

from providers.executors.local import build
from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.models import JobState

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="needs Linux's /proc"),
]

PASSES, COMING, WAITING = 360, 2, 2000
# What a pass may still bring in after half of the hour: caches of parsed jobs fill up.
GROWTH_MIB = 8.0
# Jobs at once, as long as so much memory (GiB) stays free for others.
AT_ONCE, SPARE_GIB, BATCH = 1000, 4.0, 50


def _mib(pid: int | str = "self", name: str = "Rss") -> float:
    """Resident memory, or with ``Pss`` what it would be without what others share."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name}:"))) / 1024


def _available_gib() -> float:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return float(next(x.split()[1] for x in lines if x.startswith("MemAvailable:"))) / 2**20


def test_memory_over_an_hour_of_passes(tmp_path: Path) -> None:
    """An hour of passes, ten seconds apart by the clock that is handed in."""
    queue = LongQueue(tmp_path, datetime(2026, 3, 2, 8, tzinfo=UTC), slots=1000)
    queue.fill(WAITING)
    seen = []
    for n in range(PASSES):
        for _ in range(COMING):
            queue.submit(deadline="20m", duration="5m")
        queue.tick(seconds=10)
        if n in {PASSES // 10, PASSES // 2, PASSES - 1}:
            seen.append(_mib())
    counts = queue.ctx.store.jobs.count()
    queue.ctx.close()
    assert counts[JobState.SUCCEEDED] > PASSES * COMING / 2
    print(
        f"\n{PASSES} passes over {WAITING} waiting jobs, {COMING} more at each, "
        f"{counts[JobState.SUCCEEDED]} ended: {' '.join(f'{mib:.0f}' for mib in seen)} MiB "
        "resident after a tenth, a half, all of them",
        flush=True,
    )
    assert seen[-1] - seen[1] < GROWTH_MIB


def test_many_jobs_at_once(tmp_path: Path) -> None:
    """Sleepers under real runners, started by passes; as many as memory allows."""
    (tmp_path / "config.yaml").write_text(
        f"regions: {{local: {{zone: DE, slots: {AT_ONCE}}}}}\nsample_interval: 60s\n"
    )
    settings = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    ctx = Context.open(settings, datetime.now(UTC))
    request = Request(argv=("sleep", "3600"), duration="1h", max_delay="0s", power="1W")
    environ = {"PATH": os.environ["PATH"]}
    started, begun, free = 0, time.perf_counter(), _available_gib()
    try:
        while started < AT_ONCE and _available_gib() > SPARE_GIB:
            for _ in range(BATCH):
                now = datetime.now(UTC)
                spec = submission.to_spec(
                    request, settings, now, "me", tmp_path, need_duration=True
                )
                engine.submit(ctx, request, spec, environ, now)
            started += BATCH
            _tick(ctx)
        took = time.perf_counter() - begun
        Bench.until(lambda: _running(ctx) == started, 600.0)
        times = []
        for _ in range(3):
            before = time.perf_counter()
            _tick(ctx)
            times.append(time.perf_counter() - before)
        runners = _runners(tmp_path)
        pss = sum(_mib(pid, "Pss") for pid in runners) / len(runners)
        rss = sum(_mib(pid) for pid in runners) / len(runners)
        print(
            f"\n{started} jobs running at once ({free:.0f} GiB were free), {started / took:.1f} "
            f"submitted and started a second; each runner {rss:.1f} MiB resident, {pss:.1f} MiB "
            f"of its own; a pass over them {min(times):.2f} s, this process has "
            f"{len(list(Path('/proc/self/fd').iterdir()))} open files and {_mib():.0f} MiB",
            flush=True,
        )
    finally:
        for job in ctx.store.jobs.find({JobState.STARTING, JobState.RUNNING}):
            attempt = ctx.store.jobs.attempts(job.id)[-1]
            build({}, tmp_path).stop(Path(attempt.run_dir), attempt.token, 1.0)
        ctx.close()


def _tick(ctx: Context) -> None:
    now = datetime.now(UTC)
    engine.tick(ctx, now, now + timedelta(seconds=10))


def _running(ctx: Context) -> int:
    _tick(ctx)
    return ctx.store.jobs.count().get(JobState.RUNNING, 0)


def _runners(home: Path) -> list[str]:
    """Processes whose command line names a run folder of this home."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(home) in line:
                found.append(entry.name)
    return found
