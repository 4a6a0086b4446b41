"""What a schedule comes to, on the intensity that really was."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from providers.arrays import np
from providers.series import from_unix
from scheduler.planner.bound import lower_bound
from scheduler.planner.task import INSTANT_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from scheduler.planner.task import Placed, Task, World
    from scheduler.simulate.knowledge import Knowledge
    from scheduler.simulate.log import LogJob

SCHEDULE_COLUMNS = ("job_id", "region", "start_utc", "end_utc", "slots", "g")
NO_RESERVE = "only the fleet policy under --capacity keeps slots free for jobs still to come"


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of the schedule."""

    job_id: str
    region: str
    start_s: float
    end_s: float
    slots: int
    grams: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Figures of one schedule; ``unplaced`` jobs fit nowhere in the trace and count nowhere else.

    ``lateness_s`` is the time between deadlines and later ends, all jobs together;
    ``worst_lateness_s`` is that of the latest job; ``delay_s`` is the wait of all jobs together.
    """

    jobs: int
    grams: float
    missed: int
    lateness_s: float
    worst_lateness_s: float
    delay_s: float
    unplaced: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one replay, refused jobs left out; None: there is no such figure.

    ``run_now_g``, ``oracle`` and ``first_come`` are of the log, the trace and the capacity,
    whatever the policy. ``reserve_cost_g`` is what the policy emits more because it keeps slots
    free for jobs still to come; ``more_pausing``: it pauses jobs that the oracle may not pause.
    """

    policy: str
    made: Tally
    run_now_g: float
    oracle: Tally
    first_come: Tally
    lower_bound_g: float
    reserve_cost_g: float | None
    more_pausing: bool
    peak_slots: int
    planning_s: float
    refused: dict[str, int]
    notes: tuple[str, ...]
    schedule: tuple[Segment, ...]

    @property
    def jobs(self) -> int:
        """How many ran."""
        return self.made.jobs

    @property
    def emissions_g(self) -> float:
        """What the jobs that ran emitted."""
        return self.made.grams

    @property
    def oracle_g(self) -> float:
        """What they emit in the best plan found by one who knows all jobs and hours beforehand."""
        return self.oracle.grams

    @property
    def missed_deadlines(self) -> int:
        """How many ended after their deadline."""
        return self.made.missed

    @property
    def mean_delay_s(self) -> float | None:
        """How much later than at once a job ended."""
        return self.made.delay_s / self.jobs if self.jobs else None

    @property
    def saved_percent(self) -> float | None:
        """Against a start at submission in the home region; may be negative."""
        return self._saved(self.made)

    @property
    def oracle_saved_percent(self) -> float | None:
        """The same for one who knew every job and every hour beforehand."""
        return self._saved(self.oracle)

    def _saved(self, made: Tally) -> float | None:
        if made.unplaced:
            return None
        return _percent(self.run_now_g - made.grams, self.run_now_g)

    @property
    def captured_percent(self) -> float | None:
        """What was saved of what the oracle saves, where both miss as many deadlines."""
        if self._incomparable():
            return None
        return _percent(self.run_now_g - self.emissions_g, self.run_now_g - self.oracle_g)

    def _incomparable(self) -> str:
        """Why the policy's saving is no share of the oracle's; empty where it is one."""
        made, oracle = self.made, self.oracle
        if made.unplaced or oracle.unplaced:
            return _no_room(made.unplaced or oracle.unplaced)
        if made.missed != oracle.missed:
            return (
                f"the policy misses {made.missed} deadlines and the oracle {oracle.missed}: only "
                "schedules that miss as many compare"
            )
        if self.more_pausing:
            return "segments pauses jobs that the log does not call pausable, the oracle only those"
        if self.run_now_g - oracle.grams <= INSTANT_S * self.run_now_g:
            return "the oracle saves nothing against a start of each job at its submission"
        return ""

    @property
    def gap_percent(self) -> float | None:
        """How far above the lower bound it is."""
        return _percent(self.emissions_g - self.lower_bound_g, self.lower_bound_g)

    @property
    def reserve_cost_percent(self) -> float | None:
        """How many points of ``saved_percent`` the reserve takes."""
        return (
            None if self.reserve_cost_g is None else _percent(self.reserve_cost_g, self.run_now_g)
        )

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        figures = {
            "jobs": self.jobs,
            "policy": self.policy,
            "emissions_g": self.emissions_g,
            "run_now_g": self.run_now_g,
            "saved_percent": self.saved_percent,
            "oracle_g": self.oracle_g,
            "oracle_saved_percent": self.oracle_saved_percent,
            "captured_percent": self.captured_percent,
            "lower_bound_g": self.lower_bound_g,
            "gap_percent": self.gap_percent,
            "missed_deadlines": self.missed_deadlines,
            "lateness_s": self.made.lateness_s,
            "worst_lateness_s": self.made.worst_lateness_s,
            "run_now_missed_deadlines": self.first_come.missed,
            "oracle_missed_deadlines": self.oracle.missed,
            "reserve_cost_percent": self.reserve_cost_percent,
            "mean_delay_s": self.mean_delay_s,
            "peak_slots": self.peak_slots,
            "planning_seconds": self.planning_s,
            "refused": self.refused,
            "notes": list(self.notes),
        }
        return figures | {"null_reasons": self._reasons(figures)}

    def _reasons(self, figures: dict[str, Any]) -> dict[str, str]:
        nothing = "running at once emits nothing"
        reasons = {
            "saved_percent": _no_room(self.made.unplaced) or nothing,
            "oracle_saved_percent": _no_room(self.oracle.unplaced) or nothing,
            "captured_percent": self._incomparable(),
            "gap_percent": "the lower bound is 0 g",
            "reserve_cost_percent": NO_RESERVE if self.reserve_cost_g is None else nothing,
            "mean_delay_s": "no job ran",
        }
        return {name: why for name, why in reasons.items() if figures[name] is None}

    def write(self, out: TextIO) -> None:
        """The schedule as CSV, a row a segment."""
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(SCHEDULE_COLUMNS)
        for row in self.schedule:
            writer.writerow(
                (row.job_id, row.region, _iso(row.start_s), _iso(row.end_s), row.slots, row.grams)
            )


