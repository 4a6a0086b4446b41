"""Jobs that compete for slots: who starts, who is refused, and what is told of the whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler import config, engine
from scheduler.engine import Context, planner, queue, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from providers.series import Series
    from scheduler.models import Plan
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


class Unsure(FakeProvider):
    """Its band is 40 g/kWh wider above with each hour."""

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        told = super().forecast(zone, start, end, now)
        ahead_h = (told.starts - self.start.timestamp()) / 3600
        return replace(told, high=told.g_per_kwh + 40 * ahead_h)


@pytest.fixture
def one_slot(tmp_path: Path, now: datetime) -> Iterator[Callable[..., Plan]]:
    """Submits to one slot, on a forecast that falls by 10 g/kWh with each hour."""
    (tmp_path / "config.yaml").write_text(
        "providers: [fake]\nregions: {local: {zone: DE, slots: 1}}\n"
    )
    loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    made: list[Context] = []

    def submit(source: type[FakeProvider] = FakeProvider, **given: Any) -> Plan:
        if not made:
            falling = source(now, {"DE": [500.0 - 10 * h for h in range(48)]})
            executor = FakeExecutor(clock=FixedClock(now), run_s=3600)
            made.append(
                Context.open(loaded, now, sources={"fake": falling}, executors={"local": executor})
            )
        asked = {"duration": "1h", "deadline": "8h", "power": "1kW"} | given
        request = Request(argv=("true",), **asked)
        spec = submission.to_spec(request, loaded, now, "me", Path("/"), need_duration=True)
        return engine.submit(made[0], request, spec, dict(os.environ), now)[1]

    yield submit
    for ctx in made:
        ctx.close()


@pytest.mark.parametrize(
    ("source", "given"),
    [(FakeProvider, {"min_saving": "50%"}), (Unsure, {})],
    ids=["gain", "error"],
)
def test_a_job_that_no_delay_is_worth_it_for_waits_for_slots_only(
    source: type[FakeProvider], given: dict[str, str], one_slot: Callable[..., Plan]
) -> None:
    first = one_slot(source, earliest="30m", start_by="40m")
    # Alone it would start at once.
    assert one_slot(source, **given).window.start == first.window.end


def test_a_gain_below_the_forecast_s_own_error_is_not_waited_for_and_the_plan_says_so(
    one_slot: Callable[..., Plan], now: datetime
) -> None:
    plan = one_slot(Unsure)
    assert plan.window.start == now
    assert "saves less than its forecast's own error" in plan.reason


def test_a_source_without_bands_is_not_held_to_its_error(
    one_slot: Callable[..., Plan], now: datetime
) -> None:
    plan = one_slot()
    assert plan.window.start == now + timedelta(hours=7)
    assert "the lowest forecast carbon" in plan.reason


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
