"""What a replay is asked, and which jobs of the log it can run at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from providers.arrays import np
from scheduler.planner.segments import FREE, Pausing
from scheduler.planner.task import INSTANT_S, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.simulate.knowledge import Knowledge
    from scheduler.simulate.log import LogJob

Policy = Literal["run-now", "window", "segments", "fleet", "oracle"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True)
class Rules:
    """``capacity`` in slots of each region, None: without limit; ``refresh_s`` between plans.

    ``replans`` False: what was planned when a job came in stays. ``reserve`` False: no slots are
    kept free for jobs still to come.
    """

    policy: Policy = "fleet"
    capacity: int | None = None
    refresh_s: float = 3600.0
    pausing: Pausing = FREE
    iterations: int = 120
    replans: bool = True
    reserve: bool = True

    @property
    def keeps_free(self) -> bool:
        """Whether slots are kept free for jobs still to come."""
        return self.reserve and self.policy == "fleet" and self.capacity is not None


def admit(
    log: Sequence[LogJob], knowledge: Knowledge, rules: Rules
) -> tuple[list[LogJob], dict[str, int]]:
    """The jobs that can run at all, and how many are refused for which reason."""
    jobs: list[LogJob] = []
    refused: dict[str, int] = {}
    holes = np.isnan(knowledge.actual)
    for job in log:
        why = _refusal(job, _regions(job, knowledge), knowledge, rules, holes)
        if why is None:
            jobs.append(job)
        else:
            refused[why] = refused.get(why, 0) + 1
    return jobs, refused


def tasks_of(jobs: Sequence[LogJob], knowledge: Knowledge, rules: Rules) -> list[Task]:
    """Admitted jobs as the policy of ``rules`` plans them; deadlines are cut at the trace's end."""
    return [
        Task(
            release_s=job.submitted_s,
            deadline_s=min(job.deadline_s, knowledge.end_s),
            duration_s=job.duration_s,
            slots=job.slots,
            kw=(job.power_w / 1000.0,),
            regions=_regions(job, knowledge) or None,
            pausing=_pausing(job, rules),
        )
        for job in jobs
    ]


def _regions(job: LogJob, knowledge: Knowledge) -> tuple[int, ...]:
    return tuple(knowledge.regions.index(n) for n in job.regions if n in knowledge.regions)


def _refusal(
    job: LogJob,
    regions: tuple[int, ...],
    knowledge: Knowledge,
    rules: Rules,
    holes: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> str | None:
    end_s = job.submitted_s + job.duration_s
    if job.regions and not regions:
        return "no_such_region"
    if rules.capacity is not None and job.slots > rules.capacity:
        return "larger_than_a_region"
    if job.submitted_s < knowledge.start_s - INSTANT_S:
        return "before_the_trace"
    if end_s > knowledge.end_s + INSTANT_S:
        return "after_the_trace"
    if end_s > job.deadline_s + INSTANT_S:
        return "deadline_too_near"
    home = regions[0] if regions else 0
    a = int((job.submitted_s - knowledge.start_s) // knowledge.step_s)
    b = int(-((knowledge.start_s - end_s) // knowledge.step_s))
    return "hole_in_the_trace" if holes[home, a:b].any() else None


def _pausing(job: LogJob, rules: Rules) -> Pausing | None:
    """Who may pause: under ``segments`` all but those that the log forbids it, else those that
    the log allows it.
    """
    if rules.policy in ("run-now", "window"):
        return None
    allowed = rules.policy == "segments" if job.pausable is None else job.pausable
    return rules.pausing if allowed else None
