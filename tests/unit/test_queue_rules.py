"""Jobs that compete for slots: who starts, who is refused, and what is told of the whole."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scheduler import config, engine
from scheduler.engine import Context, planner, queue, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from datetime import datetime

    from tests.unit.conftest import Desk


def test_jobs_that_are_due_start_together_while_there_are_slots(desk: Desk) -> None:
    tight = [desk.submit(deadline="61m") for _ in range(2)]
    desk.tick()
    assert [desk.job(job_id).state for job_id in tight] == [JobState.STARTING] * 2


def test_deadlines_come_before_who_was_first_where_all_can_be_met(desk: Desk) -> None:
    easy = [desk.submit(deadline="10h") for _ in range(2)]
    tight = [desk.submit(deadline="70m") for _ in range(2)]
    for _ in range(20):
        desk.tick(minutes=10)
    ended = {job.id: job for job in desk.jobs()}
    assert {job.state for job in ended.values()} == {JobState.SUCCEEDED}
    for job_id in (*easy, *tight):
        job = ended[job_id]
        assert job.ended_at is not None
        assert job.spec.deadline is not None
        assert job.ended_at <= job.spec.deadline


def test_who_cannot_be_in_time_beside_the_others_is_refused_and_told_when(desk: Desk) -> None:
    for _ in range(2):
        desk.submit(deadline="70m")
    with pytest.raises(UsageError, match=r"cannot be met beside what runs and 2 queued") as e:
        desk.submit(deadline="70m")
    assert "at the earliest; move the deadline there" in str(e.value)
    assert len(desk.jobs()) == 2
    desk.submit(deadline="140m")


def test_how_near_the_queue_is_to_the_best_is_remembered(desk: Desk) -> None:
    assert desk.ctx.store.queue_plans.latest() is None
    desk.submit(deadline="9h", earliest="1h")
    desk.tick()
    alone = desk.ctx.store.queue_plans.latest()
    assert alone is not None
    assert (alone.jobs, alone.together, alone.gap_percent) == (1, False, 0)
    desk.clock.advance(seconds=5)
    for _ in range(4):
        desk.submit(deadline="9h", start_by="2h")
    desk.tick(seconds=10)
    crowded = desk.ctx.store.queue_plans.latest()
    assert crowded is not None
    assert (crowded.jobs, crowded.together, crowded.late) == (5, True, 0)
    assert crowded.gap_percent is not None
    assert 0 <= crowded.gap_percent < 0.1
    assert crowded.cost_g >= crowded.lower_bound_g
    made_at = crowded.made_at
    desk.tick(seconds=10)
    same = desk.ctx.store.queue_plans.latest()
    assert same is not None
    assert same.made_at - made_at <= timedelta(seconds=10)


def test_a_job_that_no_delay_is_worth_it_for_waits_for_slots_only(
    tmp_path: Path, now: datetime
) -> None:
    (tmp_path / "config.yaml").write_text(
        "providers: [fake]\nregions: {local: {zone: DE, slots: 1}}\n"
    )
    loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    falling = FakeProvider(now, {"DE": [500.0 - 10 * h for h in range(48)]})
    executor = FakeExecutor(clock=FixedClock(now), run_s=3600)
    ctx = Context.open(loaded, now, sources={"fake": falling}, executors={"local": executor})
    starts = []
    for share in ("0%", "50%"):
        request = Request(
            argv=("true",), duration="1h", deadline="8h", power="1kW", min_saving=share
        )
        if share == "0%":
            request = request.model_copy(update={"earliest": "30m", "start_by": "40m"})
        spec = submission.to_spec(request, loaded, now, "me", Path("/"), need_duration=True)
        _, plan = engine.submit(ctx, request, spec, dict(os.environ), now)
        starts.append((plan.window.start - now) / timedelta(minutes=1))
    # Alone it would start at once; the other one has the slot from 00:40 to 01:40.
    assert starts == [40, 100]
    ctx.close()


def test_a_queue_with_a_job_of_unknown_power_has_no_sum_of_grams(desk: Desk) -> None:
    job_id = desk.submit(deadline="9h")
    plan = desk.job(job_id).plan
    assert plan is not None
    unknown = replace(plan, window=replace(plan.window, grams=None))
    members = [
        replace(member, plan=unknown) for member in planner._members(desk.ctx, desk.clock.now)
    ]
    whole = queue.plan(desk.ctx, members, desk.clock.now, hysteresis_percent=0).whole
    assert (whole.cost_g, whole.lower_bound_g, whole.gap_percent) == (None, None, None)
    assert whole.jobs == 1
