"""A long queue: a pass and a submission read what is due or changed, not what is queued."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text
from support.long_queue import LongQueue

from scheduler import engine
from scheduler.engine import planner, queue
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.store.rows import JobRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
DEADLINE = timedelta(hours=6)


@pytest.fixture
def make(tmp_path: Path, database: dict[str, str]) -> Iterator[Callable[..., LongQueue]]:
    made: list[LongQueue] = []

    def of(slots: int) -> LongQueue:
        made.append(LongQueue(tmp_path, NOW, database, slots))
        return made[-1]

    yield of
    for each in made:
        each.ctx.close()


@pytest.fixture
def rows_read() -> Iterator[list[str]]:
    """The ids of jobs that were read in full."""
    found: list[str] = []

    def note(row: JobRow, _context: Any) -> None:
        found.append(row.id)

    event.listen(JobRow, "load", note)
    yield found
    event.remove(JobRow, "load", note)


def test_neither_a_quiet_pass_nor_a_submission_reads_the_queue(
    make: Callable[..., LongQueue], rows_read: list[str]
) -> None:
    long = make(slots=1000)
    long.fill(400)
    long.tick(seconds=10)
    long.tick(seconds=10)
    rows_read.clear()
    long.tick(seconds=10)
    assert rows_read == [], "nothing is due, nothing has changed"
    job_id = long.submit()
    assert set(rows_read) <= {job_id}


def test_what_is_due_starts_and_the_next_start_is_told(make: Callable[..., LongQueue]) -> None:
    long = make(slots=1000)
    long.fill(44)
    long.tick(seconds=10)
    # One starts each hour, the first one two hours from the start.
    due = long.tick(hours=3)
    started = {job.id for job in long.ctx.store.jobs.find({JobState.STARTING, JobState.RUNNING})}
    assert started == {"f0000000", "f0000001"}
    assert due is not None
    assert due <= NOW + timedelta(hours=4)


def test_a_changed_forecast_reaches_all_jobs_the_next_to_start_first(
    make: Callable[..., LongQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "AT_ONCE", 8)
    long = make(slots=1000)
    long.fill(20)
    long.tick(seconds=10)
    with long.ctx.store._database.write() as session:
        session.connection().execute(text("UPDATE job SET sight = '0'"))
    looked = []
    for _ in range(4):
        long.tick(seconds=10)
        groups = long.ctx.store.waiting.groups()
        looked.append(sum(group.jobs for group in groups if group.sight == "0"))
    assert looked == [12, 4, 0, 0]
    assert len(groups) == 1


def _sums(long: LongQueue) -> Counter[tuple[str, str, int]]:
    ids = [job.id for job in long.ctx.store.jobs.find()]
    found: Counter[tuple[str, str, int]] = Counter()
    for part in long.ctx.store.reservations.of(ids):
        found[part.region, part.host, part.begins] += part.slots
        found[part.region, part.host, part.ends] -= part.slots
    return Counter({place: slots for place, slots in found.items() if slots})


@pytest.mark.parametrize("joint", [1000, 4])
def test_deadlines_hold_also_where_only_a_part_is_planned_together(
    joint: int, make: Callable[..., LongQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "JOINT", joint)
    long = make(slots=2)
    deadline = (NOW + DEADLINE).isoformat()
    taken: list[str] = []

    def fill_up() -> None:
        while len(taken) < 40:
            taken.append(long.submit(duration="50m", deadline=deadline))

    with pytest.raises(UsageError, match="cannot be met beside"):
        fill_up()
    # Two slots over six hours, less what the margin of passes and the lattice cost.
    assert len(taken) >= 10
    # All want the same hour at once, as after a change of the forecast.
    with long.ctx.store._database.write() as session:
        session.connection().execute(text("UPDATE job SET sight = ''"))
    for _ in range(100):
        long.tick(minutes=4)
        jobs = [long.ctx.store.jobs.get(job_id) for job_id in taken]
        assert sum(job.state.active for job in jobs) <= 2
        if all(job.state.ended for job in jobs):
            break
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert all(job.started_at is not None and job.started_at < NOW + DEADLINE for job in jobs)
    assert long.ctx.store.reservations.promised() == []


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["submit", "cancel", "wait"]), min_size=1, max_size=8), st.data())
def test_what_is_promised_is_the_sum_of_what_waiting_jobs_hold(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str], data: st.DataObject
) -> None:
    long = LongQueue(tmp_path_factory.mktemp("laws"), NOW, slots=2)
    for act in acts:
        waiting = long.ctx.store.jobs.find({JobState.QUEUED, JobState.PLANNED})
        if act == "submit":
            long.submit(slots=data.draw(st.integers(1, 2)), deadline="12h")
        elif act == "cancel" and waiting:
            job = data.draw(st.sampled_from(sorted(waiting, key=lambda job: job.id)))
            engine.cancel(long.ctx, job.id, long.clock.now)
        else:
            long.tick(minutes=data.draw(st.sampled_from([1, 30, 240])))
        steps = long.ctx.store.reservations.promised()
        assert {(s.region, s.host, s.at_s): s.slots for s in steps} == _sums(long)
        held = {job.id for job in long.ctx.store.jobs.find({JobState.PLANNED})}
        assert long.ctx.store.reservations.whole().jobs == len(held)
    long.ctx.close()
