"""The use cases, on a fixed clock with fakes at the border."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.errors import NoData, Unavailable
from scheduler import config, engine
from scheduler.engine import Context, learning, submission
from scheduler.engine.request import Request
from scheduler.errors import StoreError, UsageError
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scheduler.models import Job, Plan

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
# A day in DE: high now, lowest from 11:00 to 13:00. FR is low and flat.
DE = [500, 450, 400, 200, 100, 300, 500, 500, 500, 500, 500, 500]
SETTINGS = """
providers: [fake]
regions:
  local: {zone: DE}
  lab: {zone: FR, executor: fake, slots: 2, pue: {value: 1.0, source: test}}
"""


class Bench:
    """A context with fakes, and shortcuts."""

    def __init__(
        self,
        tmp_path: Path,
        database: dict[str, str],
        settings: str = SETTINGS,
        **provider: Any,
    ) -> None:
        (tmp_path / "config.yaml").write_text(settings)
        environ = {"LOWTIDE_HOME": str(tmp_path / "home")} | database
        self.clock = FixedClock(NOW)
        self.provider = FakeProvider(
            NOW - 2 * HOUR, {"DE": [600, 550, *DE], "FR": [50.0] * 14}, **provider
        )
        self.executor = FakeExecutor(clock=self.clock, run_s=3600)
        self.config = config.load(None, environ, tmp_path)
        self.ctx = Context.open(
            self.config,
            NOW,
            sources={"fake": self.provider},
            executors={"local": self.executor, "fake": self.executor},
        )

    def submit(self, *argv: str, **fields: Any) -> tuple[str, Plan]:
        fields = {"duration": "1h", "deadline": "8h", "region": ("local",)} | fields
        request = Request(argv=argv or ("true",), **fields)
        now = self.clock.now
        spec = submission.to_spec(
            request,
            self.config,
            now,
            "me",
            Path("/"),
            need_duration=bool(request.duration or request.group),
            past=learning.past_runs(self.ctx, "me", request.group),
        )
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)

    def tick(self, **span: float) -> None:
        self.clock.advance(**span)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def job(self, job_id: str) -> Job:
        return self.ctx.store.jobs.get(job_id)


@pytest.fixture
def bench(tmp_path: Path, database: dict[str, str]) -> Iterator[Bench]:
    made = Bench(tmp_path, database)
    yield made
    made.ctx.close()


@pytest.fixture
def make_bench(tmp_path: Path, database: dict[str, str]) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(settings: str = SETTINGS, **provider: Any) -> Bench:
        made.append(Bench(tmp_path, database, settings, **provider))
        return made[-1]

    yield make
    for each in made:
        each.ctx.close()


def test_a_job_waits_for_its_window_runs_and_is_settled(bench: Bench) -> None:
    job_id, plan = bench.submit()
    assert plan.window.start == NOW + 4 * HOUR
    assert plan.run_now.g_per_kwh is not None
    assert plan.run_now.g_per_kwh.value == 500
    assert plan.saving_percent == pytest.approx(80)
    assert plan.latest_safe_start == NOW + 7 * HOUR
    bench.tick(hours=3)
    assert bench.job(job_id).state is JobState.PLANNED
    bench.tick(hours=1)
    assert bench.job(job_id).state is JobState.STARTING
    bench.tick(seconds=5)
    assert bench.job(job_id).state is JobState.RUNNING
    bench.tick(hours=1)
    job = bench.job(job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.ended_at == NOW + 5 * HOUR
    assert bench.ctx.store.settlements.latest(job_id) is not None
    assert not bench.ctx.runs.environment(job_id).exists()


def test_the_best_place_is_chosen_among_those_that_can_run(bench: Bench) -> None:
    _, plan = bench.submit(region=())
    assert plan.window.region == "lab"
    assert plan.window.start == NOW, "flat intensity: nothing is gained by waiting"
    assert plan.run_now.region == "local"


def test_a_trifle_is_not_worth_a_delay(bench: Bench) -> None:
    _, plan = bench.submit(min_saving="90%")
    assert plan.window.start == NOW
    assert "90 %" in plan.reason


def test_the_environment_is_kept_from_others_and_without_provider_keys(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATTTIME_PASSWORD", "s3cret")
    monkeypatch.setenv("MINE", "yes")
    job_id, _ = bench.submit(env=("EXTRA=1",))
    path = bench.ctx.runs.environment(job_id)
    kept = json.loads(path.read_text())
    assert kept["MINE"] == "yes"
    assert kept["EXTRA"] == "1"
    assert "WATTTIME_PASSWORD" not in kept
    assert path.stat().st_mode & 0o077 == 0
    spec = bench.job(job_id).spec
    assert "s3cret" not in spec.model_dump_json()
    if bench.config.database is None:
        assert b"s3cret" not in (bench.config.home / "lowtide.db").read_bytes()
    slim, _ = bench.submit(no_env=True)
    assert "MINE" not in json.loads(bench.ctx.runs.environment(slim).read_text())


def test_slots_are_never_exceeded_and_both_are_in_time(bench: Bench) -> None:
    bench.executor.capacity = 1
    late, _ = bench.submit(deadline="8h", start_by=None)
    urgent, plan = bench.submit(deadline="6h")
    assert plan.window.start != NOW + 4 * HOUR, "the slot is taken then"
    bench.tick(hours=4)
    states = [bench.job(late).state, bench.job(urgent).state]
    assert sorted(states) == [JobState.PLANNED, JobState.STARTING]
    bench.tick(hours=1, seconds=5)
    bench.tick(seconds=5)
    bench.tick(hours=1, seconds=5)
    for job_id in (late, urgent):
        job = bench.job(job_id)
        assert job.state is JobState.SUCCEEDED
        assert job.ended_at is not None
        assert job.spec.deadline is not None
        assert job.ended_at <= job.spec.deadline


def test_a_job_that_cannot_be_in_time_beside_the_queue_is_refused(bench: Bench) -> None:
    bench.executor.capacity = 1
    bench.submit(deadline="2h", duration="2h")
    with pytest.raises(UsageError, match=r"at 2026-03-02T11:00:00Z at the earliest; move the dead"):
        bench.submit(deadline="2h", duration="1h")
    assert len(bench.ctx.store.jobs.find()) == 1


def test_slots_are_kept_for_a_more_urgent_job_that_is_not_due_yet(bench: Bench) -> None:
    bench.executor.capacity = 1
    urgent, plan = bench.submit(deadline="5h", duration="1h")  # starts at 12:00 at the latest
    assert plan.window.start == NOW + 4 * HOUR
    long, _ = bench.submit(deadline="12h", duration="5h", start_by=None, min_saving="99%")
    bench.tick(seconds=5)
    assert bench.job(long).state is JobState.PLANNED
    first, beside = bench.job(urgent).plan, bench.job(long).plan
    assert first is not None
    assert beside is not None
    assert first.window.end is not None
    assert first.window.end <= beside.window.start, "planned together, after the urgent one"
    assert first.window.end <= NOW + 5 * HOUR
    bench.tick(hours=4)
    assert bench.job(urgent).state in {JobState.RUNNING, JobState.SUCCEEDED}


def test_after_sleep_a_missed_window_is_planned_anew(bench: Bench) -> None:
    job_id, _ = bench.submit(deadline="12h")
    bench.tick(hours=6)  # the machine slept through 12:00 to 13:00, and the hour after it
    job = bench.job(job_id)
    assert job.plan is not None
    assert job.plan.window.start == NOW + 6 * HOUR
    assert job.plan.window.g_per_kwh is not None
    assert job.plan.window.g_per_kwh.value == 500, "the plan says what is expected now"
    assert job.plan.run_now.start == NOW, "the baseline stays the release"
    assert "planned" in [e.kind for e in bench.ctx.store.jobs.events(job_id)][2:]


def test_past_the_latest_safe_start_a_job_starts_at_once(bench: Bench) -> None:
    job_id, _ = bench.submit()
    bench.tick(hours=7, minutes=30)
    assert bench.job(job_id).state.active


def test_a_passed_deadline_never_drops_a_job(bench: Bench) -> None:
    job_id, _ = bench.submit()
    bench.tick(hours=10)
    assert bench.job(job_id).state.active
    bench.tick(hours=1, seconds=5)
    assert bench.job(job_id).state is JobState.SUCCEEDED


def test_a_failed_job_is_retried_as_often_as_asked(bench: Bench) -> None:
    bench.executor.run_s = 60
    job_id, _ = bench.submit("false", retries=1, deadline="2h", min_saving="100%")
    for _ in range(6):
        bench.tick(minutes=5)
    job = bench.job(job_id)
    assert job.state is JobState.FAILED
    assert [a.outcome for a in bench.ctx.store.jobs.attempts(job_id)] == ["failed", "failed"]
    settled = bench.ctx.store.settlements.latest(job_id)
    assert settled is not None
    assert len(settled.attempts) == 2


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_stopped(bench: Bench) -> None:
    waiting, _ = bench.submit()
    assert engine.cancel(bench.ctx, waiting, NOW).state is JobState.CANCELLED
    running, _ = bench.submit(min_saving="100%")
    bench.tick(seconds=1)
    bench.tick(seconds=1)
    assert bench.job(running).state is JobState.RUNNING
    engine.cancel(bench.ctx, running, bench.clock.now)
    bench.tick(seconds=1)
    assert bench.job(running).state is JobState.CANCELLED
    with pytest.raises(UsageError, match="has ended"):
        engine.cancel(bench.ctx, running, bench.clock.now)


def test_a_claim_without_a_start_is_started_after_a_crash(bench: Bench) -> None:
    """As if the daemon died between its claim and the executor's start."""
    job_id, _ = bench.submit(min_saving="100%")
    bench.tick(seconds=1)
    bench.executor.launches.clear()
    bench.tick(seconds=20)
    assert list(bench.executor.launches), "handed over again"
    bench.tick(hours=1, seconds=5)
    assert bench.job(job_id).state is JobState.SUCCEEDED
    assert len(bench.ctx.store.jobs.attempts(job_id)) == 1


