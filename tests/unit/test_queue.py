"""The whole queue at once: who gets the slots, who is refused, and what keeps its word."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler import config, engine
from scheduler.engine import Context, planner, queue, submission
from scheduler.engine.request import Request
from scheduler.engine.scene import Member
from scheduler.errors import UsageError
from scheduler.models import Job, JobState, Plan
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
# One clear low from 11:00 to 12:00, the next best hours after it.
DE = [500.0, 450, 400, 100, 200, 300, 350, *[500.0] * 40]


class Bench:
    """One region with as many slots as asked for; jobs take an hour and 1 kW."""

    def __init__(self, home: Path, database: dict[str, str], slots: int) -> None:
        (home / "config.yaml").write_text(
            f"providers: [fake]\nregions: {{local: {{zone: DE, slots: {slots}}}}}\n"
        )
        self.config = config.load(None, {"LOWTIDE_HOME": str(home / "home")} | database, home)
        self.clock = FixedClock(NOW)
        self.executor = FakeExecutor(clock=self.clock, run_s=3600, capacity=slots)
        self.provider = FakeProvider(NOW, {"DE": list(DE)})
        self.ctx = Context.open(
            self.config, NOW, sources={"fake": self.provider}, executors={"local": self.executor}
        )

    def submit(self, *after: str, **fields: Any) -> tuple[str, Plan]:
        given = {"duration": "1h", "deadline": "12h", "power": "1kW"} | fields
        request = Request(argv=("true",), **given)
        now = self.clock.now
        spec = submission.to_spec(request, self.config, now, "me", Path("/"), need_duration=True)
        spec = spec.model_copy(update={"after": after})
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)

    def refusal(self, **fields: Any) -> str:
        """The one line of a refused job, of which nothing is left."""
        before = [job.id for job in self.jobs()]
        with pytest.raises(UsageError) as caught:
            self.submit(**fields)
        assert [job.id for job in self.jobs()] == before
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def tick(self, **span: float) -> None:
        self.clock.advance(**span)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def jobs(self) -> list[Job]:
        return self.ctx.store.jobs.find()

    def hour(self, job_id: str) -> float:
        plan = self.ctx.store.jobs.get(job_id).plan
        assert plan is not None
        return (plan.window.start - NOW) / HOUR

    def run_dry(self) -> None:
        """Ticks until all have ended, and never more slots at once than there are."""
        for _ in range(100):
            if all(job.state.ended for job in self.jobs()):
                return
            self.tick(minutes=15)
            active = [job.spec.slots for job in self.jobs() if job.state.active]
            assert sum(active) <= self.executor.capacity
        raise AssertionError([(job.id, job.state) for job in self.jobs()])


@pytest.fixture
def make(tmp_path: Path, database: dict[str, str]) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def bench(slots: int = 1) -> Bench:
        made.append(Bench(tmp_path, database, slots))
        return made[-1]

    yield bench
    for each in made:
        each.ctx.close()


def test_the_next_job_gets_the_best_hour_that_is_left(make: Callable[..., Bench]) -> None:
    bench = make()
    made = [bench.submit() for _ in range(4)]
    assert [bench.hour(job_id) for job_id, _ in made] == [3, 4, 5, 6]
    assert "beside the other jobs of the queue" in made[-1][1].reason
    assert "beside" not in made[0][1].reason
    grams = [plan.window.grams.value for _, plan in made if plan.window.grams is not None]
    assert grams == pytest.approx([100, 200, 300, 350])
    bench.run_dry()
    assert {job.state for job in bench.jobs()} == {JobState.SUCCEEDED}


def test_where_there_is_room_nobody_is_in_the_way(make: Callable[..., Bench]) -> None:
    bench = make(slots=3)
    made = [bench.submit(slots=slots)[0] for slots in (1, 2)]
    assert [bench.hour(job_id) for job_id in made] == [3, 3]
    third, _ = bench.submit(slots=2)
    assert bench.hour(third) == 4


def test_a_deadline_that_cannot_be_met_beside_the_queue_is_refused(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    bench.submit(duration="4h", deadline="4h30m")
    said = bench.refusal(duration="1h", deadline="4h30m")
    assert "cannot be met beside what runs and 1 queued job(s): its 1 slot(s) are free" in said
    assert "move the deadline there, ask for fewer slots, or allow another --region" in said
    earliest = re.search(r"ends at (\S+) at the earliest", said)
    assert earliest is not None
    # Someone who does as told is taken: the daemon's looks need a moment between two jobs.
    moment = datetime.fromisoformat(earliest[1]) + timedelta(minutes=5)
    _, plan = bench.submit(duration="1h", deadline=moment.isoformat())
    assert plan.window.end is not None
    assert plan.window.end <= moment


def test_short_jobs_are_not_refused_for_the_planners_lattice(make: Callable[..., Bench]) -> None:
    bench = make()
    made = [bench.submit(duration="40s", deadline="10m") for _ in range(4)]
    starts = sorted((plan.window.start - NOW).total_seconds() for _, plan in made)
    assert starts == pytest.approx([0, 40, 80, 120], abs=5), "one after the other"


@pytest.mark.parametrize("turn", [1, -1])
def test_whether_a_job_is_refused_does_not_depend_on_who_came_first(
    make: Callable[..., Bench], turn: int
) -> None:
    bench = make(slots=2)
    # The cheapest hours of both lie so that each, put there first, leaves the other no room.
    bench.provider.hourly = {"DE": [500.0, 500, 100, 100, 100, *[500.0] * 40]}
    long: dict[str, Any] = {"duration": "4h", "deadline": "7h20m"}
    wide: dict[str, Any] = {"duration": "3h", "deadline": "5h", "slots": 2}
    for asked in (long, wide)[::turn]:
        bench.submit(**asked)
    bench.tick(seconds=1)
    plans = [job.plan for job in bench.jobs() if job.plan is not None]
    ends = sorted((plan.window.end - NOW) / HOUR for plan in plans if plan.window.end)
    assert ends[0] <= 5
    assert ends[1] <= 7 + 1 / 3


def test_a_refusal_says_where_the_search_for_room_has_ended(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make()
    for _ in range(3):
        bench.submit(duration="2h", deadline="8h")
    asked: dict[str, Any] = {"duration": "2h", "deadline": "6h"}
    assert "not every order" not in bench.refusal(**asked | {"duration": "5h"})
    defaults = queue.fleet.plan.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "effort", 1)
    assert "not every order of the queue was tried" in bench.refusal(**asked | {"duration": "5h"})


def test_others_make_room_where_that_keeps_every_deadline(make: Callable[..., Bench]) -> None:
    bench = make()
    patient, _ = bench.submit(duration="30m", deadline="12h")
    assert bench.hour(patient) == 3
    hurried, plan = bench.submit(earliest="3h", deadline="4h5m")
    assert plan.window.start == NOW + 3 * HOUR
    bench.run_dry()
    for job_id in (patient, hurried):
        job = bench.ctx.store.jobs.get(job_id)
        assert job.ended_at is not None
        assert job.spec.deadline is not None
        assert job.ended_at <= job.spec.deadline


def test_a_queue_that_was_admitted_keeps_every_deadline(make: Callable[..., Bench]) -> None:
    bench = make(slots=2)
    refused = 0
    for n in range(14):
        asked: dict[str, Any] = {
            "duration": f"{30 + n * 37 % 90}m", "deadline": f"{3 + n * 5 % 9}h",
            "slots": 1 + n % 2,
        }  # fmt: skip
        try:
            bench.submit(**asked)
        except UsageError:
            refused += 1
    assert refused, "more is asked for than there is"
    assert len(bench.jobs()) > 6
    for job in bench.jobs():
        assert job.plan is not None
        assert job.plan.window.end is not None
        assert job.spec.deadline is not None
        assert job.plan.window.end <= job.spec.deadline
    # The plans as a whole, once the queue has been looked at.
    bench.tick(seconds=1)
    spans = [
        (j.plan.window.start, j.plan.window.end, j.spec.slots)
        for j in bench.jobs()
        if j.plan is not None and j.plan.window.end is not None
    ]
    for moment, _, _ in spans:
        assert sum(slots for a, b, slots in spans if a <= moment < b) <= 2


def test_who_has_started_keeps_its_slots(make: Callable[..., Bench]) -> None:
    bench = make()
    first, _ = bench.submit(duration="2h", min_saving="100%")
    bench.tick(seconds=1)
    bench.tick(seconds=1)
    assert bench.ctx.store.jobs.get(first).state is JobState.RUNNING
    (hold,) = queue.held(bench.ctx, bench.clock.now)
    assert (hold.region, hold.slots) == ("local", 1)
    assert hold.end_s == pytest.approx((NOW + 2 * HOUR).timestamp(), abs=60)
    said = bench.refusal(duration="1h", deadline="2h30m")
    assert "beside what runs and 0 queued job(s)" in said
    _, plan = bench.submit(duration="1h", deadline="3h30m")
    assert plan.window.start >= NOW + 2 * HOUR


def test_the_higher_priority_has_the_better_hour_when_all_is_planned_anew(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    low, _ = bench.submit()
    high, _ = bench.submit(priority=5)
    assert (bench.hour(low), bench.hour(high)) == (3, 4), "a plan that stands is kept"
    # Another forecast: the low hour is two hours later, and both must move.
    bench.provider.hourly = {"DE": [500.0] * 5 + [100.0, 200.0] + [500.0] * 40}
    bench.tick(minutes=30)
    bench.tick(minutes=30)
    assert (bench.hour(low), bench.hour(high)) == (6, 5)
    bench.run_dry()


def test_of_two_that_are_due_the_higher_priority_starts_first(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    bench.submit(min_saving="100%")
    bench.tick(seconds=1)
    low, _ = bench.submit(deadline="11h")
    high, _ = bench.submit(priority=1, deadline="11h")
    # Nobody looks for so long that both are past their latest safe start.
    bench.tick(hours=11)
    bench.tick(seconds=1)
    assert bench.ctx.store.jobs.get(high).state.active
    assert not bench.ctx.store.jobs.get(low).state.active


def test_who_waits_for_another_is_planned_behind_it(make: Callable[..., Bench]) -> None:
    bench = make()
    first, _ = bench.submit()
    second, _ = bench.submit(first)
    assert bench.hour(first) == 3
    assert bench.hour(second) == 4
    third, _ = bench.submit()
    assert bench.hour(third) == 5
    bench.run_dry()
    ended = [bench.ctx.store.jobs.get(job_id).ended_at for job_id in (first, second)]
    assert None not in ended
    assert ended == sorted(ended, key=lambda at: at or NOW)


def test_jobs_that_wait_for_others_share_the_low_of_a_new_forecast(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    asked = {"earliest": "2h", "deadline": "40h"}
    bench.provider.hourly = {"DE": [28.0] * 60}
    bench.submit(duration="4h", **asked)
    first, _ = bench.submit(duration="1h", **asked)
    second, _ = bench.submit(first, duration="6h", **asked)
    bench.provider.hourly = {"DE": [28.0] * 12 + [9.0] * 12 + [28.0] * 36}
    bench.tick(minutes=30)
    bench.tick(minutes=30)
    whole = bench.ctx.store.queue_plans.latest()
    assert whole is not None
    assert whole.cost_g == pytest.approx(11 * 9.0)
    assert whole.lower_bound_g == pytest.approx(11 * 9.0)
    assert bench.hour(first) + 1 <= bench.hour(second)


def test_a_pausable_job_gives_way_between_its_segments(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.submit(duration="1h", earliest="4h", deadline="5h10m")
    _, plan = bench.submit(
        duration="2h", pausable=True, resume_overhead="0s", min_run="0s", deadline="7h"
    )
    spans = [((a - NOW) / HOUR, (b - NOW) / HOUR) for a, b in plan.window.segments]
    assert spans == [(3, 4), (5, 6)]


def test_nothing_is_planned_together_without_need(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.submit(earliest="1h", deadline="2h")
    members = planner._members(bench.ctx, NOW)
    assert len(members) == 1
    joint = queue.plan(bench.ctx, members, NOW, hysteresis_percent=0)
    assert joint.plans == {}
    assert (joint.whole.together, joint.whole.gap_percent) == (False, 0)


def test_the_joint_plan_tells_its_cost_and_the_bound(make: Callable[..., Bench]) -> None:
    bench = make()
    ids = [bench.submit()[0] for _ in range(3)]
    members = planner._members(bench.ctx, NOW)
    # As if each had been planned for itself: all in the best hour.
    best = members[0].plan
    alike = [Member(m.job_id, m.case, best, fresh=True) for m in members]
    joint = queue.plan(bench.ctx, alike, NOW, hysteresis_percent=0)
    assert joint.whole.late == 0
    assert joint.whole.lower_bound_g <= joint.whole.cost_g * (1 + 1e-9)
    assert joint.whole.cost_g == pytest.approx(100 + 200 + 300)
    assert joint.whole.lower_bound_g == pytest.approx(600, rel=0.02)
    assert set(joint.plans) < set(ids), "one keeps its place"
