"""Job logs: CSV files with one job a row (``.gz`` too).

Columns ``job_id, submitted_utc, duration_s, deadline_utc, slots, power_w``; optional are
``regions`` (names with ``;`` between them) and ``pausable`` (1 or 0); others are ignored. Times
are ISO 8601 with an offset. A fault names its row; the header is row 1.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, cast

from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import TextIO

COLUMNS = ("job_id", "submitted_utc", "duration_s", "deadline_utc", "slots", "power_w")
Row = dict[str, str]
_TRUE, _FALSE = {"1", "true", "yes"}, {"0", "false", "no"}


@dataclass(frozen=True, slots=True)
class LogJob:
    """One row: times in Unix seconds, ``power_w`` of the whole job.

    ``regions`` empty: any. ``pausable`` None: the log does not say.
    """

    id: str
    submitted_s: float
    duration_s: float
    deadline_s: float
    slots: int
    power_w: float
    regions: tuple[str, ...] = ()
    pausable: bool | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """Jobs in order of submission, and rows left out by reason."""

    jobs: list[LogJob]
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class LeftOut(Exception):
    """A row that is not a job to simulate; its text is the reason, with ``_`` for spaces."""


@contextmanager
def open_text(path: Path, errors: str = "strict") -> Iterator[TextIO]:
    """A text file, compressed or not, by its first bytes; :class:`OSError` where it is none."""
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        content = cast("BinaryIO", gzip.GzipFile(fileobj=raw) if packed else raw)
        with io.TextIOWrapper(content, "utf-8-sig", errors, newline="") as file:
            yield file


def rows_of(path: Path, columns: tuple[str, ...], what: str) -> Iterator[tuple[int, Row]]:
    """Number and fields of each row of a CSV file; :class:`UsageError` where it is none."""
    try:
        with open_text(path) as f:
            reader = csv.DictReader(f)
            missing = [c for c in columns if c not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"{path}: {what} needs the column(s) {', '.join(missing)}; it has "
                    f"{', '.join(reader.fieldnames or ()) or 'none'}"
                )
            for number, row in enumerate(reader, 2):
                if any(row[c] is None for c in columns):
                    raise UsageError(f"{path}, row {number}: fewer fields than the header names")
                yield number, row
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as e:
        raise UsageError(f"{path}: {what} cannot be read: {e}") from e


def read_jobs(path: Path) -> list[LogJob]:
    """All jobs in order of submission; :class:`UsageError` names the first faulty row."""
    jobs: list[LogJob] = []
    seen: dict[str, int] = {}
    for number, row in rows_of(path, COLUMNS, "a job log"):
        try:
            job = _job(row)
        except ValueError as e:
            raise UsageError(f"{path}, row {number}: {e}") from e
        if job.id in seen:
            raise UsageError(f"{path}, row {number}: job {job.id} stands in row {seen[job.id]} too")
        seen[job.id] = number
        jobs.append(job)
    if not jobs:
        raise UsageError(f"{path}: a job log with no job in it")
    return sorted(jobs, key=lambda job: job.submitted_s)


def _job(row: dict[str, str]) -> LogJob:
    submitted, deadline = moment_s(row["submitted_utc"]), moment_s(row["deadline_utc"])
    if deadline <= submitted:
        raise ValueError(
            f"deadline_utc {row['deadline_utc']} is not after submitted_utc {row['submitted_utc']}"
        )
    slots = above_zero("slots", row["slots"])
    if slots != int(slots):
        raise ValueError(f"slots {row['slots']!r} is no whole number")
    return LogJob(
        id=row["job_id"],
        submitted_s=submitted,
        duration_s=above_zero("duration_s", row["duration_s"]),
        deadline_s=deadline,
        slots=int(slots),
        power_w=above_zero("power_w", row["power_w"]),
        regions=tuple((row.get("regions") or "").replace(";", " ").split()),
        pausable=_pausable(row.get("pausable")),
    )


def moment_s(text: str) -> float:
    """An ISO 8601 time with offset as Unix seconds; :class:`ValueError` for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write e.g. 2026-05-01T06:00:00Z") from None
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: add Z or an offset")
    return found.timestamp()


def above_zero(name: str, text: str) -> float:
    """A number above zero; :class:`ValueError` for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{name} {text!r} is no number above zero")
    return value


def _pausable(text: str | None) -> bool | None:
    said = (text or "").strip().lower()
    if not said:
        return None
    if said not in _TRUE | _FALSE:
        raise ValueError(f"pausable {text!r} is neither 1 nor 0")
    return said in _TRUE
