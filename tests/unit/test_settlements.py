"""Settlements: versions are appended, and looked at again ever more rarely."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Triple
from scheduler.models import Attempt, JobSpec, JobState, Plan, Power, Settlement, Window
from scheduler.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = timedelta(hours=1)
PAUSE_S = 3600.0


def _settled(grams: float, status: str = "provisional", **fields: Any) -> Settlement:
    base: dict[str, Any] = {
        "status": status,
        "active_kwh": Triple.exact(1.0),
        "reserved_kwh": None,
        "components": (),
        "measured_percent": None,
        "intensity": None,
        "pue": Triple.exact(1.0),
        "pue_source": "declared",
        "operational_g": Triple.exact(grams),
        "embodied_g": None,
        "total_g": None,
        "unit": "job",
        "unit_count": 1.0,
        "sci_g_per_unit": None,
        "basis": "operational",
        "baseline_g": None,
        "saved_g": None,
        "saving_estimated": False,
        "largest_uncertainty": "the meter",
        "conformance": (),
        "attempts": (),
    }
    return Settlement(**(base | fields))


def _plan(now: datetime) -> Plan:
    window = Window("local", now, now + HOUR, None, None)
    return Plan(
        made_at=now,
        window=window,
        run_now=window,
        basis="operational",
        signal="average",
        power=Power(None, "unknown"),
        forecast_source=None,
        forecast_issued_at=None,
        latest_safe_start=None,
        reason="because",
    )


@pytest.fixture
def ended(store: Store, now: datetime, make_spec: Callable[..., JobSpec]) -> str:
    """A job that ran and ended at ``now``."""
    store.jobs.add("j", make_spec(), now)
    assert store.jobs.plan(store.jobs.get("j"), _plan(now), now)
    attempt = Attempt("j", 1, "local", "/runs/j/1", "token", now)
    assert store.jobs.claim(store.jobs.get("j"), attempt, (), 4)
    done = JobState.SUCCEEDED
    ran = replace(attempt, started_at=now, ended_at=now)
    assert store.jobs.transition("j", JobState.STARTING, done, now, "", noted=ran, ended_at=now)
    return "j"


def test_a_version_is_made_where_a_figure_changed(store: Store, ended: str, now: datetime) -> None:
    settlements = store.settlements
    assert settlements.latest(ended) is None
    first = settlements.add(ended, _settled(5), now)
    assert first is not None
    assert (first.number, first.made_at, first.settlement) == (1, now, _settled(5))
    assert settlements.add(ended, _settled(5, notes=("new words",)), now + HOUR) is None
    second = settlements.add(ended, _settled(6), now + 2 * HOUR)
    assert second is not None
    assert settlements.versions(ended) == [first, second]
    final = settlements.add(ended, _settled(6, "final"), now + 3 * HOUR)
    assert final is not None
    assert final.number == 3
    assert settlements.latest(ended) == _settled(6, "final")
    assert settlements.versions("nobody") == []


def test_a_job_is_owed_a_settlement_until_it_is_final(
    store: Store, ended: str, now: datetime
) -> None:
    settlements = store.settlements
    assert settlements.owed(now, PAUSE_S) == [ended], "never settled"
    settlements.add(ended, _settled(5), now)
    assert settlements.owed(now + HOUR / 2, PAUSE_S) == []
    assert settlements.owed(now + HOUR, PAUSE_S) == [ended]
    settlements.add(ended, _settled(5, "final"), now + HOUR)
    assert settlements.owed(now + 999 * HOUR, PAUSE_S) == []


def test_what_was_final_on_a_clock_that_was_ahead_is_looked_at_again(
    store: Store, ended: str, now: datetime
) -> None:
    settlements = store.settlements
    settlements.add(ended, _settled(5, "final"), now + 24 * HOUR)
    assert settlements.owed(now + HOUR, PAUSE_S) == [ended]
    settlements.add(ended, _settled(5), now + HOUR)
    assert settlements.owed(now + 1.5 * HOUR, PAUSE_S) == []
    # The wrong clock's hour has come: the newest version counts, which is provisional.
    assert settlements.owed(now + 25 * HOUR, PAUSE_S) == [ended]


def test_a_job_that_never_ran_is_owed_none(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    store.jobs.add("j", make_spec(), now)
    assert store.jobs.plan(store.jobs.get("j"), _plan(now), now)
    attempt = Attempt("j", 1, "local", "/runs/j/1", "token", now)
    assert store.jobs.claim(store.jobs.get("j"), attempt, (), 4)
    never = replace(attempt, ended_at=now)
    assert store.jobs.transition(
        "j", JobState.STARTING, JobState.CANCELLED, now, "", noted=never, ended_at=now
    )
    assert store.settlements.owed(now + HOUR, PAUSE_S) == []


def test_the_pause_grows_with_the_time_since_the_end(
    store: Store, ended: str, now: datetime
) -> None:
    """An eighth of it: looked at after 16 h, again after 18 h, also where nothing changed."""
    settlements = store.settlements
    settlements.add(ended, _settled(5), now)
    assert settlements.add(ended, _settled(5), now + 16 * HOUR) is None
    assert settlements.owed(now + 17 * HOUR, PAUSE_S) == []
    assert settlements.owed(now + 18 * HOUR, PAUSE_S) == [ended]
    looks, at = 0, now + HOUR
    while at < now + timedelta(days=56):
        if settlements.owed(at, PAUSE_S):
            settlements.add(ended, _settled(5), at)
            looks += 1
        at += 3 * HOUR
    assert 20 < looks < 60, "not each time for eight weeks"


def test_a_job_that_never_ran_is_owed_nothing(
    store: Store, now: datetime, make_spec: Callable[..., JobSpec]
) -> None:
    store.jobs.add("j", make_spec(), now)
    assert store.jobs.transition("j", JobState.QUEUED, JobState.CANCELLED, now, "", ended_at=now)
    assert store.settlements.owed(now + HOUR, PAUSE_S) == []
