"""What Slurm tells of jobs, from any of its mouths: squeue and sacct as JSON, scontrol, jobcomp.

Tolerant of versions: a state is a word or a list of words, a number may be wrapped in
``{"set": .., "infinite": .., "number": ..}``, fields may be absent. Tried on 22.05; later shapes
from Slurm's release notes and OpenAPI documents (data_parser v0.0.39 and later).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from providers.errors import ExecutorError

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESTARTS = re.compile(r"\d{1,9}", re.ASCII)
Stage = Literal["waiting", "running", "ended", "unknown"]

# Base states of Slurm (squeue(1), JOB STATE CODES), by what they mean for an attempt.
WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
RUNNING = {
    "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT",
    "RESIZING", "EXPEDITING", "POWER_UP_NODE",
}  # fmt: skip
ENDED = {
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "BOOT_FAIL", "DEADLINE", "REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """One job as Slurm knows it; times in Unix seconds, None where it does not tell.

    ``energy_j`` is Slurm's own figure for whole nodes; None also where it is zero, which is
    what an unmetered node tells. ``exclusive``: no other job shared its nodes. ``restarts`` is how
    often the job was requeued: each raises it by one, and begins another run of the job.
    ``submitted_s`` is when it was submitted, or requeued last.
    """

    job_id: str
    state: str
    reason: str = ""
    comment: str = ""
    started_s: float | None = None
    ended_s: float | None = None
    energy_j: float | None = None
    exclusive: bool = False
    restarts: int | None = None
    name: str = ""
    submitted_s: float | None = None

    @property
    def stage(self) -> Stage:
        """What the state means for an attempt."""
        if self.state in WAITING:
            return "waiting"
        if self.state in RUNNING:
            return "running"
        return "ended" if self.state in ENDED else "unknown"


def parse_queue(text: str) -> list[SlurmJob]:
    """``squeue --json``; :class:`ExecutorError` where that is no such answer."""
    return [
        SlurmJob(
            job_id=_word(job.get("job_id")),
            state=_state(job.get("job_state")),
            reason=_word(job.get("state_reason")),
            comment=_word(job.get("comment")),
            started_s=_seconds(job.get("start_time")),
            ended_s=_seconds(job.get("end_time")),
            exclusive=_exclusive(job),
            restarts=_count(job.get("restart_cnt")),
            name=_word(job.get("name")),
            submitted_s=_seconds(job.get("submit_time")),
        )
        for job in _jobs(text, "squeue")
    ]


def parse_accounting(text: str) -> list[SlurmJob]:
    """``sacct --json``; :class:`ExecutorError` where that is no such answer."""
    found = []
    for job in _jobs(text, "sacct"):
        state, times, comment = (
            part if isinstance(part := job.get(key), dict) else {}
            for key in ("state", "time", "comment")
        )
        found.append(
            SlurmJob(
                job_id=_word(job.get("job_id")),
                state=_state(state.get("current")),
                reason=_word(state.get("reason")),
                comment=_word(comment.get("job")),
                started_s=_seconds(times.get("start")),
                ended_s=_seconds(times.get("end")),
                energy_j=_energy_j(job),
                exclusive=_exclusive(job),
                restarts=_count(job.get("restart_cnt")),
                name=_word(job.get("name")),
                submitted_s=_seconds(times.get("submission")),
            )
        )
    return found


def parse_lines(text: str) -> list[SlurmJob]:
    """``Key=value`` lines: of ``scontrol show job -o``, or of a jobcomp file, the newest last.

    Only states are taken: times in them are the controller's local time, without an offset.
    """
    found = []
    for line in text.splitlines():
        fields = dict(part.split("=", 1) for part in line.split(" ") if "=" in part)
        if "JobId" in fields and "JobState" in fields:
            state = fields["JobState"].split(",")[0]
            restarts = fields.get("Restarts", "")
            found.append(
                SlurmJob(
                    fields["JobId"], state, fields.get("Reason", ""), fields.get("Comment", ""),
                    restarts=int(restarts) if _RESTARTS.fullmatch(restarts) else None,
                    name=fields.get("JobName") or fields.get("Name", ""),
                )
            )  # fmt: skip
    return found


def _jobs(text: str, mouth: str) -> Iterator[dict[str, Any]]:
    try:
        content = json.loads(text)
        found, errors = content["jobs"], content.get("errors")
    except (AttributeError, ValueError, LookupError, TypeError, RecursionError) as e:
        raise ExecutorError(f"{mouth} --json gave no list of jobs: {text[:80]!r}") from e
    if not isinstance(found, list):
        raise ExecutorError(f"{mouth} --json gave no list of jobs: {text[:80]!r}")
    if errors and not found:
        # A dead controller is an empty queue to squeue, exit code 0 and an error in the answer.
        raise ExecutorError(f"{mouth}: {_error(errors)}")
    return (job for job in found if isinstance(job, dict))


def _error(errors: Any) -> str:
    first = errors[0] if isinstance(errors, list) else errors
    told = first if isinstance(first, dict) else {}
    return f"{_word(told.get('description')) or _word(told.get('error')) or 'an error'}"


def _word(value: Any) -> str:
    return str(value) if isinstance(value, (str, int)) else ""


def _state(value: Any) -> str:
    """The base state: the first word that is one (later words are flags)."""
    words = value if isinstance(value, list) else [value]
    known = [str(w) for w in words if str(w) in WAITING | RUNNING | ENDED]
    return known[0] if known else _word(words[0] if words else "") or "unknown"


def _number(value: Any) -> float | None:
    if isinstance(value, dict):
        if value.get("set") is False or value.get("infinite") is True:
            return None
        value = value.get("number")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _seconds(value: Any) -> float | None:
    """A time; Slurm tells zero for one that has not come."""
    return _number(value) or None


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _exclusive(job: dict[str, Any]) -> bool:
    """Only where it is said: ``exclusive`` (a flag, or words) or ``shared: none``."""
    told = job.get("exclusive")
    words = told if isinstance(told, list) else [told]
    return any(w is True or w == "true" for w in words) or job.get("shared") == "none"


def _energy_j(job: dict[str, Any]) -> float | None:
    """Joules of the allocation: the ``energy`` among what it consumed, zero being none."""
    steps = job.get("steps")
    found = 0.0
    for step in steps if isinstance(steps, list) else ():
        tres = step.get("tres") if isinstance(step, dict) else None
        consumed = tres.get("consumed") if isinstance(tres, dict) else None
        total = consumed.get("total") if isinstance(consumed, dict) else None
        for row in total if isinstance(total, list) else ():
            if isinstance(row, dict) and row.get("type") == "energy":
                found = max(found, _number(row.get("count")) or 0.0)
    return found or None