def test_with_sources_silent_the_last_known_forecast_is_used_while_young(bench: Bench) -> None:
    first, _ = bench.submit()
    bench.provider.fails = Unavailable("the source is down")
    bench.clock.advance(hours=1)
    _, plan = bench.submit(deadline="7h")
    assert plan.window.start == NOW + 4 * HOUR
    assert "last known" in plan.reason
    bench.tick(hours=3)
    assert bench.job(first).state.active, "a dead source holds nobody up"


@pytest.mark.parametrize(("policy", "hours"), [("run-now", 0), ("hold", 7)])
def test_with_nothing_known_the_outage_policy_decides(
    make_bench: Callable[..., Bench], policy: str, hours: int
) -> None:
    bench = make_bench(
        SETTINGS + f"outage: {{policy: {policy}}}\n", fails=Unavailable("the source is down")
    )
    job_id, plan = bench.submit()
    assert plan.window.start == NOW + hours * HOUR
    assert plan.window.grams is None
    assert "expected_g" in plan.nulls
    bench.tick(hours=hours, seconds=1)
    assert bench.job(job_id).state.active


def test_data_that_nobody_has_refuses_the_job(bench: Bench) -> None:
    bench.provider.fails = NoData("no such zone")
    with pytest.raises(NoData, match="no such zone"):
        bench.submit()
    assert bench.ctx.store.jobs.find() == []


