"""Every kind of too little is an outage: the job is taken, the policy decides, and all say why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from providers.errors import AccessDenied, NoData, ProviderError, TooLittle, Unavailable
from providers.meters import nvml
from providers.series import Series, empty
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from conftest import Desk

HOUR = timedelta(hours=1)


def _whole(start: datetime, hours: int, step: int = 1) -> Series:
    """Hours from ``start`` on, every ``step``-th of them."""
    starts = start.timestamp() + 3600.0 * np.arange(0, hours, step)
    values = np.arange(900.0, 900.0 - len(starts), -1)
    sources = np.full(len(starts), "fake")
    return Series("DE", "average", "forecast", start, starts, starts + 3600, values, values, values,
                  sources)  # fmt: skip


def _raise(error: Exception) -> Any:
    raise error


KINDS: dict[str, tuple[Any, str]] = {
    "no answer": (lambda *_: _raise(Unavailable("the source is down")), "the source is down"),
    "empty": (lambda z, a, b, n: empty(z, "average", "forecast", n), "without any value for DE"),
    "too short": (lambda z, a, b, n: _whole(n, 3), "fake reaches to 2026-03-02T11:00Z"),
    "a hole in every window": (lambda z, a, b, n: _whole(n, 300, 2), "without a hole in DE"),
    "past": (lambda z, a, b, n: _whole(n - 9 * HOUR, 3), "20:00Z: it reaches to 2026-03-02T02:00Z"),
    "none": (lambda *_: None, "None where a series was expected"),
    "a list": (lambda *_: [1, 2], "where a series was expected"),
    "impossible": (
        lambda z, a, b, n: replace(_whole(n, 300), high=np.full(300, 1e26)),
        "900 g/kWh (900 to 1e+26) for DE at 2026-03-02T08:00Z; a grid emits between 0 and 2000",
    ),
    "negative": (lambda z, a, b, n: replace(_whole(n, 3), low=np.full(3, -1.0)), "(-1 to 900)"),
    "another fault": (lambda *_: _raise(KeyError("data")), "fake failed on DE: KeyError: 'data'"),
    "too little said": (lambda *_: _raise(TooLittle("nothing of this time")), "nothing of this"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("policy", "hours"), [("run-now", 0), ("hold", 8), ("last-known", 0)])
def test_the_job_is_taken_and_the_outage_policy_decides(
    make_desk: Callable[[str], Desk], kind: str, policy: str, hours: int
) -> None:
    answer, said = KINDS[kind]
    desk = make_desk(f"outage: {{policy: {policy}}}")
    desk.provider.forecast = answer  # type: ignore[method-assign]
    job = desk.job(desk.submit(duration="4h", deadline="12h", power="100W"))
    assert job.state is JobState.PLANNED
    assert job.plan is not None
    assert job.plan.window.start == desk.clock.now + hours * HOUR
    assert job.plan.window.grams is None
    assert said in job.plan.reason
    assert said in job.plan.nulls["expected_g"]
    desk.tick(hours=hours, seconds=1)
    assert desk.job(job.id).state.active


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_weighs_delay_is_taken_as_well(
    make_desk: Callable[[str], Desk], kind: str
) -> None:
    desk = make_desk("outage: {policy: hold}")
    sound, desk.provider.forecast = desk.provider.forecast, KINDS[kind][0]  # type: ignore[method-assign]
    job_id = desk.submit(duration="4h", deadline="12h", power="100W", weigh=("delay=10%",))
    plan = desk.job(job_id).plan
    assert plan is not None
    assert plan.window.grams is None
    desk.provider.forecast = sound  # type: ignore[method-assign]
    desk.tick(hours=1)
    again = desk.job(job_id).plan
    assert again is not None
    assert again.window.grams is not None


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k not in {"too short", "a hole in every window"}]
)
def test_the_last_known_forecast_stands_in_whatever_the_fault(
    make_desk: Callable[[str], Desk], kind: str
) -> None:
    desk = make_desk("outage: {policy: last-known}")
    desk.provider.hourly["DE"][30:34] = [10.0] * 4  # type: ignore[index]
    desk.submit(duration="4h", deadline="12h")
    desk.provider.forecast = KINDS[kind][0]  # type: ignore[method-assign]
    desk.clock.advance(hours=1)
    job = desk.job(desk.submit(duration="4h", deadline="11h"))
    assert job.plan is not None
    assert job.plan.window.start == desk.clock.now + 5 * HOUR
    assert "last known forecast, of 2026-03-02T08:00Z, is used" in job.plan.reason


@pytest.mark.parametrize("kind", ["too short", "a hole in every window", "empty", "none"])
def test_a_plan_on_a_forecast_outlives_an_outage(
    make_desk: Callable[[str], Desk], kind: str
) -> None:
    desk = make_desk("outage: {policy: run-now}")
    desk.provider.hourly["DE"][30:34] = [10.0] * 4  # type: ignore[index]
    job = desk.job(desk.submit(duration="4h", deadline="12h"))
    assert job.plan is not None
    assert job.plan.window.start == desk.clock.now + 6 * HOUR
    desk.provider.forecast = KINDS[kind][0]  # type: ignore[method-assign]
    desk.tick(hours=2)
    kept = desk.job(job.id)
    assert kept.state is JobState.PLANNED
    assert kept.plan is not None
    assert kept.plan.window.start == job.plan.window.start


def test_a_forecast_of_a_part_is_used_for_that_part_and_said(
    make_desk: Callable[[str], Desk],
) -> None:
    desk = make_desk("outage: {policy: hold}")
    desk.provider.forecast = KINDS["too short"][0]  # type: ignore[method-assign]
    job = desk.job(desk.submit(duration="1h", deadline="12h"))
    assert job.plan is not None
    assert job.plan.window.start == desk.clock.now + 2 * HOUR
    assert "fake reaches to 2026-03-02T11:00Z" in job.plan.reason
    assert "no window lies there" in job.plan.reason


def test_to_hold_drops_no_known_forecast_because_power_is_unknown(
    make_desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml, "gpu_limits_w", dict)
    desk = make_desk("outage: {policy: hold}")
    desk.provider.hourly["DE"][27] = 10.0  # type: ignore[index]
    desk.executor.gpus = ("GPU-1",)
    job = desk.job(desk.submit(duration="1h", deadline="12h", gpus=1))
    assert job.plan is not None
    assert job.plan.power.watts is None
    assert job.plan.window.start == desk.clock.now + 3 * HOUR
    assert job.plan.window.g_per_kwh is not None


@pytest.mark.parametrize("error", [NoData("no such zone"), AccessDenied("no key")])
def test_a_zone_that_no_source_covers_and_a_missing_key_are_refused(
    make_desk: Callable[[str], Desk], error: ProviderError
) -> None:
    desk = make_desk("outage: {policy: last-known}")
    desk.provider.fails = error
    with pytest.raises(type(error), match=str(error)):
        desk.submit()
    assert desk.jobs() == []


def test_the_last_answer_of_a_source_is_kept_with_its_reach_or_its_fault(
    make_desk: Callable[[str], Desk],
) -> None:
    desk = make_desk("outage: {policy: run-now}")
    desk.submit(duration="4h", deadline="12h")
    (answer,) = desk.ctx.store.forecasts.answers("source:")
    assert (answer.chain, answer.zone, answer.detail) == ("source:fake", "DE", "")
    assert answer.until is not None
    assert answer.until >= desk.clock.now + 12 * HOUR
    desk.provider.forecast = KINDS["empty"][0]  # type: ignore[method-assign]
    desk.clock.advance(hours=1)
    desk.submit(duration="4h", deadline="12h")
    (answer,) = desk.ctx.store.forecasts.answers("source:")
    assert answer.until is None
    assert "fake answered without any value for DE" in answer.detail
