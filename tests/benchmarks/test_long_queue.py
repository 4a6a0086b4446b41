"""A queue of 100,000 jobs: what a submission, a pass and `lowtide status` cost beside it.

Everything is told beside the same on an empty queue, or beside bare commits, in one run
(`pytest -m benchmark -s`).
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from support.long_queue import LongQueue

from scheduler.models import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.benchmark

JOBS = {"sqlite": 100_000, "postgresql": 20_000}
ROUNDS, SUBMITTERS, EACH, CLAIMS = 15, 8, 25, 300
AIM_SUBMIT_X, AIM_PASS_S, AIM_STATUS_S = 2, 1, 2
LOWTIDE = Path(sys.executable).with_name("lowtide")


@pytest.fixture
def make(
    tmp_path: Path, database_kind: Callable[[], dict[str, str]]
) -> Iterator[Callable[..., LongQueue]]:
    """Queues of their own, each in an empty database of one kind."""
    made: list[LongQueue] = []

    def queue(name: str, slots: int = 1000) -> LongQueue:
        made.append(LongQueue(tmp_path / name, datetime.now(UTC), database_kind(), slots))
        return made[-1]

    yield queue
    for each in made:
        each.ctx.close()


def _kind(queue: LongQueue) -> str:
    return queue.ctx.store._database.dialect.name


def _times(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        action()
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def test_submit_and_pass(make: Callable[..., LongQueue]) -> None:
    empty, queue = make("empty"), make("queue")
    empty.submit()
    submit = _times(empty.submit)
    empty.tick(seconds=10)
    alone = _times(lambda: empty.tick(seconds=10))
    jobs = JOBS[_kind(queue)]
    queue.fill(jobs)
    queue.tick(seconds=10)
    with_all = _times(queue.submit)
    queue.tick(seconds=10)
    quiet = _times(lambda: queue.tick(seconds=10))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n{_kind(queue)}, {jobs} jobs queued: submit {1000 * with_all:.0f} ms, "
        f"{with_all / submit:.1f} x that of an empty queue (aim {AIM_SUBMIT_X} x); quiet pass "
        f"{1000 * quiet:.0f} ms, {quiet / alone:.1f} x (aim {AIM_PASS_S} s); peak {peak:.0f} MiB "
        "with what fills the queue",
        flush=True,
    )


def test_a_pass_that_has_to_plan_anew(make: Callable[..., LongQueue]) -> None:
    """The forecast of all jobs has changed: the next 500 are planned anew, beside all others."""
    queue = make("queue", slots=700)
    jobs = JOBS[_kind(queue)]
    queue.fill(jobs)
    with queue.ctx.store._database.write() as session:
        session.connection().execute(text("UPDATE job SET sight = '0' WHERE state = 'planned'"))
    looked = _times(lambda: queue.tick(seconds=10), 3)
    print(f"\n{_kind(queue)}, {jobs} jobs, each to be looked at: {looked:.1f} s a pass", flush=True)


def test_status(tmp_path: Path) -> None:
    """In a process of its own, as users call it; on SQLite."""
    names = {"empty": 0, "long": JOBS["sqlite"]}
    for name, jobs in names.items():
        queue = LongQueue(tmp_path / name, datetime.now(UTC))
        queue.submit()
        if jobs:
            queue.fill(jobs)
        queue.ctx.close()

    def status(name: str, *option: str) -> int:
        env = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
        env["LOWTIDE_HOME"] = str(tmp_path / name / "home")
        argv = [str(LOWTIDE), "status", *option]
        ran = subprocess.run(argv, cwd=tmp_path / name, env=env, capture_output=True, check=True)
        return ran.stdout.count(b"\n")

    for option in ((), ("--json",)):
        alone = _times(lambda option=option: status("empty", *option), 5)
        full = _times(lambda option=option: status("long", *option), 5)
        print(
            f"\nlowtide status {' '.join(option)} on {JOBS['sqlite']} jobs: {full:.2f} s "
            f"(aim {AIM_STATUS_S} s), {full / alone:.1f} x that on one job, "
            f"{status('long', *option)} lines",
            flush=True,
        )


def _bare(queue: LongQueue, commits: int = 500) -> float:
    """Commits a second of one small row, by the driver alone."""
    raw = queue.ctx.store._database._engine.raw_connection()
    cursor = raw.cursor()
    sqlite = _kind(queue) == "sqlite"
    begun = time.perf_counter()
    for n in range(commits):
        if sqlite:
            cursor.execute("BEGIN IMMEDIATE")
        cursor.execute(f"INSERT INTO beat (name, at) VALUES ('bare {n}', 0)")
        if sqlite:
            cursor.execute("COMMIT")
        else:
            raw.commit()
    took = time.perf_counter() - begun
    cursor.execute("DELETE FROM beat WHERE name LIKE 'bare %'")
    raw.commit()
    raw.close()
    return commits / took


def _submitted(queue: LongQueue, database: Mapping[str, str]) -> float:
    """Submissions a second by several processes at once, each with its context open."""
    home = queue.config.base_dir
    argv = [sys.executable, "-P", str(Path(__file__).parents[1] / "support/long_queue.py")]
    env = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")} | dict(database)
    started = [
        subprocess.Popen([*argv, str(home), str(EACH)], env=env, stdout=subprocess.PIPE)
        for _ in range(SUBMITTERS)
    ]
    while len(list(home.glob("ready-*"))) < SUBMITTERS:
        assert all(p.poll() is None for p in started)
        time.sleep(0.05)
    (home / "go").touch()
    spans = [tuple(map(float, p.communicate()[0].split())) for p in started]
    return SUBMITTERS * EACH / (max(b for _, b in spans) - min(a for a, _ in spans))


def _claimed(queue: LongQueue) -> float:
    """Claims a second by one process, as a pass makes them."""
    jobs = queue.ctx.store.waiting.nearest(CLAIMS)
    now = queue.clock.now
    begun = time.perf_counter()
    for job in jobs:
        attempt = Attempt(job.id, 1, "local", "/nowhere", f"token-{job.id}", now, host="here")
        assert queue.ctx.store.jobs.claim(job, attempt, (), len(jobs))
    return len(jobs) / (time.perf_counter() - begun)


def test_submits_and_claims_against_bare_commits(
    tmp_path: Path, database_kind: Callable[[], dict[str, str]]
) -> None:
    database = database_kind()
    queue = LongQueue(tmp_path, datetime.now(UTC), database)
    jobs = JOBS[_kind(queue)]
    queue.fill(jobs)
    bare = _bare(queue)
    submits, claims = _submitted(queue, database), _claimed(queue)
    bare = (bare + _bare(queue)) / 2
    print(
        f"\n{_kind(queue)}, {jobs} jobs queued: {submits:.0f} submissions a second by "
        f"{SUBMITTERS} processes ({submits / bare:.3f} of {bare:.0f} bare commits a second), "
        f"{claims:.0f} claims a second ({claims / bare:.2f})",
        flush=True,
    )
    queue.ctx.close()
