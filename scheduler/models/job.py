"""A job and what is decided about it: spec, plan, state, attempts, events."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from providers.base import JOULES_PER_KWH, PauseSignal, Triple
from providers.series import Signal
from scheduler.errors import UsageError
from scheduler.origin import Origin
from scheduler.quantities import LEAST, LONGEST_S, MOST_GB, MOST_KWH, MOST_W

Basis = Literal["operational", "total"]
# The source of a duration that the user gave; that of a learned one is a sentence.
GIVEN = "given"
# A job of unknown length is taken to need forecasts for so long (s).
UNKNOWN_S = 3600.0
# Nothing further away than this is looked at, and no start later than this after a release: what
# is known of a time so far ahead is a climatology, which repeats every year. The latest safe start
# keeps to the deadline all the same.
LOOKED_AHEAD = timedelta(days=366)
# The largest count that is accepted. The store's integers have 32 bits (PostgreSQL's `integer`),
# and so have the planner's, which adds up what jobs hold: this leaves room for twenty such jobs at
# once. The largest machine on the TOP500 list has 11 million cores (El Capitan, June 2025).
MOST = 100_000_000
# No job is of this year or later. It leaves room for the longest wait and the longest run
# (LONGEST_S each), and every calendar can add another century to it.
END_YEAR = 2400


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: write e.g. {moment}+01:00")
    if not 1970 <= moment.year < END_YEAR:
        raise ValueError(f"{moment.isoformat()} is out of range for a job: is the year right?")
    return moment


AwareDatetime = Annotated[datetime, AfterValidator(_aware)]
# Figures of a job, wherever they come from: the command line, a file, the database, past runs.
Span = Annotated[float, Field(ge=0, le=LONGEST_S)]
Duration = Annotated[float, Field(gt=0, le=LONGEST_S)]
Watts = Annotated[float, Field(ge=LEAST, le=MOST_W)]


class JobState(StrEnum):
    """Where a job stands; ``scheduler.store`` holds the table of legal moves."""

    QUEUED = "queued"
    PLANNED = "planned"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        """Whether no further move is possible but a retry."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST}

    @property
    def active(self) -> bool:
        """Whether its processes run, or are about to."""
        return self in {JobState.STARTING, JobState.RUNNING}


# Jobs with an attempt that may not have ended.
HOLDING = frozenset({JobState.STARTING, JobState.RUNNING, JobState.PAUSED})


@dataclass(frozen=True, slots=True)
class Power:
    """Mean power of the job over its run; ``watts`` None where nothing is known."""

    watts: Triple | None
    source: str
    detail: str = ""


class Pausable(BaseModel):
    """How a job may be paused.

    ``signal`` is ``checkpoint`` (TERM; it exits 75 and is run again) or ``stop`` (SIGSTOP; what
    it holds stays held). Each resume costs ``resume_s``; no segment is shorter than
    ``min_run_s``; None: as many segments as pay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    resume_s: Span = 0.0
    min_run_s: Span = 0.0
    max_segments: Annotated[int, Field(ge=1)] | None = None
    signal: PauseSignal = "checkpoint"


class Objective(BaseModel):
    """What a plan weighs beside grams: shares of the decision, and bounds on it.

    ``money`` and ``delay`` are shares between 0 and 1; grams have the rest. ``max_cost`` is in
    the config's currency. ``cautious``: a delay must pay even on the forecast's upper bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    money: Annotated[float, Field(ge=0, le=1)] = 0.0
    delay: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    cautious: bool = False

    @property
    def needs_prices(self) -> bool:
        """Whether only regions with a price can be compared."""
        return self.money > 0 or self.max_cost is not None


