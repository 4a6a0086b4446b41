"""Laws of the store: what goes in comes out, and only legal moves ever happen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from providers.base import Triple
from scheduler.models import Attempt, JobSpec, JobState, Plan, Power, Window
from scheduler.store import LEGAL_MOVES, Store

EmptyStore = Callable[[], AbstractContextManager[Store]]
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
name = text.filter(bool)
positive = st.floats(1e-3, 1e8, allow_nan=False)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda m: m.replace(tzinfo=UTC)
)
triples = st.tuples(*(st.floats(0, 1e6),) * 3).map(lambda t: Triple(*sorted(t)))
specs = st.builds(
    JobSpec,
    argv=st.lists(text, min_size=1, max_size=4).map(tuple),
    cwd=name,
    name=name,
    user=name,
    group=st.none() | text,
    project=st.none() | text,
    duration_s=st.none() | positive,
    submitted_at=moments,
    release=moments,
    deadline=st.none() | moments,
    start_by=st.none() | moments,
    deadline_assumed=st.booleans(),
    min_saving_percent=st.floats(0, 100),
    regions=st.lists(name, max_size=3).map(tuple),
    home=name,
    power_w=st.none() | positive,
    energy_kwh=st.none(),
    gpus=st.integers(0, 8),
    slots=st.integers(1, 64),
    unit=st.none() | text,
    time_limit_s=st.none() | positive,
    retries=st.integers(0, 5),
)
windows = st.builds(
    Window, name, moments, st.none() | moments, st.none() | triples, st.none() | triples
)
plans = st.builds(
    Plan,
    made_at=moments,
    window=windows,
    run_now=windows,
    basis=st.sampled_from(["operational", "total"]),
    signal=st.sampled_from([None, "average", "marginal"]),
    power=st.builds(Power, st.none() | triples, text, text),
    forecast_source=st.none() | text,
    forecast_issued_at=st.none() | moments,
    latest_safe_start=st.none() | moments,
    reason=text,
    alternatives=st.lists(windows, max_size=2).map(tuple),
    nulls=st.dictionaries(name, text, max_size=2),
    forecast_ids=st.lists(st.integers(1, 99), max_size=2).map(tuple),
    goes_on_at=st.none() | moments,
    currency=text,
)


@settings(deadline=None)
@given(spec=specs, plan=plans)
def test_a_job_and_its_plan_come_back_as_they_went_in(
    empty_store: EmptyStore, spec: JobSpec, plan: Plan
) -> None:
    with empty_store() as store:
        store.jobs.add("j", spec, NOW)
        assert store.jobs.get("j").spec == spec
        assert store.jobs.plan(store.jobs.get("j"), plan, NOW)
        assert store.jobs.get("j").plan == plan


class Moves(RuleBasedStateMachine):
    """Random moves, claims and plans against a model of one job."""

    def __init__(self, empty_store: EmptyStore) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.store = self.stack.enter_context(empty_store())
        spec: dict[str, Any] = {
            "argv": ("true",), "cwd": "/", "name": "n", "user": "u", "duration_s": 60.0,
            "submitted_at": NOW, "release": NOW, "home": "local",
        }  # fmt: skip
        self.store.jobs.add("j", JobSpec(**spec), NOW)
        self.state = JobState.QUEUED
        self.events = 1
        self.attempts = 0

    @rule(before=st.sampled_from(JobState), after=st.sampled_from(JobState))
    def move(self, before: JobState, after: JobState) -> None:
        try:
            moved = self.store.jobs.transition("j", before, after, NOW, "why")
        except ValueError:
            assert (before, after) not in LEGAL_MOVES
            return
        assert (before, after) in LEGAL_MOVES
        assert moved == (self.state is before)
        if moved:
            self.state = after
            self.events += 1

    @rule()
    def claim(self) -> None:
        job = self.store.jobs.get("j")
        attempt = Attempt("j", self.attempts + 1, "local", "/r", "t", NOW + timedelta(seconds=1))
        claimed = self.store.jobs.claim(job, attempt, (), 1)
        # A paused job whose attempt is still open holds the one slot itself.
        paused = self.state is JobState.PAUSED and not self.attempts
        assert claimed == (self.state is JobState.PLANNED or paused)
        if claimed:
            self.state = JobState.STARTING
            self.attempts += 1
            self.events += 1

    @invariant()
    def the_store_agrees(self) -> None:
        assert self.store.jobs.get("j").state is self.state
        assert len(self.store.jobs.events("j")) == self.events
        assert len(self.store.jobs.attempts("j")) == self.attempts

    def teardown(self) -> None:
        self.stack.close()


def test_random_moves_are_those_of_the_table(empty_store: EmptyStore) -> None:
    bounds = settings(deadline=None, max_examples=25, stateful_step_count=20)
    run_state_machine_as_test(lambda: Moves(empty_store), settings=bounds)