def test_actuals_settle_finally_and_without_them_the_belief_does(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(actuals=True)
    job_id, _ = bench.submit()
    bench.tick(hours=4)
    bench.tick(hours=1, seconds=1)
    settled = bench.ctx.store.settlements.latest(job_id)
    assert settled is not None
    assert settled.status == "final"
    assert not settled.saving_estimated


def test_an_unset_zone_shifts_nothing_and_says_how_to_set_it(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench("providers: [fake]\n")
    _, plan = bench.submit(region=())
    assert plan.window.start == NOW
    assert plan.window.grams is None
    assert "zone: DE" in plan.reason
    assert "regions.local.zone" in plan.nulls["expected_g"]


def test_the_total_basis_needs_hardware_everywhere(make_bench: Callable[..., Bench]) -> None:
    hardware = "hardware: {embodied_kg: 1000, lifespan: 4y, slots: 4, source: test}"
    both = make_bench(f"providers: [fake]\nregions:\n  local: {{zone: DE, {hardware}}}\n")
    _, plan = both.submit()
    assert plan.basis == "total"
    _, mixed = both.submit(region=("local",), home="aws:eu-west-3")
    assert mixed.basis == "operational"


@pytest.mark.parametrize(
    ("lab", "basis"), [("", "operational"), ("hardware: {embodied_kg: 900, lifespan: 4y, slots: 4, "
    "source: test}", "total")], ids=["unknown somewhere", "known everywhere"],
)  # fmt: skip
def test_the_basis_is_the_same_whatever_regions_a_job_names(
    make_bench: Callable[..., Bench], lab: str, basis: str
) -> None:
    hardware = "hardware: {embodied_kg: 1000, lifespan: 4y, slots: 4, source: test}"
    bench = make_bench(
        f"providers: [fake]\nregions:\n  local: {{zone: DE, {hardware}}}\n"
        f"  lab: {{zone: FR, executor: fake, slots: 2, {lab}}}\n"
        "  elsewhere: {zone: SE-SE3}\n"
    )
    for regions in ((), ("local",), ("lab",), ("local", "lab")):
        _, plan = bench.submit(region=regions, power="100W")
        assert plan.basis == basis, regions
        assert plan.window.grams is not None
        assert {w.grams is None for w in plan.alternatives if not w.dispatchable} <= {
            basis == "total"
        }


def test_a_source_is_not_asked_again_while_its_answer_is_young(bench: Bench) -> None:
    bench.submit()
    asked = len(bench.provider.asked)
    bench.tick(seconds=30)
    assert [a for a in bench.provider.asked[asked:] if a[0] == "DE"] == []


def test_only_one_daemon_holds_a_home(bench: Bench) -> None:
    with (
        engine.sole_daemon(bench.config.home),
        pytest.raises(StoreError, match="another lowtide daemon") as caught,
        engine.sole_daemon(bench.config.home),
    ):
        pass
    assert caught.value.exit_code == 5


def test_run_without_duration_starts_at_once(bench: Bench) -> None:
    _, plan = bench.submit(duration=None, deadline=None)
    assert plan.window.start == NOW
    assert plan.window.end is None
    assert set(plan.nulls) >= {"end", "expected_g", "run_now_g"}


def test_a_job_whose_region_left_the_config_stops_nobody_else(
    tmp_path: Path, database: dict[str, str]
) -> None:
    before = Bench(tmp_path, database)
    gone, _ = before.submit(region=("lab",))
    before.tick(seconds=1)
    before.tick(seconds=1)
    assert before.job(gone).state is JobState.RUNNING
    before.ctx.close()
    after = Bench(tmp_path, database, "providers: [fake]\nregions: {local: {zone: DE}}\n")
    other, _ = after.submit(min_saving="100%")
    after.tick(seconds=5)
    assert after.job(other).state.active
    assert after.job(gone).state is JobState.RUNNING
    trouble = [e for e in after.ctx.store.jobs.events(gone) if e.kind == "trouble"]
    assert "lab" in trouble[0].detail
    after.ctx.close()


def _past(bench: Bench, *minutes: float, group: str = "nightly", command: str = "true") -> None:
    """Runs of a group that have ended, one after the other."""
    for each in minutes:
        bench.executor.run_s = each * 60
        bench.submit(command, group=group, min_saving="100%", deadline="40h")
        bench.tick(seconds=1)
        bench.tick(minutes=each, seconds=1)


def test_a_duration_is_learned_from_the_group(bench: Bench) -> None:
    _past(bench, 10, 12, 11)
    _past(bench, 55, group="weekly")
    _past(bench, 55, command="false")
    job_id, plan = bench.submit(duration=None, group="nightly")
    spec = bench.job(job_id).spec
    assert spec.duration_s is not None
    assert 12 * 60 < spec.duration_s < 20 * 60, "cautious after three runs, yet of their size"
    assert spec.duration_source.startswith("the 90 % bound of 3 runs of group nightly: ")
    assert spec.duration_source.endswith("(median 11 min)")
    assert plan.duration_s == spec.duration_s
    assert plan.duration_source == spec.duration_source
    assert "learned from group nightly" in plan.reason


def test_a_given_duration_stands_unless_history_is_asked_for_and_convinces(bench: Bench) -> None:
    _past(bench, 10, 11)
    asked: dict[str, Any] = {"duration": "1h", "group": "nightly", "duration_from": "history"}
    _, too_few = bench.submit(**asked)
    assert (too_few.duration_s, too_few.duration_source) == (3600, "given")
    _past(bench, 12)
    _, learned = bench.submit(**asked)
    assert learned.duration_s is not None
    assert learned.duration_s < 1200
    _, given = bench.submit(**(asked | {"duration_from": None}))
    assert given.duration_s == 3600


def test_without_history_the_error_says_what_to_do(bench: Bench) -> None:
    with pytest.raises(UsageError, match="no successful run of group new"):
        bench.submit(duration=None, group="new")
    with pytest.raises(UsageError, match="--duration-from history needs --group"):
        bench.submit(duration_from="history")
    _past(bench, 60)
    with pytest.raises(UsageError, match=r"cannot be met.* 1 run of group nightly.*--duration"):
        bench.submit(duration=None, group="nightly", deadline="10m")
    with pytest.raises(UsageError, match=r"no --duration was given.* or --duration-from history"):
        bench.submit(duration=None, group="nightly", duration_from="given")
