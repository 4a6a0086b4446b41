"""Whose turn it is where slots are short: the most urgent first, none that another one needs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from scheduler.engine import dependencies, promises, rest
from scheduler.engine.context import alone
from scheduler.models import HOLDING, JobState
from scheduler.store import Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Job

# After so many that got no slots in a region, the less urgent ones there wait for the next pass.
REFUSALS = 100


@dataclass
class Round:
    """One look at the jobs that want slots; those that start in it are ``noted``."""

    ctx: Context
    now: datetime
    paused: list[Job] = field(default_factory=list)
    _holding: list[Job] | None = None
    _refused: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, ctx: Context, now: datetime) -> Round:
        """The paused jobs, as what is left of them, are among those that want slots."""
        left = []
        for job in ctx.store.waiting.paused():
            with alone(ctx, job.id, now):
                left.append(rest.as_left(ctx, job, now))
        return cls(ctx, now, [job for job in left if not job.cancel_requested])

    def due(self, start: datetime | None, latest: datetime) -> Iterator[tuple[Job, bool]]:
        """Jobs whose start has come or whose latest start is before then, most urgent first.

        Beside each: whether it waits for no other. ``start`` None: only the latest start counts.
        """
        paused = {job.id: job for job in self.paused if _is_due(job, start, latest)}
        turns = [*self.ctx.store.waiting.due(start, latest), *map(turn_of, paused.values())]
        for turn in sorted(turns, key=lambda turn: turn.urgency):
            if self._refused.get(turn.region, 0) >= REFUSALS or not self._is_here(turn):
                continue
            found = None
            with alone(self.ctx, turn.job_id, self.now):
                found = self._wants(turn, paused.get(turn.job_id))
            if found is not None:
                yield found

    def _wants(self, turn: Turn, job: Job | None) -> tuple[Job, bool] | None:
        """A job that is due and whether it waits for no other; None where it was moved since."""
        if job is None:
            job = rest.as_left(self.ctx, self.ctx.store.jobs.get(turn.job_id), self.now)
            if job.state is not JobState.PLANNED or job.cancel_requested:
                return None
        return job, not (turn.waits and dependencies.missing(self.ctx, job.spec))

    def note(self, job: Job, *, started: bool) -> None:
        """Whether a job got its slots."""
        assert job.plan is not None
        region = job.plan.window.region
        if not started:
            self._refused[region] = self._refused.get(region, 0) + 1
            return
        self.paused = [other for other in self.paused if other.id != job.id]
        if self._holding is not None:
            self._holding.append(self.ctx.store.jobs.get(job.id))

    def room_is_promised(self, job: Job) -> bool:
        """Whether starting ``job`` would push a more urgent waiting job past its latest start."""
        assert job.plan is not None
        ctx, now, region = self.ctx, self.now, job.plan.window.region
        end = now + timedelta(seconds=job.spec.duration_s or 0.0)
        place, capacity = promises.host(ctx, job.spec, region), ctx.capacity(region, now)
        wanted, first = job.spec.slots, end.timestamp()
        with closing(ctx.store.waiting.rivals(region, turn_of(job).urgency, first)) as turns:
            for rival in self._there(turns, job, place):
                wanted += rival.slots
                first = min(first, rival.urgency[1])
                if wanted > capacity:
                    return True
        if wanted == job.spec.slots:
            return False
        running = [
            other.spec.slots
            for other in self._held()
            if other.holds
            and other.region == region
            and promises.host(ctx, other.spec, region) == place
            and expected_end(other, now).timestamp() > first
        ]
        return sum(running) + wanted > capacity

    def _there(self, planned: Iterable[Turn], job: Job, place: str) -> Iterator[Turn]:
        """More urgent jobs on the same host that wait for no other, planned and paused ones."""
        ctx, mine = self.ctx, turn_of(job)
        end_s = self.now.timestamp() + (job.spec.duration_s or 0.0)
        for turn in planned:
            if self._host(turn) != place:
                continue
            waits = turn.waits
            if waits:
                with alone(ctx, turn.job_id, self.now):
                    spec = ctx.store.jobs.get(turn.job_id).spec
                    waits = bool(dependencies.missing(ctx, spec))
            if not waits:
                yield turn
        for other in self.paused:
            turn = turn_of(other)
            near = turn.latest_s is not None and turn.latest_s < end_s
            there = turn.region == mine.region and turn.urgency < mine.urgency and near
            if there and promises.host(ctx, other.spec, turn.region) == place:
                yield turn

    def _host(self, turn: Turn) -> str:
        """Where it is to run."""
        origin = turn.host or self.ctx.here.origin.host
        return self.ctx.regions[turn.region].host or origin

    def _is_here(self, turn: Turn) -> bool:
        """Or on a host whose own lowtide starts it, which may be away; its jobs are not read.

        One whose region left the config is told so.
        """
        ctx = self.ctx
        return turn.region not in ctx.regions or self._host(turn) == ctx.here.origin.host

    def _held(self) -> list[Job]:
        if self._holding is None:
            self._holding = self.ctx.store.jobs.find(HOLDING)
        return self._holding


def turn_of(job: Job) -> Turn:
    """A planned or paused job among those that want slots."""
    assert job.plan is not None
    spec = job.spec
    latest = spec.latest_start
    urgency = (
        -spec.priority,
        (latest or spec.release).timestamp(),
        spec.submitted_at.timestamp(),
        job.id,
    )
    return Turn(
        job.id,
        urgency,
        None if latest is None else latest.timestamp(),
        job.plan.window.region,
        "" if spec.origin is None else spec.origin.host,
        spec.slots,
        bool(spec.after),
    )


def _is_due(job: Job, start: datetime | None, latest: datetime) -> bool:
    if job.plan is None:
        return False
    bound = job.spec.latest_start
    begun = start is not None and job.plan.start <= start
    return begun or (bound is not None and bound < latest)


def expected_end(job: Job, now: datetime) -> datetime:
    """When a job that holds slots is expected to give them back; ``now`` where it is late."""
    window = None if job.plan is None else job.plan.window
    if window is not None and window.segments:
        end = None if job.spec.stops else rest.segment_end(job)
        return max(now, end or window.segments[-1][1])
    begun = job.started_at or now
    return max(now, begun + timedelta(seconds=job.spec.duration_s or 0.0))
