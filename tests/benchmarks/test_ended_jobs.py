"""A home of 20,000 ended jobs against an empty one: commands in processes of their own, and growth.

Ratios are printed (`pytest -m benchmark -s`); times are of CPU, which other work on the machine
bends less than that on the wall.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.ended_jobs import multiply

from scheduler import config
from scheduler.engine import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.benchmark

JOBS, ROUNDS, OVER = 20_000, 3, timedelta(days=29)
AIM_X, AIM_REPORT_S, AIM_REPORT_MB, AIM_KB, AIM_FILES = 2, 2, 150, 5, 3
LOWTIDE = Path(sys.executable).with_name("lowtide")
# A process begins with the peak of the one that it was forked from: that is to be a small one.
MEASURED = """
import os, sys, time
begun = time.monotonic()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
COMMANDS = (
    ("report", "--since", "30d"),
    ("report", "--since", "30d", "--group-by", "project"),
    ("status",),
    ("status", "--all"),
    ("show", "e0000000"),
    ("tick",),
    ("submit", "--duration", "1m", "--deadline", "9h", "--", "true"),
    ("prune", "--older-than", "20d"),
)


def _run(home: Path, *argv: str) -> tuple[float, float, float]:
    """Seconds on the wall and of CPU, and the peak of memory in MB."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    env["LOWTIDE_HOME"] = str(home / "home")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURED, str(LOWTIDE), *argv],
        cwd=home, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip
    wall_s, cpu_s, peak_kib = map(float, done.stdout.splitlines()[-1].split())
    return wall_s, cpu_s, peak_kib / 1024


def _files(home: Path) -> Iterator[Path]:
    return (p for p in (home / "home" / "runs").rglob("*") if not p.is_dir())


def _with_one_job(home: Path) -> str:
    home.mkdir()
    (home / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    _run(home, "submit", "--duration", "1m", "--deadline", "2m", "--", "true")
    _run(home, "tick")
    until = time.monotonic() + 60
    while not (found := list((home / "home" / "runs").glob("*/1/receipt.json"))):
        assert time.monotonic() < until
        time.sleep(0.1)
    _run(home, "tick")
    return found[0].parts[-3]


def test_a_home_of_ended_jobs_against_an_empty_one(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    _with_one_job(small)
    job_id, now = _with_one_job(large), datetime.now(UTC)
    loaded = config.load(None, {"LOWTIDE_HOME": str(large / "home")}, large)
    ctx = Context.open(loaded, now)
    database = large / "home" / "lowtide.db"
    bytes_before, files_before = database.stat().st_size, len(list(_files(large)))
    begun = time.monotonic()
    multiply(ctx, job_id, JOBS, now, OVER)
    ctx.close()
    print(f"\nfilled in {time.monotonic() - begun:.0f} s", flush=True)
    grown_kb = (database.stat().st_size - bytes_before) / JOBS / 1000
    files = (len(list(_files(large))) - files_before) / JOBS
    print(f"a job: {grown_kb:.2f} kB of database (aim {AIM_KB}), {files:.1f} files ({AIM_FILES})")
    only = next((small / "home" / "runs").glob("*/1")).parts[-2]
    for argv in COMMANDS:
        on_one = [only if word == "e0000000" else word for word in argv]
        alone = [_run(small, *on_one) for _ in range(ROUNDS)]
        full = [_run(large, *argv) for _ in range(ROUNDS)]
        wall, cpu, peak = (statistics.median(each) for each in zip(*full, strict=True))
        cpu_alone = statistics.median(each[1] for each in alone)
        print(
            f"lowtide {' '.join(argv)}: {wall:.2f} s, {cpu:.2f} s of CPU, {peak:.0f} MB; "
            f"{cpu / cpu_alone:.2f} x that on one job (aim {AIM_X} x; reports {AIM_REPORT_S} s, "
            f"{AIM_REPORT_MB} MB)",
            flush=True,
        )