def tally(tasks: Sequence[Task], placed: Sequence[Placed | None], world: World) -> Tally:
    """Count a schedule on the actual intensity."""
    pairs = [(t, p) for t, p in zip(tasks, placed, strict=True) if p is not None]
    late = [late_s for t, p in pairs if (late_s := p.end_s - t.deadline_s) > INSTANT_S]
    return Tally(
        jobs=len(pairs),
        grams=sum(world.grams(p.region, t.kw[0], p.spans) for t, p in pairs),
        missed=len(late),
        lateness_s=sum(late),
        worst_lateness_s=max(late, default=0.0),
        delay_s=sum(p.end_s - t.release_s - t.duration_s for t, p in pairs),
        unplaced=len(tasks) - len(pairs),
    )


def rows_of(
    jobs: Sequence[LogJob],
    tasks: Sequence[Task],
    placed: Sequence[Placed | None],
    knowledge: Knowledge,
    world: World,
) -> tuple[Segment, ...]:
    """The schedule, a row a segment."""
    return tuple(
        Segment(
            job.id,
            knowledge.regions[place.region],
            a,
            b,
            job.slots,
            world.grams(place.region, task.kw[0], ((a, b),)),
        )
        for job, task, place in zip(jobs, tasks, placed, strict=True)
        if place is not None
        for a, b in place.spans
    )


def bound_of(
    tasks: Sequence[Task],
    placed: Sequence[Placed | None],
    knowledge: Knowledge,
    capacity: int | None,
    *,
    known_g: float,
    iterations: int,
) -> float:
    """No plan like this one emits less: a job that is late in it may be so there too."""
    bounded = [
        replace(task, deadline_s=max(task.deadline_s, place.end_s))
        for task, place in zip(tasks, placed, strict=True)
        if place is not None
    ]
    slots = None if capacity is None else np.full(knowledge.actual.shape, float(capacity))
    bound = lower_bound(
        bounded,
        knowledge.start_s,
        knowledge.step_s,
        knowledge.actual,
        slots,
        known_cost=known_g,
        iterations=iterations,
    )
    return min(bound, known_g)


def peak_of(schedule: Sequence[Segment]) -> int:
    """Slots held at once at most; one that ends makes room for one that starts then."""
    events = sorted(
        [(s.end_s, -s.slots) for s in schedule] + [(s.start_s, s.slots) for s in schedule]
    )
    held = np.cumsum([slots for _, slots in events]) if events else np.zeros(1)
    return int(held.max())


def _no_room(jobs: int) -> str:
    return f"{jobs} jobs have no room before the end of the trace" if jobs else ""


def _percent(part: float, whole: float) -> float | None:
    return 100.0 * part / whole if whole > 0 else None


def _iso(seconds: float) -> str:
    """ISO 8601 in UTC, to the microsecond where there is one."""
    moment = from_unix(seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S" + (".%f" if moment.microsecond else "")) + "Z"
