"""Jobs that started after their latest safe start, or succeeded after their deadline, by cause.

Of a late start only one cause is a fault of lowtide: a whole pass has seen the job and left it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scheduler.models import JobState
from support import aftermath

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from scheduler.models import Attempt, Job
    from scheduler.store import Store
    from support.passes import Seen

PASSED_OVER = "a whole pass left it waiting"
IN_PASS = "a daemon was killed within a pass"
DEAD = "a daemon was dead"
BUSY = "the machine was busy: passes lay further apart than their period"
BUSY_START = "the machine was busy: claimed in time, and begun later"
RUNNER = "claimed in time, and its runner was killed on its way"
TOO_NEAR = "it was queued, or might start, less than a period before"
PREDECESSOR = "what it waits for ended too late"
CAPACITY = "no slots were free"
# What a job's story says where it may not have slots that it is due to get.
NO_SLOTS = ("no free slots", "its slots are kept")


@dataclass
class Lateness:
    """By how much (s) jobs were late, by cause; ``tried``: how many a whole pass has started for
    the sake of their deadlines.
    """

    tried: int = 0
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    broken: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """A line a cause."""
        lines = []
        for what, by_cause in (("late starts", self.starts), ("missed deadlines", self.ends)):
            lines.append(f"{what}: {sum(map(len, by_cause.values()))}")
            for cause, late_s in sorted(by_cause.items(), key=lambda found: -len(found[1])):
                lines.append(f"  {len(late_s)} (by at most {max(late_s):.1f} s): {cause}")
        return "\n".join(lines)


def series_left(store: Store, seen: Seen, stopped: Mapping[str, float]) -> list[str]:
    """Series that a whole pass has left without a job; ``stopped`` says when (Unix s) each was."""
    made: dict[str, list[Job]] = defaultdict(list)
    for job in sorted(store.jobs.find(), key=lambda job: job.spec.submitted_at):
        if job.spec.recurrence:
            made[job.spec.recurrence].append(job)
    broken = []
    for series, jobs in made.items():
        following = [_unix(job.spec.submitted_at) for job in jobs[1:]]
        for job, until in zip(jobs, [*following, stopped[series]], strict=True):
            ended = _seen_to_end(store, job.id)
            if any(ended < at and over <= until for at, over in seen.whole):
                broken.append(f"{series}: no job from {ended} (the end of {job.id}) to {until}")
    return broken


def of(
    store: Store,
    seen: Seen,
    known: Mapping[str, float],
    killed: Collection[tuple[str, int]],
    period_s: float,
) -> Lateness:
    """All late starts and ends; ``known`` says since when (Unix s) a job certainly was in the
    queue, ``killed`` which attempts (id and number), ``period_s`` is that of the passes.

    No whole pass may leave a job waiting whose latest safe start comes before the next pass. So a
    job that was started after its latest safe start (its deadline less its duration) shows a
    deadline that could not be met: from one period before that moment until its start no pass
    came to its end, or none could give it slots, or what it waits for had not succeeded. What
    becomes of a job after its first start in time (an attempt that is killed, a machine too busy
    to run it as fast as was said) no scheduler can promise; that it is tried again is another law.
    """
    found, starts = Lateness(), {at for at, _ in seen.whole}
    for job in store.jobs.find():
        # The pass that makes an occurrence begins at its submission: every later one sees it.
        since = known.get(job.id, _unix(job.spec.submitted_at) if job.spec.recurrence else None)
        if since is None or job.spec.latest_start is None:
            continue
        attempts, latest = store.jobs.attempts(job.id), _unix(job.spec.latest_start)
        claimed = _unix(attempts[0].claimed_at if attempts else job.ended_at)
        begun = _unix(attempts[0].started_at) if attempts and attempts[0].started_at else claimed
        free = max(since, _unix(job.spec.release))
        ready = max([free, *_ends_before(store, job)])
        cause = _cause(store, job, seen, (free, ready, latest, claimed, begun), period_s)
        if cause == BUSY_START and (job.id, 1) in killed:
            cause = RUNNER
        found.tried += claimed in starts and latest < claimed + period_s
        if cause == PASSED_OVER:
            said = f"ready {ready}, latest {latest}, claimed {claimed}"
            found.broken.append(f"{said}\n{aftermath.story(store, job)}")
        if attempts and begun > latest:
            # What delayed a late claim has no part in how long its runner took to begin.
            found.starts[cause].append((claimed if claimed > latest else begun) - latest)
        if job.deadline_met is False:
            assert job.spec.deadline is not None
            late_s = _unix(job.ended_at) - _unix(job.spec.deadline)
            found.ends[_cause_of_end(job, attempts, begun > latest)].append(late_s)
    return found


def _cause(
    store: Store,
    job: Job,
    seen: Seen,
    times: tuple[float, float, float, float, float],
    period_s: float,
) -> str:
    free, ready, latest, claimed, begun = times
    crowded = any(
        e.kind == "waiting" and e.detail.startswith(NO_SLOTS) and _unix(e.at) < claimed
        for e in store.jobs.events(job.id)
    )
    left = [
        1 for at, over in seen.whole if ready < at and over <= claimed and latest < at + period_s
    ]
    if left:
        return CAPACITY if crowded else PASSED_OVER
    if claimed <= latest < begun:
        return BUSY_START
    if latest < ready + period_s:
        return TOO_NEAR if ready == free else PREDECESSOR
    hindered = [in_pass for at, in_pass in seen.hindered if latest - period_s <= at <= claimed]
    return BUSY if not hindered else IN_PASS if any(hindered) else DEAD


def _cause_of_end(job: Job, attempts: list[Attempt], late: bool) -> str:
    if late:
        return "it had started late"
    if any(a.outcome in {str(JobState.LOST), str(JobState.FAILED)} for a in attempts):
        return "an attempt was killed or failed"
    assert job.spec.duration_s is not None
    ran_s = job.ran_s or 0.0
    if ran_s > job.spec.duration_s:
        return "it ran longer than was said"
    return "it had paused" if job.waited_s else "the machine was busy"


def _ends_before(store: Store, job: Job) -> list[float]:
    """When what it waits for was seen to have ended."""
    return [_seen_to_end(store, other) for other in job.spec.after]


def _seen_to_end(store: Store, job_id: str) -> float:
    """A job may be seen to have ended long after its processes have."""
    return max(_unix(e.at) for e in store.jobs.events(job_id) if e.kind in _ENDED)


_ENDED = {str(state) for state in JobState if state.ended}


def _unix(at: datetime | None) -> float:
    return float("inf") if at is None else at.timestamp()
