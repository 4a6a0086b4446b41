"""What a plan weighs beside grams: pauses, money, delay, risk, and data to be brought."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.series import Series
from scheduler import config, engine
from scheduler.engine import Context, planner, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from scheduler.models import JobSpec, Objective, Plan
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
# DE is high but for two single hours; FR is low and flat.
DE = [500.0, 450, 100, 500, 500, 80, 500, 500, 500, 500, 500, 500]
PRICES = """
providers: [fake]
currency: CHF
regions:
  local: {zone: DE, slots: 4, price: {per_slot_hour: 1}}
  lab: {zone: FR, executor: fake, slots: 4, price: {per_slot_hour: 2, per_kwh: 0.5}}
"""
FREE = """
providers: [fake]
regions:
  local: {zone: DE, slots: 4}
  lab: {zone: FR, executor: fake, slots: 4}
"""


class Unsure(FakeProvider):
    """Forecasts with a band of a half."""

    def _series(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        series = super()._series(zone, start, end, now)
        return replace(series, low=series.g_per_kwh * 0.5, high=series.g_per_kwh * 1.5)


class Bench:
    """A context with fakes and an empty queue; jobs take 2 h and 1 kW."""

    def __init__(self, home: Path, settings: str, kind: type[FakeProvider]) -> None:
        (home / "config.yaml").write_text(settings)
        self.config = config.load(None, {"LOWTIDE_HOME": str(home / "home")}, home)
        executor = FakeExecutor(clock=FixedClock(NOW), run_s=3600)
        self.ctx = Context.open(
            self.config,
            NOW,
            sources={"fake": kind(NOW, {"DE": DE, "FR": [50.0] * 12})},
            executors={"local": executor, "fake": executor},
        )

    def spec(self, **fields: Any) -> JobSpec:
        given = {"duration": "2h", "deadline": "10h", "power": "1kW"} | fields
        request = Request(argv=("true",), **given)
        return submission.to_spec(request, self.config, NOW, "me", Path("/"), need_duration=True)

    def plan(self, **fields: Any) -> Plan:
        return planner.plan(self.ctx, self.spec(**fields), NOW, to_run=True)

    def refusal(self, **fields: Any) -> str:
        """The one line of a refused job, of which nothing is left."""
        with pytest.raises(UsageError) as caught:
            engine.submit(self.ctx, Request(), self.spec(**fields), dict(os.environ), NOW)
        assert self.ctx.store.jobs.find() == []
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def bench(settings: str = FREE, kind: type[FakeProvider] = FakeProvider) -> Bench:
        made.append(Bench(tmp_path, settings, kind))
        return made[-1]

    yield bench
    for each in made:
        each.ctx.close()


def _hours(plan: Plan) -> list[tuple[float, float]]:
    return [((a - NOW) / HOUR, (b - NOW) / HOUR) for a, b in plan.window.spans if b is not None]


def test_a_pausable_job_runs_in_the_low_hours(make: Callable[..., Bench]) -> None:
    bench = make()
    whole = bench.plan(region=("local",))
    apart = bench.plan(region=("local",), pausable=True, resume_overhead="0s", min_run="0s")
    assert _hours(whole) == [(1, 3)]
    assert _hours(apart) == [(2, 3), (5, 6)]
    assert "2 segments" in apart.reason
    assert apart.window.grams is not None
    assert apart.window.grams.value == pytest.approx(180)


def test_a_resume_is_part_of_the_plan(make: Callable[..., Bench]) -> None:
    plan = make().plan(region=("local",), pausable=True, resume_overhead="15m", min_run="30m")
    spans = _hours(plan)
    assert len(spans) == 2
    assert sum(b - a for a, b in spans) == pytest.approx(2.25)
    assert plan.window.grams is not None
    assert plan.window.grams.value == pytest.approx(100 + 80 + 450 * 0.25)


@pytest.mark.parametrize(
    "rules", [{"min_run": "90m"}, {"max_segments": 1}, {"resume_overhead": "2h"}]
)
def test_where_pauses_cost_too_much_it_runs_in_one_piece(
    make: Callable[..., Bench], rules: dict[str, Any]
) -> None:
    bench = make()
    assert _hours(bench.plan(region=("local",), pausable=True, **rules)) == [(1, 3)]


def test_pauses_have_the_defaults_of_the_config(make: Callable[..., Bench]) -> None:
    settings = FREE + "defaults: {resume_overhead: 5m, min_run: 20m}\n"
    bench = make(settings)
    found = bench.spec(pausable=True).pausable
    assert found is not None
    assert (found.resume_s, found.min_run_s, found.signal) == (300, 1200, "checkpoint")
    found = bench.spec(pausable=True, min_run="0s", pause_signal="stop").pausable
    assert found is not None
    assert (found.resume_s, found.min_run_s, found.signal) == (300, 0, "stop")
    assert bench.spec().pausable is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resume_overhead": "1m"}, "--resume-overhead belongs to --pausable"),
        ({"min_run": "1m"}, "--min-run belongs to --pausable"),
        ({"max_segments": 2}, "--max-segments belongs to --pausable"),
        ({"pause_signal": "stop"}, "--pause-signal belongs to --pausable"),
        ({"pausable": True, "min_run": "soon"}, "--min-run: "),
        ({"weigh": ("money=0.7", "delay=0.4")}, "money=70% + delay=40% is more than 100%"),
        ({"weigh": ("money=0.1", "money=0.2")}, "contradicts money=10%"),
        ({"weigh": ("money=1.5",)}, "1.5% or 150%"),
        ({"weigh": ("delay=much",)}, "not a share between 0% and 100%"),
        ({"weigh": ("delay",)}, "not a share between 0% and 100%"),
        ({"weigh": ("delay=nan",)}, "not a share between 0% and 100%"),
        ({"weigh": ("speed=0.5",)}, "known are money, delay"),
        ({"max_cost": "cheap"}, "--max-cost: 'cheap' is not an amount"),
        ({"max_cost": "-1"}, "--max-cost: '-1' is not an amount"),
        ({"max_delay": "soon"}, "--max-delay: "),
        ({"weigh": ("money=0.1",)}, "no price is known for local, lab"),
        ({"max_cost": "5"}, "no price is known for local, lab"),
    ],
)
def test_a_wish_that_cannot_be_is_one_line(
    make: Callable[..., Bench], options: dict[str, Any], said: str
) -> None:
    assert said in make().refusal(**options)


def test_money_moves_a_job_to_where_it_is_cheap(make: Callable[..., Bench]) -> None:
    bench = make(PRICES)
    for_grams, for_money = bench.plan(), bench.plan(weigh=("money=100%",))
    assert (for_grams.window.region, for_money.window.region) == ("lab", "local")
    assert for_grams.window.cost == pytest.approx(2 * 2 + 2 * 0.5 * 1.15, rel=0.3)
    assert for_money.window.cost == pytest.approx(2)
    moved = [bench.plan(weigh=(f"money={10 * n}%",)).window.region for n in range(11)]
    assert moved == sorted(moved), "once cheap, always cheap: lab, then local"
    # Where every hour costs the same, the grams decide.
    assert _hours(bench.plan(weigh=("money=0.9",), region=("local",))) == [(1, 3)]


def test_no_more_is_spent_than_allowed(make: Callable[..., Bench]) -> None:
    bench = make(PRICES)
    assert bench.plan(max_cost="3").window.region == "local"
    assert bench.plan(max_cost="50").window.region == "lab"
    said = bench.refusal(max_cost="1.5")
    assert "--max-cost 1.5 CHF: the cheapest region, local, costs 2.00 CHF" in said


def test_a_region_without_a_price_is_left_out_where_money_counts(
    make: Callable[..., Bench],
) -> None:
    bench = make(PRICES.replace(", price: {per_slot_hour: 2, per_kwh: 0.5}", ""))
    assert bench.plan().window.region == "lab"
    assert bench.plan(weigh=("money=0.01",)).window.region == "local"
    assert bench.plan(max_cost="50").window.region == "local"


def test_weights_need_something_to_weigh(make: Callable[..., Bench]) -> None:
    """Shares are of what a start now at home emits: without a zone there, nobody knows it."""
    bench = make(FREE.replace("zone: DE, ", ""))
    assert bench.plan().window.region == "lab"
    assert "--weigh needs the power" in bench.refusal(weigh=("delay=0.5",))


def test_the_more_delay_weighs_the_sooner_it_ends(make: Callable[..., Bench]) -> None:
    bench = make()
    ends = [
        bench.plan(region=("local",), weigh=(f"delay={10 * n}%",)).window.end for n in range(11)
    ]
    assert ends == sorted([end for end in ends if end is not None], reverse=True)
    assert ends[0] == NOW + 3 * HOUR
    assert ends[-1] == NOW + 2 * HOUR, "where only delay counts it starts at once"


def test_the_longest_delay_bounds_the_start(make: Callable[..., Bench]) -> None:
    bench = make()
    asked: dict[str, Any] = {"region": ("local",), "duration": "1h"}
    assert bench.plan(**asked).window.start == NOW + 5 * HOUR
    near = bench.plan(**asked, max_delay="3h")
    assert near.window.start == NOW + 2 * HOUR
    assert near.latest_safe_start == NOW + 3 * HOUR
    assert bench.plan(**asked, max_delay="0s").window.start == NOW
    both = bench.spec(**asked, max_delay="3h", start_by="90m")
    assert both.latest_start == NOW + 1.5 * HOUR


def test_the_cautious_wait_only_where_the_worst_forecast_pays_too(
    make: Callable[..., Bench],
) -> None:
    bench = make(kind=Unsure)
    # 275 at best guess and 412 at worst from 01:00 on, against 475 now and 375 at 00:30.
    now: dict[str, Any] = {"region": ("local",), "deadline": "3h30m"}
    soon = now | {"earliest": "30m"}
    for asked in (now, soon):
        assert _hours(bench.plan(**asked)) == [(1, 3)]
    assert _hours(bench.plan(**now, risk="cautious")) == [(1, 3)]
    sure = bench.plan(**soon, risk="cautious")
    assert _hours(sure) == [(0.5, 2.5)]
    assert "no delay is sure to save" in sure.reason
    assert bench.spec(risk="cautious").objective == Objective(cautious=True)


def test_data_is_brought_before_it_starts_and_counts(make: Callable[..., Bench]) -> None:
    bench = make(FREE + "transfer: {seconds_per_gb: 9, kwh_per_gb: 0.001}\n")
    here = bench.plan(region=("lab",))
    there = bench.plan(region=("lab",), data="100GB")
    assert here.window.start == NOW
    assert there.window.start == NOW + timedelta(seconds=900)
    assert here.window.grams is not None
    assert there.window.grams is not None
    brought = there.window.grams.value - here.window.grams.value
    assert brought == pytest.approx(100 * 0.001 * (sum(DE[:10]) / 10 + 50) / 2)
    home = bench.plan(region=("local",), data="100GB")
    assert home.window.grams == bench.plan(region=("local",)).window.grams
    # So much data that the way costs more than it saves.
    assert bench.plan(data="5000GB", deadline="20h").window.region == "local"
