"""Deadlines that can be met are met in a replay, and what is missed is counted."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.planner.task import Task, World
from scheduler.simulate import Knowledge, LogJob, Policy, Rules, simulate
from scheduler.simulate.replay import Replay
from scheduler.simulate.reserve import Reserve

HOUR, MINUTE = 3600.0, 60.0
START = 1_640_995_200.0
DAY = [100.0, 200.0] * 10
UNEVEN = [400.0] * 3 + [300.0, 200.0, 300.0, 400.0, 500.0, 300.0, 100.0] + [200.0] * 10


def _job(name: str, submitted_h: float, hours: float, deadline_h: float, slots: int = 1) -> LogJob:
    at = START + submitted_h * HOUR
    return LogJob(name, at, hours * HOUR, START + deadline_h * HOUR, slots, 100.0)


def _known(*rows: list[float]) -> Knowledge:
    names = ("X", "Y")[: len(rows)]
    return Knowledge(names, START, HOUR, np.array(rows, dtype=np.float64))


TOGETHER = [_job("A", 0, 3, 11, 2), _job("B", 0, 3, 5, 2), _job("C", 0, 4, 8)]
IN_TURN = [
    _job("0", 3, 3, 10), _job("1", 4, 4, 14, 2), _job("3", 4, 4, 15), _job("2", 6, 4, 12),
]  # fmt: skip


@pytest.mark.parametrize("policy", ["fleet", "oracle"])
@pytest.mark.parametrize(
    ("jobs", "hours"),
    [(TOGETHER, DAY), (IN_TURN, UNEVEN)],
    ids=["at once", "one after the other"],
)
def test_none_is_late_where_a_punctual_plan_exists(
    jobs: list[LogJob], hours: list[float], policy: Policy
) -> None:
    made = simulate(jobs, _known(hours), Rules(policy=policy, capacity=2))
    assert made.jobs == len(jobs)
    assert made.missed_deadlines == 0


def test_an_arrival_that_does_not_fit_is_planned_with_those_that_wait_at_once() -> None:
    """The first waits for the cheap hours; the second needs them, long before the next look."""
    cheap = [300.0] * 4 + [50.0] * 4 + [300.0] * 12
    jobs = [_job("waits", 0, 4, 20), _job("urgent", 0.5, 5, 8)]
    made = simulate(jobs, _known(cheap), Rules(capacity=1, refresh_s=12 * HOUR))
    assert made.missed_deadlines == 0
    assert {row.job_id: row.start_s for row in made.schedule}["waits"] > START + 5 * HOUR


@pytest.mark.parametrize("length", [1.0, 0.7])
def test_a_refresh_of_a_second_plans_only_when_something_new_is_known(
    length: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the lattice is; and the plan is that of an hourly look."""
    looks = []
    jobs = [_job(str(n), n * 0.9, length, n + 8, 1 + n % 2) for n in range(15)]
    seen = Replay._look
    monkeypatch.setattr(Replay, "_look", lambda *args: (looks.append(args), seen(*args)))
    made = []
    for refresh_s in (HOUR, 1.0):
        looks.clear()
        made.append(simulate(jobs, _known(DAY + UNEVEN), Rules(capacity=3, refresh_s=refresh_s)))
        assert len(looks) < 2 * len(DAY)
    assert made[0].schedule == made[1].schedule


def test_a_log_of_which_no_job_fits_is_no_fault() -> None:
    made = simulate([_job("wide", 0, 1, 5, 9)], _known(DAY), Rules(capacity=8))
    assert made.jobs == 0
    assert made.refused == {"larger_than_a_region": 1}


def test_short_jobs_are_not_rounded_up_to_a_lattice() -> None:
    jobs = [_job(str(n), n / 120, 1 / 60, n / 120 + 1) for n in range(240)]
    made = simulate(jobs, _known(DAY), Rules(policy="run-now", capacity=4))
    assert made.missed_deadlines == 0
    assert made.mean_delay_s == pytest.approx(0.0, abs=1e-3)
    assert made.peak_slots == 2


