"""No start before its bounds, whatever the passes: release, next segment, allowed regions."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.base import Capabilities
from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from providers.base import Launch

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SETTINGS = """
providers: [fake]
home: local
regions:
  local: {zone: DE, slots: 40}
  near: {zone: FR, slots: 40, executor: local}
  far: {zone: SE-SE3, slots: 40, executor: far}
  cold: {zone: NO-NO1, slots: 40, executor: far}
"""
REGIONS = ("local", "near", "far", "cold")
# An hour high and an hour low in turn, so that pausing pays.
HIGH_LOW = [500.0, 100.0] * 24


@dataclass(frozen=True)
class Start:
    """What an executor was asked for: which job may begin, where, from when on."""

    job_id: str
    region: str
    begin: datetime
    again: bool


@dataclass
class Watched(FakeExecutor):
    """Notes every start, move and resume."""

    seen: list[Start] = field(default_factory=list)

    def start(self, launch: Launch, begin_s: float | None = None) -> None:
        begin = self.clock.now if begin_s is None else datetime.fromtimestamp(begin_s, UTC)
        self._note(launch, begin)
        super().start(launch, begin_s)

    def move(self, launch: Launch, begin_s: float) -> bool:
        self._note(launch, datetime.fromtimestamp(begin_s, UTC))
        return super().move(launch, begin_s)

    def resume(self, run_dir: Path, token: str) -> None:
        if str(run_dir) in self.standing:
            launch, _ = self.launches[str(run_dir)]
            self.seen.append(Start(launch.job_id, launch.region, self.clock.now, again=True))
        super().resume(run_dir, token)

    def _note(self, launch: Launch, begin: datetime) -> None:
        # A start that engines begin by themselves is as early as the later of both.
        begin = max(begin, self.clock.now)
        self.seen.append(Start(launch.job_id, launch.region, begin, again=launch.attempt > 1))


seconds = st.integers(0, 900)
jobs = st.fixed_dictionaries(
    {
        "earliest": seconds,
        "duration": st.integers(30, 7200),
        "slack": st.one_of(st.integers(0, 120), st.integers(0, 8 * 3600)),
        "pause": st.sampled_from([None, None, "checkpoint", "stop"]),
        "region": st.one_of(
            st.just(()), st.lists(st.sampled_from(REGIONS), min_size=1, max_size=3, unique=True)
        ),
    }
)
looks = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 90), st.integers(0, 3600)),  # s since the last pass
        st.integers(1, 600),  # s until the next one, as far as is known
        st.booleans(),  # whether the forecast has changed
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=20)
@given(asked=st.lists(jobs, min_size=1, max_size=5), passes=looks)
def test_no_start_breaks_a_bound_and_no_deadline_is_passed_over(
    asked: list[dict[str, object]], passes: list[tuple[int, int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        _follow(Path(name), asked, passes)


def _follow(
    folder: Path, asked: list[dict[str, object]], passes: list[tuple[int, int, bool]]
) -> None:
    (folder / "config.yaml").write_text(SETTINGS)
    clock = FixedClock(NOW)
    engines = Capabilities(begin_time=True)
    local, far = Watched(clock, run_s=7200), Watched(clock, run_s=7200, capabilities=engines)
    source = FakeProvider(
        NOW, {"DE": HIGH_LOW, "FR": HIGH_LOW[::-1], "SE-SE3": HIGH_LOW, "NO-NO1": [50.0] * 48}
    )
    loaded = config.load(None, {"LOWTIDE_HOME": str(folder / "home")}, folder)
    ctx = Context.open(
        loaded, NOW, sources={"fake": source}, executors={"local": local, "far": far}
    )
    try:
        for given in asked:
            _submit(ctx, given, clock.now)
        for span_s, ahead_s, other in passes:
            clock.advance(seconds=span_s)
            if other:
                source.hourly = {zone: told[::-1] for zone, told in source.hourly.items()}
            _look(ctx, clock, (local, far), ahead_s)
    finally:
        ctx.close()


def _submit(ctx: Context, given: dict[str, object], now: datetime) -> None:
    earliest, duration, slack = (int(str(given[k])) for k in ("earliest", "duration", "slack"))
    fields: dict[str, object] = {
        "argv": ("true",),
        "duration": f"{duration}s",
        "deadline": (now + timedelta(seconds=earliest + duration + slack)).isoformat(),
        "power": "1kW",
        "region": tuple(given["region"]),  # type: ignore[arg-type]
    }
    if earliest:
        fields["earliest"] = (now + timedelta(seconds=earliest)).isoformat()
    if given["pause"] is not None:
        fields |= {"pausable": True, "pause_signal": given["pause"], "min_run": "1m"}
    request = Request(**fields)
    spec = submission.to_spec(request, ctx.config, now, "me", Path("/"), need_duration=True)
    engine.submit(ctx, request, spec, dict(os.environ), now)


def _look(ctx: Context, clock: FixedClock, engines: tuple[Watched, ...], ahead_s: int) -> None:
    before = {job.id: job for job in ctx.store.jobs.find()}
    for one in engines:
        one.seen.clear()
    now, next_pass = clock.now, clock.now + timedelta(seconds=ahead_s)
    engine.tick(ctx, now, next_pass)
    for start in (start for one in engines for start in one.seen):
        spec, plan = before[start.job_id].spec, ctx.store.jobs.get(start.job_id).plan
        assert plan is not None
        assert start.begin >= spec.release
        assert start.region in (spec.regions or REGIONS)
        if start.again:
            assert start.begin >= plan.start
    for job in ctx.store.jobs.find({JobState.PLANNED}):
        latest = job.spec.latest_start
        assert latest is not None
        assert latest >= next_pass or job.spec.release > now, "a deadline is passed over"