class JobSpec(BaseModel):
    """What the user asked for, with every default filled in and every time absolute.

    ``release`` is the later of submission and earliest start; ``deadline`` bounds the end,
    ``start_by`` the start. ``regions`` empty means every configured region that can run it.
    ``duration_source`` is ``given``, or the sentence of how it was learned; ``learned_power`` is
    what past runs of the group drew, for a job that declares neither power nor energy.
    ``recurrence`` is the id of the series that it belongs to; ``after`` holds the ids of the
    jobs that must have succeeded before it starts. ``data_gb`` must be brought to any region but
    home; of two jobs that cannot both have their slots the one of higher ``priority`` goes first.
    ``origin`` says who may start it; None: submitted before that was noted, by whoever has the
    database. ``config`` is the digest of the configuration that it was submitted under, which it
    is settled by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    argv: tuple[str, ...]
    cwd: str
    name: str
    user: str
    group: str | None = None
    project: str | None = None
    duration_s: Duration | None
    duration_source: str = GIVEN
    submitted_at: AwareDatetime
    release: AwareDatetime
    deadline: AwareDatetime | None = None
    start_by: AwareDatetime | None = None
    deadline_assumed: bool = False
    min_saving_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    regions: tuple[str, ...] = ()
    home: str
    power_w: Watts | None = None
    energy_kwh: Annotated[float, Field(ge=LEAST, le=MOST_KWH)] | None = None
    learned_power: Power | None = None
    gpus: Annotated[int, Field(ge=0, le=MOST)] = 0
    slots: Annotated[int, Field(ge=1, le=MOST)] = 1
    unit: str | None = None
    unit_rationale: str | None = None
    time_limit_s: Duration | None = None
    retries: Annotated[int, Field(ge=0)] = 0
    recurrence: str | None = None
    after: tuple[str, ...] = ()
    pausable: Pausable | None = None
    objective: Objective = Objective()
    data_gb: Annotated[float, Field(ge=0, le=MOST_GB)] = 0.0
    priority: int = 0
    origin: Origin | None = None
    config: str | None = None

    @model_validator(mode="after")
    def _one_figure(self) -> JobSpec:
        if self.power_w is not None and self.energy_kwh is not None:
            raise ValueError("give --power or --energy, not both")
        if self.energy_kwh is not None and self.duration_s is not None:
            watts = self.energy_kwh * JOULES_PER_KWH / self.duration_s
            if watts > MOST_W:
                raise ValueError(
                    f"--energy over --duration is {watts:.3g} W, more than any machine draws: "
                    "write the energy of one run, e.g. 1.2kWh or 800Wh"
                )
        learned = None if self.learned_power is None else self.learned_power.watts
        if learned is not None and not 0 <= learned.low <= learned.high <= MOST_W:
            raise ValueError("the power learned from past runs is out of range for a machine")
        return self

    @property
    def stops(self) -> bool:
        """Whether a pause only stops it: what it holds stays held."""
        return self.pausable is not None and self.pausable.signal == "stop"

    @property
    def latest_start(self) -> datetime | None:
        """The latest safe start: needs no provider. None for a job without duration."""
        bounds = []
        if self.deadline is not None and self.duration_s is not None:
            bounds.append(self.deadline - timedelta(seconds=self.duration_s))
        if self.start_by is not None:
            bounds.append(self.start_by)
        return min(bounds, default=None)

    def looked_until(self, now: datetime) -> datetime:
        """The end of the last run that a plan made at ``now`` looks at."""
        soonest = max(self.release, now)
        latest = max(self.latest_start or soonest, soonest)
        length = timedelta(seconds=self.duration_s or UNKNOWN_S)
        return min(latest, soonest + LOOKED_AHEAD) + length


@dataclass(frozen=True, slots=True)
class Window:
    """A run in one region; ``grams`` None where the intensity or power is unknown.

    ``g_per_kwh`` is the mean intensity over the run (without PUE); ``end`` is None for a job
    whose duration nobody gave. ``segments`` are its parts where it pauses in between. ``cost``
    is in the config's currency, None where no price is known. ``told`` is the basis of its
    intensity in words: signal, factors, flow. ``calibrated``: the band of ``g_per_kwh`` is set so
    that 80 % of the actuals lie inside.
    """

    region: str
    start: datetime
    end: datetime | None
    grams: Triple | None
    g_per_kwh: Triple | None
    dispatchable: bool = True
    segments: tuple[tuple[datetime, datetime], ...] = ()
    cost: float | None = None
    told: str = ""
    calibrated: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be added up, compared or stored: :class:`UsageError`."""
        for what, found in (("carbon", self.grams), ("intensity", self.g_per_kwh)):
            if found is not None and not (math.isfinite(found.low) and math.isfinite(found.high)):
                raise UsageError(
                    f"the {what} of this job in {self.region} is not a finite number: give a "
                    "smaller --power, --energy or --data, and look at pue and hardware in the "
                    "config"
                )
        if self.cost is not None and not math.isfinite(self.cost):
            raise UsageError(
                f"the cost of this job in {self.region} is not a finite number: look at the "
                "region's price in the config"
            )

    @property
    def spans(self) -> tuple[tuple[datetime, datetime | None], ...]:
        """Its parts, the whole where it does not pause."""
        return self.segments or ((self.start, self.end),)

    def other_accounting(self, other: Window) -> str:
        """Why the grams of another window are not to be subtracted from these; empty: they are."""
        if not self.told or not other.told or self.told == other.told:
            return ""
        return (
            f"the intensity of {other.region} ({other.told}) is of another accounting method than "
            f"that of {self.region} ({self.told}): they are never subtracted from each other"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision: where and when, what it is expected to emit, and why.

    ``window`` is the whole run; of a job that has paused, ``goes_on_at`` is where what is left
    of it begins. ``run_now`` is the start at release in the home region. ``nulls`` names each
    unknown field with its reason. ``duration_source`` is that of the spec. ``forecast_ids`` are
    the stored forecasts of all regions that it weighed, ``forecast_id`` that of its window.
    """

    made_at: datetime
    window: Window
    run_now: Window
    basis: Basis
    signal: Signal | None
    power: Power
    forecast_source: str | None
    forecast_issued_at: datetime | None
    latest_safe_start: datetime | None
    reason: str
    alternatives: tuple[Window, ...] = ()
    nulls: dict[str, str] = field(default_factory=dict)
    forecast_ids: tuple[int, ...] = ()
    duration_source: str = GIVEN
    goes_on_at: datetime | None = None
    currency: str = ""
    forecast_id: int | None = None

    @property
    def start(self) -> datetime:
        """When it next starts."""
        return self.goes_on_at or self.window.start

    @property
    def ahead(self) -> tuple[tuple[datetime, datetime | None], ...]:
        """The parts of the window from :attr:`start` on."""
        return tuple((a, b) for a, b in self.window.spans if a >= self.start)

    @property
    def last_moment(self) -> datetime | None:
        """The latest time at which it may still run; None for a job of unknown duration."""
        if self.window.end is None or self.latest_safe_start is None:
            return self.window.end
        runs = [end - begin for begin, end in self.ahead if end is not None]
        return max(self.window.end, self.latest_safe_start + sum(runs, timedelta()))

    @property
    def duration_s(self) -> float | None:
        """How long the job was taken to run; None where nobody knew."""
        if self.run_now.end is None:
            return None
        return (self.run_now.end - self.run_now.start).total_seconds()

    @property
    def saving_percent(self) -> float | None:
        """100 * (run now - expected) / run now on the middle values; may be negative."""
        return self.saving_of(self.window)

    def saving_of(self, chosen: Window) -> float | None:
        """The same of another window; None also where its intensity is of another method."""
        baseline, grams = self.run_now.grams, chosen.grams
        if baseline is None or grams is None or baseline.value <= 0:
            return None
        if self.run_now.other_accounting(chosen):
            return None
        return 100.0 * (baseline.value - grams.value) / baseline.value


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """How near the plans of all waiting jobs are to the best possible.

    ``cost_g`` and ``lower_bound_g`` are grams, with what else is weighed in grams as well. Where no
    job is in another's way and each has the best plan there is (``together`` false), both are
    equal. No bound is sought for a very long queue or for a part of one, and where the power of a
    job is not known neither is given. ``late`` jobs end after their deadline.
    """

    made_at: datetime
    jobs: int
    together: bool
    cost_g: float | None
    lower_bound_g: float | None
    late: int

    @property
    def gap_percent(self) -> float | None:
        """100 * (cost - bound) / bound; None where the bound is zero or not known."""
        if self.cost_g is None or self.lower_bound_g is None or self.lower_bound_g <= 0:
            return None
        return 100.0 * (self.cost_g - self.lower_bound_g) / self.lower_bound_g


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store holds it.

    ``waited_s`` is for how long, between its first start and its end, it did not run. Since
    ``pruned_at`` its run folder is gone.
    """

    id: str
    spec: JobSpec
    state: JobState
    attempt: int
    region: str | None
    plan: Plan | None
    started_at: datetime | None
    ended_at: datetime | None
    cancel_requested: bool
    reason: str
    waited_s: float = 0.0
    pruned_at: datetime | None = None

    @property
    def holds(self) -> bool:
        """Whether it holds slots: a job that is only stopped keeps them."""
        return self.state.active or (self.state is JobState.PAUSED and self.spec.stops)

    @property
    def ran_s(self) -> float | None:
        """How long it ran over all its starts; None before its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() - self.waited_s

    @property
    def deadline_met(self) -> bool | None:
        """Whether it succeeded by its deadline; None: :attr:`no_verdict` says why."""
        if self.no_verdict or self.spec.deadline is None or self.ended_at is None:
            return None
        return self.ended_at <= self.spec.deadline

    @property
    def no_verdict(self) -> str:
        """Why its deadline is neither met nor missed; empty for a success that had one."""
        if self.spec.deadline is None:
            return "no deadline was given"
        if not self.state.ended:
            return "it has not ended"
        if self.state is JobState.SUCCEEDED:
            return ""
        begun = "" if self.attempt else " before it began"
        return f"it ended as {self.state}{begun}: only a success meets a deadline"


@dataclass(frozen=True, slots=True)
class Damaged:
    """A job or series whose row cannot be read: ``reason`` says why, in a sentence.

    ``stored`` is the state as it is stored, and may be any text.
    """

    id: str
    stored: str
    reason: str
    cancel_requested: bool = False
    plan: None = None
    ended_at: None = None

    @property
    def state(self) -> JobState:
        """Where it stands; a state that there is not is lost."""
        known = self.stored in {str(state) for state in JobState}
        return JobState(self.stored) if known else JobState.LOST


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A job that repeats: ``template`` is run at each ``every`` (cron, in the IANA zone ``tz``).

    Each occurrence may end ``within_s`` after it. ``next`` is the first that is no job yet.
    """

    id: str
    template: JobSpec
    every: str
    tz: str
    within_s: float
    next: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a job; ``host`` is the machine whose lowtide started it."""

    job_id: str
    number: int
    region: str
    run_dir: str
    token: str
    claimed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    outcome: str | None = None
    gpus: tuple[str, ...] = ()
    host: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's story."""

    job_id: str
    at: datetime
    kind: str
    detail: str
