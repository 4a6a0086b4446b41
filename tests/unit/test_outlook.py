"""Who is asked, who is not, what is remembered, and in what order a chain stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.errors import Unavailable
from scheduler import config
from scheduler.engine import Context, accuracy
from scheduler.testing import FakeProvider, FixedClock

HOUR = timedelta(hours=1)
SETTINGS = """
providers: [first, second]
{more}
regions:
  local: {{zone: DE, slots: 2}}
  reading: {{zone: GB, zones: {{first: RG10}}, executor: local}}
"""


@pytest.fixture
def opened(tmp_path: Path, now: datetime) -> Iterator[Callable[..., Context]]:
    made: list[Context] = []

    def make(more: str = "", **sources: FakeProvider) -> Context:
        (tmp_path / "config.yaml").write_text(SETTINGS.format(more=more))
        loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
        made.append(Context.open(loaded, now, sources=sources))
        return made[-1]

    yield make
    for ctx in made:
        ctx.close()


def _fake(name: str, now: datetime, values: Any = 100.0, **fields: Any) -> FakeProvider:
    hourly = [values] * 24 * 30 if isinstance(values, float) else values
    zones = dict.fromkeys(("DE", "GB", "RG10"), hourly)
    return FakeProvider(now - timedelta(days=10), zones, name=name, **fields)


def test_a_source_is_asked_under_its_own_name_for_a_zone(
    opened: Callable[..., Context], now: datetime
) -> None:
    first = _fake("first", now)
    ctx = opened(first=first, second=_fake("second", now))
    known = ctx.outlook.ask(ctx.regions["reading"], now, now + HOUR, now)
    assert known.series is not None
    assert known.series.zone == "GB"
    assert {zone for zone, _, _ in first.asked} == {"RG10"}
    # Two regions of one zone, asked under two names, are remembered apart.
    ctx.outlook.refresh(ctx.regions["reading"], now, now + HOUR, now)
    assert ctx.store.forecasts.newest("first@RG10,second", "GB") is not None
    assert ctx.store.forecasts.newest("first,second", "GB") is None


def test_a_quiet_question_takes_what_was_said_before_and_asks_nobody(
    opened: Callable[..., Context], now: datetime
) -> None:
    first, second = _fake("first", now), _fake("second", now)
    ctx = opened(first=first, second=second)
    local = ctx.regions["local"]
    nothing = ctx.outlook.ask(local, now, now + HOUR, now, quiet=True)
    assert nothing.series is None
    assert isinstance(nothing.error, Unavailable)
    assert first.asked == second.asked == []
    ctx.outlook.ask(local, now, now + HOUR, now)
    asked = len(first.asked)
    later = now + HOUR / 2
    known = ctx.outlook.ask(local, later, now + HOUR, later, quiet=True)
    assert known.series is not None
    assert len(first.asked) == asked


def test_a_silent_source_stands_in_with_its_last_word_until_that_is_too_old(
    opened: Callable[..., Context], now: datetime
) -> None:
    first, second = _fake("first", now, 100.0), _fake("second", now, 500.0)
    ctx = opened("outage: {max_age: 2h}", first=first, second=second)
    local = ctx.regions["local"]
    ctx.outlook.refresh(local, now, now + 48 * HOUR, now)
    first.fails = Unavailable("down")
    at = now + 1.9 * HOUR
    known = ctx.outlook.ask(local, at, at + HOUR, at)
    assert known.series is not None
    assert known.series.source == "first"
    assert "its last known forecast, of 2026-03-02T08:00Z, is used" in known.notes[0]
    at = now + 2.1 * HOUR
    known = ctx.outlook.ask(local, at, at + HOUR, at)
    assert known.series is not None
    assert known.series.source == "second"
    assert "down" in known.notes[0]


def test_with_another_outage_policy_the_last_word_is_not_used(
    opened: Callable[..., Context], now: datetime
) -> None:
    first, second = _fake("first", now, 100.0), _fake("second", now, 500.0)
    ctx = opened("outage: {policy: run-now}", first=first, second=second)
    local = ctx.regions["local"]
    ctx.outlook.refresh(local, now, now + 48 * HOUR, now)
    first.fails = Unavailable("down")
    known = ctx.outlook.ask(local, now + HOUR, now + 2 * HOUR, now + HOUR)
    assert known.series is not None
    assert known.series.source == "second"


def test_actuals_are_asked_again_until_they_are_final_and_never_after(
    opened: Callable[..., Context], now: datetime
) -> None:
    first = _fake("first", now, actuals=True, final_after_s=36 * 3600.0)
    ctx = opened(first=first, second=_fake("second", now))
    local, start, end = ctx.regions["local"], now - 3 * HOUR, now - 2 * HOUR
    early = ctx.outlook.realized(local, start, end, now)
    assert early.provisional
    assert early.series is not None
    assert early.series.kind == "actual"
    late = now + timedelta(days=3)
    assert not ctx.outlook.realized(local, start, end, late).provisional
    calls: list[int] = []

    def counted(*args: Any) -> Any:
        calls.append(1)
        return FakeProvider.actual(first, *args)

    first.actual = counted  # type: ignore[method-assign]
    assert not ctx.outlook.realized(local, start, end, late + HOUR).provisional
    assert calls == []


def test_an_actual_that_no_source_keeps_is_settled_on_the_last_forecast_and_said(
    opened: Callable[..., Context], now: datetime
) -> None:
    first = _fake("first", now, 100.0)
    ctx = opened(first=first, second=_fake("second", now))
    local = ctx.regions["local"]
    ctx.outlook.refresh(local, now, now + 6 * HOUR, now)
    first.hourly = dict.fromkeys(first.hourly, [130.0] * 24 * 30)
    ctx.outlook.refresh(local, now + HOUR, now + 6 * HOUR, now + HOUR)
    found = ctx.outlook.realized(local, now + 2 * HOUR, now + 3 * HOUR, now + 4 * HOUR)
    assert found.series is not None
    assert (found.series.kind, found.provisional) == ("estimate", False)
    assert set(found.series.g_per_kwh.tolist()) == {130.0}
    assert any("is kept by no source: the last forecast stands in" in n for n in found.notes)


def test_what_is_asked_afterwards_was_not_known_then(
    opened: Callable[..., Context], now: datetime
) -> None:
    first = _fake("first", now, 100.0)
    ctx = opened(first=first, second=_fake("second", now))
    later = now + 5 * HOUR
    # A question at 13:00 about 08:00: no source keeps actuals, so what it would have said.
    found = ctx.outlook.realized(ctx.regions["local"], now, now + HOUR, later)
    assert found.series is not None
    assert list(ctx.store.forecasts.received(0, later.timestamp() + 1)) == []
    # What is asked now is known since now, however old it says to be.
    first.forecast = lambda zone, start, end, at: replace(  # type: ignore[method-assign]
        FakeProvider.forecast(first, zone, start, end, at), issued_at=now
    )
    ctx.outlook.ask(ctx.regions["local"], now, later + 9 * HOUR, later)
    (issue,) = ctx.store.forecasts.received(0, later.timestamp() + 1)
    assert (issue.known_at, issue.series.issued_at) == (later, now)


def test_a_forecast_is_judged_from_when_it_was_received(
    opened: Callable[..., Context], now: datetime
) -> None:
    truth = FakeProvider(now, {"DE": [200.0] * 48}, actuals=True)
    ctx = opened(first=truth, second=_fake("second", now))
    told = FakeProvider(now, {"DE": [300.0] * 5 + [200.0] * 43})
    # It says to be of 08:00 and was received at 13:00: its first five hours were past.
    series = told.forecast("DE", now, now + 48 * HOUR, now)
    ctx.store.forecasts.remember("source:first", series, now + 5 * HOUR)
    ctx.store.actuals.remember("first", truth.actual("DE", now, now + 48 * HOUR), now + 48 * HOUR)
    (score,) = accuracy.of_sources(ctx, now - HOUR, now + 48 * HOUR)
    assert sum(lead.hours for lead in score.leads) == 43
    assert all(lead.mape_percent == 0 for lead in score.leads)
    assert score.leads[0].hours == 6


def test_a_chain_may_stand_in_the_order_of_its_errors(
    opened: Callable[..., Context], now: datetime
) -> None:
    actual = [200.0 + 50 * (h % 24 >= 12) for h in range(24 * 40)]
    worse, better = [v * 1.3 for v in actual], [v * 1.02 for v in actual]
    begin = now - timedelta(days=10)
    first = FakeProvider(begin, {"DE": worse}, name="first")
    second = FakeProvider(begin, {"DE": better}, name="second")
    ctx = opened("order: accuracy", first=first, second=second)
    local, clock = ctx.regions["local"], FixedClock(now)
    assert _leader(ctx, now) == "first"
    for _ in range(9 * 4):
        for source in (first, second):
            told = source.forecast("DE", clock.now, clock.now + 24 * HOUR, clock.now)
            ctx.store.forecasts.remember(f"source:{source.name}", told, clock.now)
        clock.advance(hours=6)
    truth = FakeProvider(begin, {"DE": actual}, actuals=True)
    ctx.store.actuals.remember("first", truth.actual("DE", begin, clock.now), clock.now)
    accuracy.judge(ctx, clock.now)
    assert _leader(ctx, clock.now) == "second"
    assert local.chain == ("first", "second")
    # Once a day is enough.
    scores = ctx.store.accuracies.of("DE", 0.0)
    assert scores["second"] == pytest.approx(2.0)
    assert scores["first"] == pytest.approx(30.0)
    ctx.store.accuracies.remember("DE", "second", 99.0, 1000.0, clock.now)
    accuracy.judge(ctx, clock.now + HOUR)
    assert ctx.store.accuracies.of("DE", 0.0)["second"] == 99.0
    accuracy.judge(ctx, clock.now + 25 * HOUR)
    assert ctx.store.accuracies.of("DE", 0.0)["second"] == pytest.approx(2.0)


def test_too_little_judged_or_another_basis_keeps_its_place(
    opened: Callable[..., Context], now: datetime
) -> None:
    first, second = _fake("first", now), _fake("second", now)
    ctx = opened("order: accuracy", first=first, second=second)
    ctx.store.accuracies.remember("DE", "first", 30.0, 500.0, now)
    ctx.store.accuracies.remember("DE", "second", 2.0, 100.0, now)
    assert _leader(ctx, now) == "first"
    ctx.store.accuracies.remember("DE", "second", 2.0, 500.0, now)
    assert _leader(ctx, now) == "second"

    class Direct(FakeProvider):
        @property
        def info(self) -> Any:
            return replace(super().info, factors="direct")

    ctx = opened(
        "order: accuracy", first=first, second=Direct(second.start, second.hourly, name="second")
    )
    assert _leader(ctx, now) == "first"


def _leader(ctx: Context, now: datetime) -> str:
    known = ctx.outlook.ask(ctx.regions["local"], now, now + HOUR, now)
    assert known.series is not None
    return known.series.source
