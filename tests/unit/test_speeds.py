"""How long the same work takes on each instance type, as a group's runs tell it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from providers.base import Triple
from scheduler import config, engine
from scheduler.engine import Context, speeds, submission
from scheduler.engine.request import Request
from scheduler.engine.speeds import Work
from scheduler.instances import Runtime
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
OLD, NEW = "aws/c5.xlarge", "aws/c5a.xlarge"
CONFIG = f"""
providers: [fake]
regions:
  local: {{zone: DE}}
  old: {{zone: DE, executor: local, slots: 2, hardware: {{instance: {OLD}}}}}
  new:
    zone: DE
    executor: local
    slots: 2
    hardware: {{boavizta: {{url: "http://127.0.0.1:9", provider: aws, instance: c5a.xlarge}}}}
"""


class Past:
    """A home in which runs of the group ``g`` have been, by region and seconds."""

    def __init__(self, home: Path) -> None:
        (home / "config.yaml").write_text(CONFIG)
        loaded = config.load(None, {"LOWTIDE_HOME": str(home / "home")}, home)
        self.clock = FixedClock(NOW)
        self.executor = FakeExecutor(clock=self.clock)
        provider = FakeProvider(NOW - timedelta(days=1), {"DE": [100.0] * 24 * 60})
        self.ctx = Context.open(
            loaded, NOW, sources={"fake": provider}, executors={"local": self.executor}
        )

    def ran(self, region: str, *seconds: float) -> None:
        for each in seconds:
            self.executor.run_s = each
            asked = Request(argv=("true",), duration="1h", region=(region,), group="g", home=region)
            now, settings = self.clock.now, self.ctx.config
            spec = submission.to_spec(asked, settings, now, "me", Path("/"), need_duration=True)
            job_id = engine.submit(self.ctx, asked, spec, dict(os.environ), now)[0]
            engine.tick(self.ctx, now, now + timedelta(seconds=10))
            now = self.clock.advance(seconds=each)
            engine.tick(self.ctx, now, now + timedelta(seconds=10))
            job = self.ctx.store.jobs.get(job_id)
            assert (job.state, job.ran_s) == (JobState.SUCCEEDED, each)

    def runtimes(
        self, work: Work, types: tuple[str, ...] = (OLD, NEW)
    ) -> tuple[dict[str, Runtime], dict[str, str]]:
        return speeds.runtimes(self.ctx, types, work, "me")


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    made = Past(tmp_path)
    yield made
    made.ctx.close()


def test_runs_where_a_region_stands_on_a_type_tell_its_runtime(past: Past) -> None:
    past.ran("old", 3600, 4000, 5000)
    past.ran("new", 1800, 2000)
    past.ran("local", 60)
    found, unknown = past.runtimes(Work(None, group="g"))
    assert unknown == {}
    assert found[OLD].seconds == Triple(3600, 4000, 5000)
    assert found[NEW].seconds == Triple(1800, 1900, 2000)
    assert found[NEW].source.startswith("median of the runs of group g there")


def test_of_work_of_another_length_the_ratio_of_the_runs_counts(past: Past) -> None:
    past.ran("old", 4000)
    past.ran("new", 1000, 2000, 3000)
    found, _ = past.runtimes(Work(8000.0, group="g"))
    assert found[OLD] == Runtime(Triple.exact(8000), "--duration")
    assert found[NEW].seconds == Triple(2000, 4000, 6000)


def test_what_the_user_says_goes_before_what_was_learned(past: Past) -> None:
    past.ran("old", 4000)
    past.ran("new", 2000)
    found, _ = past.runtimes(Work(None, {NEW: 4.0}, group="g"))
    assert found[NEW].seconds == Triple.exact(1000)
    assert "(--speed)" in found[NEW].source


def test_a_type_without_a_run_of_the_group_is_unknown_or_said_to_be_equal(past: Past) -> None:
    past.ran("old", 4000)
    _, unknown = past.runtimes(Work(None, group="g"))
    assert "no run of group g was there" in unknown[NEW]
    found, _ = past.runtimes(Work(None, group="g", equal=True))
    assert found[NEW].seconds == Triple.exact(4000)
    assert found[NEW].source.endswith("(--speed-equal)")


@pytest.mark.parametrize("group", [None, "of nobody"])
def test_without_duration_and_history_the_work_takes_an_hour(past: Past, group: str | None) -> None:
    found, _ = past.runtimes(Work(None, group=group))
    assert found[OLD].seconds == Triple.exact(3600)
    assert "where no --duration is given" in found[OLD].source


def test_types_are_those_that_regions_stand_on(past: Past) -> None:
    named = {name: speeds.instance_of(past.ctx.config, name) for name in ("local", "old", "new")}
    assert named == {"local": None, "old": OLD, "new": NEW}
    assert speeds.instance_of(past.ctx.config, "gone") is None
