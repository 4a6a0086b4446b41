"""What the queue says of itself is true: its bound, and that its plans are the best there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from scheduler.models import HOLDING, Job, JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURS = 30


class Small:
    """One region of one or two slots, whose jobs take whole hours at 1 kW."""

    def __init__(self, home: Path, seed: int) -> None:
        self.random = Random(seed)
        self.slots = self.random.randint(1, 2)
        self.g = [self.random.choice([100.0, 200.0, 300.0, 400.0]) for _ in range(HOURS)]
        (home / "config.yaml").write_text(
            f"providers: [fake]\nregions: {{local: {{zone: DE, slots: {self.slots}}}}}\n"
        )
        self.config = config.load(None, {"LOWTIDE_HOME": str(home / "home")}, home)
        self.clock = FixedClock(NOW)
        self.executor = FakeExecutor(clock=self.clock, run_s=3600, capacity=self.slots)
        self.ctx = Context.open(
            self.config,
            NOW,
            sources={"fake": FakeProvider(NOW, {"DE": self.g + [400.0] * 200})},
            executors={"local": self.executor},
        )

    def submit(self) -> None:
        waiting = [j.id for j in self.ctx.store.jobs.find() if not j.state.ended]
        after = [self.random.choice(waiting)] if waiting and self.random.random() < 0.5 else []
        request = Request(
            argv=("true",),
            duration=f"{self.random.randint(1, 3)}h",
            deadline=f"{self.random.randint(8, 16)}h",
            power="1kW",
            slots=self.random.randint(1, self.slots),
        )
        now = self.clock.now
        try:
            spec = submission.to_spec(
                request, self.config, now, "me", Path("/"), need_duration=True
            )
            spec = spec.model_copy(update={"after": tuple(after)})
            engine.submit(self.ctx, request, spec, dict(os.environ), now)
        except UsageError:
            pass  # there is no room for it

    def tick(self, **span: float) -> None:
        self.clock.advance(**span)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def optimum(self, jobs: Sequence[Job]) -> float:
        """The least grams of punctual starts at whole hours beside what runs; else infinite."""
        room = [self.slots] * HOURS
        for job in self.ctx.store.jobs.find(HOLDING):
            assert job.started_at is not None
            assert job.spec.duration_s is not None
            end = (job.started_at.timestamp() + job.spec.duration_s - NOW.timestamp()) / 3600
            for hour in range(min(HOURS, -int(-end // 1))):
                room[hour] -= job.spec.slots
        best = [float("inf")]
        order = sorted(jobs, key=lambda job: job.spec.submitted_at)
        self._place(order, room, {}, 0.0, best)
        return best[0]

    def _place(
        self,
        rest: Sequence[Job],
        room: list[int],
        ends: dict[str, int],
        cost: float,
        best: list[float],
    ) -> None:
        if not rest:
            best[0] = min(best[0], cost)
            return
        job, *others = rest
        assert job.spec.duration_s is not None
        assert job.spec.deadline is not None
        length = round(job.spec.duration_s / 3600)
        first = max(
            [-int(-(self.clock.now - NOW) / HOUR // 1), *(ends.get(j, 0) for j in job.spec.after)]
        )
        last = int((job.spec.deadline - NOW) / HOUR) - length
        for start in range(first, min(last, HOURS - length) + 1):
            hours = range(start, start + length)
            here = cost + sum(self.g[h] for h in hours)
            if here < best[0] and all(room[h] >= job.spec.slots for h in hours):
                for h in hours:
                    room[h] -= job.spec.slots
                self._place(others, room, ends | {job.id: start + length}, here, best)
                for h in hours:
                    room[h] += job.spec.slots


@pytest.mark.parametrize("seed", range(int(os.environ.get("LOWTIDE_QUEUES", "12"))))
def test_the_bound_of_the_queue_is_below_its_optimum(seed: int, tmp_path: Path) -> None:
    small = Small(tmp_path, seed)
    for _ in range(small.random.randint(2, 5)):
        small.submit()
    small.tick(seconds=1)
    for _ in range(small.random.randint(0, 3)):
        waiting = small.ctx.store.jobs.find([JobState.PLANNED])
        if waiting and small.random.random() < 0.5:
            engine.cancel(small.ctx, small.random.choice(waiting).id, small.clock.now)
        small.tick(hours=small.random.choice([0, 0.5, 1, 2]), seconds=1)
        if small.random.random() < 0.3:
            small.submit()
        jobs = small.ctx.store.jobs.find([JobState.PLANNED, JobState.QUEUED])
        whole = small.ctx.store.queue_plans.latest()
        if whole is None or whole.made_at != small.clock.now or whole.lower_bound_g is None:
            continue
        planned = small.ctx.store.jobs.find([JobState.PLANNED])
        if whole.jobs != len(jobs) or len(planned) != len(jobs):
            continue
        assert whole.lower_bound_g <= small.optimum(planned) * (1 + 1e-6) + 1e-6
        if not whole.together:
            assert whole.cost_g == pytest.approx(whole.lower_bound_g, rel=1e-6)
    small.ctx.close()
