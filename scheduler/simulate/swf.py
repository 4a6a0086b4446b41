"""A cluster's past in the Standard Workload Format, as the Parallel Workloads Archive has it.

A line a job of 18 numbers; ``-1`` is unknown, as is what a shorter line lacks. ``;`` begins a
comment, of which ``UnixStartTime`` says when second 0 was.
https://www.cs.huji.ac.il/labs/parallel/workload/swf.html
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from providers.series import from_unix
from scheduler.errors import UsageError
from scheduler.simulate.log import LeftOut, LogJob, Past, open_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# A line that ends before the processors that were allocated says of no job what it took.
LEAST, FIELDS = 5, 18
UNKNOWN = -1.0
NUMBER, SUBMIT, WAIT, RUN, ALLOCATED, REQUESTED, STATUS = 0, 1, 2, 3, 4, 7, 10
# A job that was checkpointed has a line for the whole, and one for each part with these states.
PARTS = {2, 3, 4}
_NUMBER = re.compile(r"[+-]?\d{1,12}(?:\.\d{0,12})?", re.ASCII)
_START = re.compile(r";\s*UnixStartTime:\s*(\d{1,11})\b", re.ASCII)
_COMMENT = ";"


def is_swf(path: Path) -> bool:
    """Whether a file is in this format, by its name or by its first line.

    A pipe, which can be read only once, goes by its name.
    """
    if ".swf" in path.suffixes:
        return True
    if not path.is_file():
        return False
    try:
        with open_text(path, errors="replace") as f:
            first = next((line for line in f if line.strip()), "")
    except (OSError, EOFError, zlib.error):
        return False
    return first.lstrip().startswith(_COMMENT) or bool(_numbers(first))


def read_swf(
    path: Path, start_s: float | None, trace_start_s: float, slack_s: float, per_slot_w: float
) -> Past:
    """Jobs that ran, as they were submitted and as long as they ran.

    ``start_s`` (Unix seconds) is when the log's second 0 is; None: as the log says, else at
    ``trace_start_s``. A deadline is when the job ended plus ``slack_s``. :class:`UsageError` names
    the first damaged row, counted in lines.
    """
    jobs: list[LogJob] = []
    left: Counter[str] = Counter()
    seen: set[str] = set()
    stated: float | None = None
    unknown_waits = 0
    for number, line in _lines(path):
        if line.startswith(_COMMENT):
            found = _START.match(line)
            # 0 is written where it is unknown.
            stated = float(found[1]) or None if found else stated
            continue
        numbers = _numbers(line)
        if not numbers:
            raise UsageError(
                f"{path}, row {number}: {line[:60]!r} is not a line of {LEAST} to {FIELDS} "
                "numbers, as the Standard Workload Format has"
            )
        try:
            job = _job(numbers, slack_s, per_slot_w)
            if job.id in seen:
                raise LeftOut("listed_twice")
        except LeftOut as e:
            left[str(e)] += 1
            continue
        seen.add(job.id)
        unknown_waits += numbers[WAIT] < 0
        jobs.append(job)
    if not jobs:
        said = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in left.items()) or "no row"
        raise UsageError(f"{path}: no job in it that ran ({said})")
    zero_s = next(s for s in (start_s, stated, trace_start_s) if s is not None)
    notes = [f"second 0 of the log is {from_unix(zero_s):%Y-%m-%dT%H:%M:%SZ}"]
    if start_s is None and stated is None:
        notes[0] += ", the trace's start: the log has no UnixStartTime (else give --jobs-start)"
    if unknown_waits:
        notes.append(f"{unknown_waits} jobs have no wait time: they count as run when submitted")
    shifted = [
        replace(job, submitted_s=job.submitted_s + zero_s, deadline_s=job.deadline_s + zero_s)
        for job in jobs
    ]
    return Past(sorted(shifted, key=lambda job: job.submitted_s), dict(left), tuple(notes))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        # Comments of old logs are in any encoding.
        with open_text(path, errors="replace") as f:
            for number, line in enumerate(f, 1):
                if line.strip():
                    yield number, line.strip()
    except (OSError, EOFError, zlib.error) as e:
        raise UsageError(f"{path}: a job log cannot be read: {e}") from e


def _numbers(line: str) -> list[float]:
    """The fields of a line; none where it is not one of this format."""
    fields = line.split()
    if not LEAST <= len(fields) <= FIELDS or not all(map(_NUMBER.fullmatch, fields)):
        return []
    return [*map(float, fields), *[UNKNOWN] * (FIELDS - len(fields))]


def _job(numbers: Sequence[float], slack_s: float, per_slot_w: float) -> LogJob:
    """The job of a line, in seconds of the log; :class:`LeftOut` where there is none to run."""
    if numbers[STATUS] in PARTS:
        raise LeftOut("parts_of_jobs")
    submitted_s, run_s = numbers[SUBMIT], numbers[RUN]
    if submitted_s < 0:
        raise LeftOut("submission_unknown")
    if run_s < 0:
        raise LeftOut("run_time_unknown")
    if run_s == 0:
        raise LeftOut("never_ran")
    held = numbers[ALLOCATED] if numbers[ALLOCATED] > 0 else numbers[REQUESTED]
    if held < 1:
        raise LeftOut("processors_unknown")
    return LogJob(
        id=f"{numbers[NUMBER]:.0f}",
        submitted_s=submitted_s,
        duration_s=run_s,
        deadline_s=submitted_s + max(numbers[WAIT], 0.0) + run_s + slack_s,
        slots=int(held),
        power_w=int(held) * per_slot_w,
    )