def test_how_late_is_counted_beside_that_it_is() -> None:
    jobs = [_job("first", 0, 4, 4), _job("second", 0, 2, 3), _job("third", 0, 1, 3)]
    made = simulate(jobs, _known(DAY), Rules(policy="run-now", capacity=1))
    assert made.missed_deadlines == 2
    figures = made.as_dict()
    assert figures["lateness_s"] == pytest.approx(3 * HOUR + 4 * HOUR)
    assert figures["worst_lateness_s"] == pytest.approx(4 * HOUR)
    assert figures["oracle_missed_deadlines"] == made.oracle.missed < 2
    assert figures["captured_percent"] is None
    assert "misses 2 deadlines" in figures["null_reasons"]["captured_percent"]


def test_a_job_without_room_leaves_neither_total() -> None:
    """First come, first served has no room for the second; the oracle has."""
    jobs = [_job("long", 0, 3, 9), _job("urgent", 1, 4, 5)]
    known = _known([10.0] * 6)
    made = {p: simulate(jobs, known, Rules(policy=p, capacity=1)) for p in ("run-now", "oracle")}
    assert made["run-now"].refused == {"no_room_before_the_end": 1}
    assert {o.run_now_g for o in made.values()} == {7.0}
    assert len({o.oracle for o in made.values()}) == 1
    figures = made["run-now"].as_dict()
    assert figures["saved_percent"] is figures["captured_percent"] is None
    assert "no room before the end" in figures["null_reasons"]["saved_percent"]


def _learned(arrivals: list[Task], capacity: int = 10) -> dict[float, int]:
    """Seconds ahead and the slots that are kept free from there on."""
    reserve = Reserve(World(START, HOUR, np.full((1, 24 * 9), 100.0)), Rules(capacity=capacity))
    now = START
    for task in arrivals:
        now = task.release_s
        reserve.learn(task, now)
    kept: dict[float, int] = {}
    for task, placed in reserve.ahead(now):
        lead = placed.start_s - now
        kept[lead] = kept.get(lead, 0) + task.slots
    return kept


def _arrival(hour: float, slots: int, slack_h: float) -> Task:
    release = START + hour * HOUR
    return Task(release, release + (1 + slack_h) * HOUR, HOUR, slots)


def test_as_many_slots_are_kept_free_as_arrived_with_as_little_slack() -> None:
    tight = [_arrival(2 * n, 4 if n % 5 == 0 else 1, 3) for n in range(40)]
    assert _learned(tight) == {3 * HOUR: 4}
    wide = [*tight, _arrival(79, 6, 20), *(_arrival(81 + n, 1, 20) for n in range(48))]
    kept = _learned(wide)
    assert kept[3 * HOUR] == 4
    assert sum(kept.values()) <= 10


def test_nothing_is_kept_before_a_day_of_arrivals_and_never_more_than_was_idle() -> None:
    assert _learned([_arrival(n, 4, 3) for n in range(20)]) == {}
    busy = [_arrival(n / 2, 4, 3) for n in range(100)]
    assert sum(_learned(busy).values()) <= 2


def test_a_job_to_come_finds_room_that_long_ones_would_have_taken() -> None:
    """Each day four long jobs wait for the night, in which a wide one comes that cannot wait."""
    days = 4
    knowledge = _known(([400.0] * 18 + [50.0] * 6) * (days + 2))
    jobs: list[LogJob] = []
    for d in range(days):
        jobs += [_job(f"long{d}.{n}", 24 * d, 14, 24 * d + 46, 2) for n in range(4)]
        jobs.append(_job(f"wide{d}", 24 * d + 19, 1, 24 * d + 21, 4))
    first = simulate(jobs, knowledge, Rules(policy="run-now", capacity=10))
    kept = simulate(jobs, knowledge, Rules(capacity=10))
    without = simulate(jobs, knowledge, Rules(capacity=10, reserve=False))
    assert first.missed_deadlines == 0
    assert kept.missed_deadlines < without.missed_deadlines
    assert kept.as_dict()["run_now_missed_deadlines"] == 0
    assert kept.reserve_cost_g == pytest.approx(kept.emissions_g - without.emissions_g)
