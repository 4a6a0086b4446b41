"""Laws of the replay: what comes out is what the trace says, and no rule is broken."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.planner.bound import lower_bound
from scheduler.planner.segments import FREE, Pausing
from scheduler.planner.task import Task
from scheduler.simulate import POLICIES, Knowledge, LogJob, Outcome, Policy, Rules, simulate
from scheduler.simulate.outcome import Segment

HOUR = 3600.0
MINUTE = 60.0
START = 1_767_225_600.0
NEAR = 1e-3  # what is left of two times that should be one (s)
few = settings(max_examples=15, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Case:
    """A log and hourly intensities of up to two regions; times are whole minutes."""

    jobs: tuple[LogJob, ...]
    knowledge: Knowledge
    rules: Rules

    def run(self, **rules: object) -> Outcome:
        return simulate(self.jobs, self.knowledge, replace(self.rules, **rules))  # type: ignore[arg-type]


PAUSINGS = (FREE, FREE, Pausing(900.0), Pausing(600.0, HOUR), Pausing(300.0, 0.0, 2))


@st.composite
def _cases(
    draw: st.DrawFn,
    *,
    capacity: bool = True,
    forecast: bool = True,
    pausings: tuple[Pausing, ...] = PAUSINGS,
) -> Case:
    regions, hours, unit = draw(st.integers(1, 2)), draw(st.integers(24, 60)), 900.0
    names = ("AA", "BB")[:regions]
    row = st.lists(st.integers(0, 9), min_size=hours, max_size=hours)
    actual = np.array([draw(row) for _ in names], dtype=np.float64) * 50
    issued = []
    for at in range(0, hours, draw(st.integers(3, 11))) if forecast else ():
        told = [(r, at, np.array(draw(row), dtype=np.float64)[at:] * 50) for r in range(regions)]
        issued.append((START + at * HOUR + draw(st.sampled_from([0.0, 600.0])), tuple(told)))
    jobs = []
    for n in range(draw(st.integers(1, 7))):
        submitted = START + unit * draw(st.integers(0, int(hours * HOUR / unit) // 2))
        duration = unit * draw(st.integers(1, int(6 * HOUR / unit)))
        slack = unit * draw(st.integers(0, int(20 * HOUR / unit)))
        only = draw(st.sampled_from([(), (), ("AA",), names[::-1]]))
        jobs.append(
            LogJob(
                id=f"j{n}",
                submitted_s=submitted,
                duration_s=duration,
                deadline_s=submitted + duration + slack,
                slots=draw(st.integers(1, 3)),
                power_w=draw(st.sampled_from([100.0, 1000.0])),
                regions=only,
                pausable=draw(st.sampled_from([None, True, True, False])),
            )
        )
    jobs.sort(key=lambda job: job.submitted_s)
    policy: Policy = draw(st.sampled_from(["run-now", "window", "segments", "fleet", "oracle"]))
    rules = Rules(
        policy=policy,
        capacity=draw(st.sampled_from([3, 3, 4, 6])) if capacity else None,
        refresh_s=draw(st.sampled_from([HOUR, 1800.0, 5 * HOUR])),
        pausing=draw(st.sampled_from(pausings)),
    )
    knowledge = Knowledge(names, START, HOUR, actual, tuple(issued))
    return Case(tuple(jobs), knowledge, rules)


cases = st.one_of(*(_cases(capacity=c, forecast=f) for c in (True, False) for f in (True, False)))
alone = _cases(capacity=False, forecast=False, pausings=(FREE,))


def _minutes(case: Case) -> np.ndarray:
    """Grams of a kilowatt in each minute: regions x minutes."""
    return np.repeat(case.knowledge.actual, 60, axis=1) / 60.0


def _allowed(case: Case, job: LogJob) -> list[int]:
    return [case.knowledge.regions.index(name) for name in job.regions or case.knowledge.regions]


def _range(case: Case, job: LogJob) -> tuple[int, int, int]:
    """Submission, deadline and length in minutes."""
    low = round((job.submitted_s - START) / MINUTE)
    high = min(round((job.deadline_s - START) / MINUTE), 60 * case.knowledge.actual.shape[1])
    return low, high, round(job.duration_s / MINUTE)


def _run_now(case: Case, job: LogJob) -> float:
    low, _, length = _range(case, job)
    home = _allowed(case, job)[0]
    return job.power_w / 1000 * float(_minutes(case)[home, low : low + length].sum())


def _window(case: Case, job: LogJob) -> float:
    """The best of all starts at whole minutes."""
    low, high, length = _range(case, job)
    areas = np.cumsum(np.pad(_minutes(case), ((0, 0), (1, 0))), axis=1)
    windows = areas[:, low + length : high + 1] - areas[:, low : high + 1 - length]
    return job.power_w / 1000 * float(windows[_allowed(case, job)].min())


def _moments(case: Case, job: LogJob) -> float:
    """The cheapest minutes of the best region."""
    low, high, length = _range(case, job)
    cheapest = np.sort(_minutes(case)[_allowed(case, job), low:high], axis=1)[:, :length]
    return job.power_w / 1000 * float(cheapest.sum(axis=1).min())


def _by_job(outcome: Outcome) -> dict[str, list[Segment]]:
    found: dict[str, list[Segment]] = {}
    for row in outcome.schedule:
        found.setdefault(row.job_id, []).append(row)
    return found


@few
@given(alone)
def test_with_all_known_and_no_limit_each_policy_has_its_closed_form(case: Case) -> None:
    kept = {row.job_id for row in case.run().schedule}
    jobs = [job for job in case.jobs if job.id in kept]
    run_now = sum(_run_now(case, job) for job in jobs)
    window = sum(_window(case, job) for job in jobs)
    pausing = sum(_window(case, j) if j.pausable is False else _moments(case, j) for j in jobs)
    fleet = sum(_moments(case, j) if j.pausable else _window(case, j) for j in jobs)
    closed = {"run-now": run_now, "window": window, "segments": pausing, "fleet": fleet}
    for policy, grams in (closed | {"oracle": fleet}).items():
        outcome = case.run(policy=policy)
        assert outcome.jobs == len(jobs)
        assert outcome.emissions_g == pytest.approx(grams, rel=1e-9, abs=1e-6)
        assert outcome.run_now_g == pytest.approx(run_now, rel=1e-9, abs=1e-6)
        assert outcome.oracle_g == pytest.approx(fleet, rel=1e-9, abs=1e-6)
        bound = window if policy == "run-now" else grams
        assert outcome.lower_bound_g == pytest.approx(bound, rel=1e-6, abs=1e-6)
        assert outcome.missed_deadlines == 0


@few
@given(cases)
def test_every_job_runs_all_its_time_where_and_when_it_may(case: Case) -> None:
    outcome = case.run()
    rows = _by_job(outcome)
    assert outcome.jobs == len(rows)
    assert outcome.jobs + sum(outcome.refused.values()) == len(case.jobs)
    for job in case.jobs:
        spans = rows.get(job.id, [])
        if not spans:
            continue
        flat = [t for s in spans for t in (s.start_s, s.end_s)]
        assert flat == sorted(flat)
        assert flat[0] >= job.submitted_s - NEAR
        assert flat[-1] <= case.knowledge.end_s + NEAR
        assert {s.region for s in spans} <= set(job.regions or case.knowledge.regions)
        assert len({s.region for s in spans}) == 1, "one that has started stays"
        assert {s.slots for s in spans} == {job.slots}
        ran, resumes = sum(s.end_s - s.start_s for s in spans), len(spans) - 1
        assert ran >= job.duration_s + case.rules.pausing.resume_s * resumes - NEAR
        assert len(spans) <= (case.rules.pausing.max_segments or len(spans))
        least = min(case.rules.pausing.min_run_s, job.duration_s)
        assert all(s.end_s - s.start_s >= least - NEAR for s in spans)
        if job.pausable is False or case.rules.policy in ("run-now", "window"):
            assert resumes == 0
        if resumes == 0 and not case.knowledge.issued and case.rules.capacity is None:
            assert ran == pytest.approx(job.duration_s, abs=NEAR)


@few
@given(cases)
def test_the_figures_are_those_of_the_schedule_on_the_trace(case: Case) -> None:
    outcome = case.run()
    rows, minutes = _by_job(outcome), _minutes(case)
    areas = np.cumsum(np.pad(minutes, ((0, 0), (1, 0))), axis=1)
    at = START + MINUTE * np.arange(areas.shape[1])
    emitted = run_now = delay = 0.0
    missed = 0
    for job in case.jobs:
        if job.id not in rows:
            continue
        run_now += _run_now(case, job)
        for s in rows[job.id]:
            row = areas[case.knowledge.regions.index(s.region)]
            grams = job.power_w / 1000 * float(np.diff(np.interp([s.start_s, s.end_s], at, row))[0])
            assert s.grams == pytest.approx(grams, rel=1e-6, abs=1e-5)
            emitted += grams
        end = rows[job.id][-1].end_s
        delay += end - job.submitted_s - job.duration_s
        missed += end > job.deadline_s + NEAR
    assert outcome.emissions_g == pytest.approx(emitted, rel=1e-6, abs=1e-4)
    assert outcome.run_now_g == pytest.approx(run_now, rel=1e-9, abs=1e-6)
    assert outcome.missed_deadlines == missed
    if rows:
        assert outcome.mean_delay_s == pytest.approx(delay / len(rows), abs=NEAR)
    for region in case.knowledge.regions:
        here = [s for s in outcome.schedule if s.region == region]
        for moment in {s.start_s for s in here}:
            held = sum(s.slots for s in here if s.start_s <= moment < s.end_s - NEAR)
            assert held <= (case.rules.capacity or held)
    assert outcome.peak_slots == max(
        (
            sum(s.slots for s in outcome.schedule if s.start_s <= moment < s.end_s)
            for moment in {s.start_s for s in outcome.schedule}
        ),
        default=0,
    )


@few
@given(cases)
def test_percentages_are_those_of_the_totals_and_always_the_same(case: Case) -> None:
    o = case.run()
    assert replace(case.run(), planning_s=o.planning_s) == o
    saved = o.run_now_g - o.emissions_g
    assert o.lower_bound_g <= o.emissions_g + 1e-9
    reasons = o.as_dict()["null_reasons"]
    assert {name for name, value in o.as_dict().items() if value is None} == reasons.keys()
    assert all(reasons.values())
    if o.run_now_g > 0 and not o.made.unplaced:
        assert o.saved_percent == pytest.approx(100 * saved / o.run_now_g)
    else:
        assert o.saved_percent is None
    if o.run_now_g > 0 and not o.oracle.unplaced:
        oracle = o.run_now_g - o.oracle_g
        assert o.oracle_saved_percent == pytest.approx(100 * oracle / o.run_now_g)
        if o.captured_percent is not None:
            assert o.made.missed == o.oracle.missed
            assert o.captured_percent == pytest.approx(100 * saved / oracle)
    else:
        assert o.oracle_saved_percent is o.captured_percent is None
    if o.lower_bound_g > 0:
        over = o.emissions_g - o.lower_bound_g
        assert o.gap_percent == pytest.approx(100 * over / o.lower_bound_g)
    else:
        assert o.gap_percent is None


@few
@given(cases)
def test_the_oracle_and_running_now_are_of_the_log_whatever_the_policy(case: Case) -> None:
    made = [case.run(policy=policy) for policy in POLICIES]
    assert len({(o.run_now_g, o.oracle, o.first_come) for o in made}) == 1
    assert made[POLICIES.index("oracle")].made == made[0].oracle


@few
@given(cases)
def test_no_schedule_is_below_the_bound_even_where_nothing_caps_it(case: Case) -> None:
    outcome, knowledge = case.run(), case.knowledge
    rows, jobs = _by_job(outcome), {job.id: job for job in case.jobs}
    tasks = [
        Task(
            release_s=jobs[name].submitted_s,
            deadline_s=max(jobs[name].deadline_s, spans[-1].end_s),
            duration_s=jobs[name].duration_s,
            slots=jobs[name].slots,
            kw=(jobs[name].power_w / 1000,),
            regions=tuple(_allowed(case, jobs[name])),
            pausing=FREE if len(spans) > 1 else None,
        )
        for name, spans in rows.items()
    ]
    slots = None
    if case.rules.capacity is not None:
        slots = np.full(knowledge.actual.shape, float(case.rules.capacity))
    bound = lower_bound(
        tasks, START, HOUR, knowledge.actual, slots, known_cost=np.inf, iterations=60
    )
    assert bound <= outcome.emissions_g * (1 + 1e-7) + 1e-6


@few
@given(_cases(capacity=False, pausings=(FREE,)))
def test_the_oracle_is_never_worse_under_the_same_rules(case: Case) -> None:
    for policy in ("window", "fleet"):
        believed = case.run(policy=policy)
        assert believed.oracle_g <= believed.emissions_g * (1 + 1e-9) + 1e-6


@few
@given(_cases(), st.integers(1, 10))
def test_a_later_forecast_changes_no_earlier_decision(case: Case, count: int) -> None:
    issued = case.knowledge.issued
    if len(issued) <= count or case.rules.policy == "oracle":
        return
    less = replace(case, knowledge=replace(case.knowledge, issued=issued[:count]))
    both = _by_job(case.run()), _by_job(less.run())
    moment = issued[count][0]
    for name in both[0].keys() & both[1].keys():
        first, second = (
            [(s.region, s.start_s) for s in rows[name] if s.start_s < moment - NEAR]
            for rows in both
        )
        assert first == second
