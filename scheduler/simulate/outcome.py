"""What a schedule comes to, on the intensity that really was."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

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
class Outcome:
    """Figures of one replay, refused jobs left out; None: there is no such figure."""

    policy: str
    jobs: int
    emissions_g: float
    run_now_g: float
    oracle_g: float
    lower_bound_g: float
    missed_deadlines: int
    mean_delay_s: float | None
    peak_slots: int
    planning_s: float
    refused: dict[str, int]
    notes: tuple[str, ...]
    schedule: tuple[Segment, ...]

    @property
    def saved_percent(self) -> float | None:
        """Against a start at submission in the home region; may be negative."""
        return _percent(self.run_now_g - self.emissions_g, self.run_now_g)

    @property
    def oracle_saved_percent(self) -> float | None:
        """The same for one who knew every job and every hour beforehand."""
        return _percent(self.run_now_g - self.oracle_g, self.run_now_g)

    @property
    def captured_percent(self) -> float | None:
        """What was saved of what the oracle saves; None where that is nothing."""
        oracle = self.run_now_g - self.oracle_g
        if oracle <= INSTANT_S * self.run_now_g:
            return None
        return _percent(self.run_now_g - self.emissions_g, oracle)

    @property
    def gap_percent(self) -> float | None:
        """How far above the lower bound it is."""
        return _percent(self.emissions_g - self.lower_bound_g, self.lower_bound_g)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
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
            "mean_delay_s": self.mean_delay_s,
            "peak_slots": self.peak_slots,
            "planning_seconds": self.planning_s,
            "refused": self.refused,
            "notes": list(self.notes),
        }

    def write(self, out: TextIO) -> None:
        """The schedule as CSV, a row a segment."""
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(SCHEDULE_COLUMNS)
        for row in self.schedule:
            writer.writerow(
                (row.job_id, row.region, _iso(row.start_s), _iso(row.end_s), row.slots, row.grams)
            )


def settle(
    jobs: Sequence[LogJob],
    tasks: Sequence[Task],
    placed: Sequence[Placed | None],
    oracle: Sequence[Placed | None],
    refused: dict[str, int],
    knowledge: Knowledge,
    world: World,
    *,
    policy: str,
    planning_s: float,
    iterations: int,
) -> Outcome:
    """Count a schedule on the actual intensity; a job that fits nowhere is refused."""
    kept = [i for i, (p, o) in enumerate(zip(placed, oracle, strict=True)) if p and o]
    if len(kept) < len(tasks):
        refused = {**refused, "no_room_before_the_end": len(tasks) - len(kept)}
    run_now, emitted, best = 0.0, 0.0, 0.0
    missed, delay_s = 0, 0.0
    schedule: list[Segment] = []
    bounded: list[Task] = []
    for i in kept:
        job, task, place, ideal = jobs[i], tasks[i], placed[i], oracle[i]
        assert place is not None
        assert ideal is not None
        kw, home = task.kw[0], 0 if task.regions is None else task.regions[0]
        run_now += world.grams(home, kw, ((task.release_s, task.release_s + task.duration_s),))
        best += world.grams(ideal.region, kw, ideal.spans)
        for a, b in place.spans:
            grams = world.grams(place.region, kw, ((a, b),))
            emitted += grams
            region = knowledge.regions[place.region]
            schedule.append(Segment(job.id, region, a, b, job.slots, grams))
        missed += place.end_s > task.deadline_s + INSTANT_S
        delay_s += place.end_s - task.release_s - task.duration_s
        # The bound is one on plans like this one: a job that is late may be so there too.
        bounded.append(replace(task, deadline_s=max(task.deadline_s, place.end_s)))
    bound = _bound(bounded, knowledge, world, min(emitted, best), iterations)
    return Outcome(
        policy=policy,
        jobs=len(kept),
        emissions_g=emitted,
        run_now_g=run_now,
        oracle_g=min(best, emitted) if policy != "oracle" else emitted,
        lower_bound_g=min(bound, emitted),
        missed_deadlines=missed,
        mean_delay_s=delay_s / len(kept) if kept else None,
        peak_slots=_peak(schedule),
        planning_s=planning_s,
        refused=refused,
        notes=knowledge.notes,
        schedule=tuple(schedule),
    )


def _bound(
    tasks: Sequence[Task], knowledge: Knowledge, world: World, known_g: float, iterations: int
) -> float:
    slots = None
    if world.slots is not None:
        slots = np.full(knowledge.actual.shape, float(world.slots[0, 0]))
    return lower_bound(
        tasks,
        knowledge.start_s,
        knowledge.step_s,
        knowledge.actual,
        slots,
        known_cost=known_g,
        iterations=iterations,
    )


def _peak(schedule: Sequence[Segment]) -> int:
    """Slots held at once at most; one that ends makes room for one that starts then."""
    events = sorted(
        [(s.end_s, -s.slots) for s in schedule] + [(s.start_s, s.slots) for s in schedule]
    )
    held = np.cumsum([slots for _, slots in events]) if events else np.zeros(1)
    return int(held.max())


def _percent(part: float, whole: float) -> float | None:
    return 100.0 * part / whole if whole > 0 else None


def _iso(seconds: float) -> str:
    """ISO 8601 in UTC, to the microsecond where there is one."""
    moment = from_unix(seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S" + (".%f" if moment.microsecond else "")) + "Z"
