"""Far times and large counts: refused where they cannot be meant, and cheap where they can."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from providers.base import Triple
from providers.series import Series
from scheduler import wall_clock
from scheduler.engine import planner, submission
from scheduler.errors import ConfigError, UsageError
from scheduler.models import LOOKED_AHEAD, JobState
from scheduler.planner import window
from scheduler.planner.choice import Place, Request

if TYPE_CHECKING:
    from tests.unit.conftest import Desk

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize("option", ["deadline", "start_by", "earliest"])
@pytest.mark.parametrize(
    "year", ["3026-12-01T00:00Z", "9000-01-01T00:00Z", "9999-12-31", "9999-12-31T23:59-12:00"]
)
def test_a_mistyped_year_is_refused_in_one_line(desk: Desk, option: str, year: str) -> None:
    with pytest.raises(UsageError) as caught:
        desk.submit(**{option: year})
    said = str(caught.value)
    assert said.startswith(f"--{option.replace('_', '-')}: {year!r}")
    assert "\n" not in said
    assert not desk.jobs()


def test_the_last_time_that_is_accepted_is_a_hundred_years_ahead() -> None:
    zone, last = ZoneInfo("UTC"), NOW + timedelta(days=36500)
    assert wall_clock.moment(last.isoformat(), NOW, zone) == last
    assert wall_clock.moment("100y", NOW, zone) == last
    with pytest.raises(ValueError, match="hundred years"):
        wall_clock.moment((last + timedelta(seconds=1)).isoformat(), NOW, zone)


@pytest.mark.parametrize(
    "fields",
    [
        {"deadline": "10y"},
        {"earliest": "50y"},
        {"start_by": "100y"},
        {"max_delay": "100y"},
        {"duration": "100y"},
        {"deadline": "10y", "pausable": True},
    ],
)
def test_sources_are_asked_for_no_more_than_a_year(desk: Desk, fields: dict[str, str]) -> None:
    """What is asked for is what is kept in memory for each of all regions."""
    job_id = desk.submit(power="100W", **fields)
    desk.tick(minutes=20)
    assert desk.provider.asked
    assert all(
        end <= desk.clock.now + LOOKED_AHEAD and start >= NOW - LOOKED_AHEAD
        for _, start, end in desk.provider.asked
    )
    assert desk.job(job_id).plan is not None


def test_a_job_of_centuries_ahead_in_the_queue_delays_no_other(desk: Desk) -> None:
    """An older version accepted it."""
    far = desk.submit(name="far", power="100W")
    row = desk.job(far)
    assert row.plan is not None
    ahead = timedelta(days=365 * 300)
    spec = row.spec.model_copy(
        update={"release": NOW + ahead, "deadline": NOW + ahead + timedelta(hours=3)}
    )
    desk.ctx.store.jobs.add("ffff", spec, NOW)
    moved = replace(row.plan.window, start=NOW + ahead, end=NOW + ahead + timedelta(hours=1))
    planner.keep(desk.ctx, desk.job("ffff"), replace(row.plan, window=moved), NOW)
    near = desk.submit(power="100W", start_by="1m")
    desk.tick(minutes=2)
    assert desk.job(near).state.active
    assert desk.job("ffff").state is JobState.PLANNED
    assert all(end <= desk.clock.now + LOOKED_AHEAD for _, _, end in desk.provider.asked)


@pytest.mark.parametrize("name", ["priority", "slots", "gpus", "retries", "max_segments"])
@pytest.mark.parametrize("value", [2**31, 2**63, 10**30])
def test_a_count_that_no_store_can_hold_is_refused_by_its_option(
    name: str, value: int, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} must be at most 100000000"):
        submission.request_of({name: value})
    (tmp_path / "job.yaml").write_text(f"{name}: {value}\n")
    with pytest.raises(ConfigError, match=f"{name}: must be at most 100000000"):
        submission.from_file(tmp_path / "job.yaml")


def test_regions_evaluated_in_parts_give_the_same_decision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = 3600.0 * np.arange(48)
    places = []
    for i in range(5):
        g = 100.0 + 50.0 * np.cos(starts / 9000 + i)
        arrays = (starts, starts + 3600, g, g - i, g + i, np.full(48, "s"))
        series = Series("Z", "average", "forecast", NOW, *arrays)
        places.append(Place(f"r{i}", series, Triple.exact(1.0 + i / 10)))
    request = Request(5400.0, 600.0, 40 * 3600.0, Triple.exact(100.0), delay_g_per_s=1e-4)
    whole = window.decide(places, request)
    for cells in (1, 100):
        monkeypatch.setattr(window, "AT_ONCE", cells)
        assert window.decide(places, request) == whole
