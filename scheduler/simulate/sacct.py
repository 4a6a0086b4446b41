"""A cluster's past from Slurm's accounting: ``sacct -P`` output as a job log.

Columns may stand in any order and come with others; needed are JobID, Submit, Start, State, one of
AllocCPUS and NCPUS, and one of Elapsed and ElapsedRaw (sacct(1)). Steps are part of their job;
each attempt of a requeued job (``-D``) drew power, and is a job here. What cannot be simulated is
left out and counted by its reason. Tried on Slurm 22.05.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from scheduler.errors import UsageError
from scheduler.simulate.log import LogJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ALWAYS = ("JobID", "Submit", "Start", "State")
EITHER = (("AllocCPUS", "NCPUS"), ("ElapsedRaw", "Elapsed"))
# Words of sacct for a time that has not come.
NEVER = {"", "Unknown", "None", "NONE", "N/A"}
# States of a job that is not over (sacct(1), JOB STATE CODES).
OPEN = {"PENDING", "RUNNING", "SUSPENDED", "RESIZING", "CONFIGURING", "COMPLETING", "STOPPED"}
_ELAPSED = re.compile(r"(?:(\d{1,6})-)?(?:(\d{1,4}):)?(\d{1,4}):(\d{2})(?:\.\d+)?", re.ASCII)
# All boards; where a site counts them by kind only, those of each kind.
_BOARDS = re.compile(r"(?:^|,)gres/gpu=(\d{1,6})(?=,|$)", re.ASCII)
_OF_A_KIND = re.compile(r"(?:^|,)gres/gpu:[^=,]+=(\d{1,6})(?=,|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rates:
    """What accounting does not tell: watts of a CPU and of a GPU that are held.

    ``per_gpu_w`` None: jobs with GPUs are left out. ``metered``: where Slurm has metered a job's
    nodes, that energy over its time stands instead.
    """

    per_slot_w: float
    per_gpu_w: float | None = None
    metered: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """Jobs in order of submission, and rows left out by reason."""

    jobs: list[LogJob]
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class _LeftOut(Exception):
    """A row that is no job to simulate; its text is the reason."""


@dataclass
class _Reader:
    zone: ZoneInfo
    slack_s: float
    rates: Rates
    ambiguous: int = 0
    metered: int = 0

    def job(self, row: Mapping[str, str]) -> LogJob:
        """:class:`_LeftOut` where it is none, :class:`ValueError` where it is damaged."""
        name, words = row["JobID"], row["State"].split()
        if not name:
            raise ValueError("a row without a JobID")
        if "." in name:
            raise _LeftOut("steps_of_jobs")
        if not words or words[0] in OPEN:
            raise _LeftOut("not_over")
        duration_s = _elapsed_s(row)
        if row["Start"] in NEVER or duration_s == 0:
            raise _LeftOut("never_ran")
        slots = _count(row, "AllocCPUS", "NCPUS")
        if slots == 0:
            raise _LeftOut("held_no_cpus")
        submitted_s, started_s = self._times(row["Submit"], row["Start"])
        return LogJob(
            id=name,
            submitted_s=submitted_s,
            duration_s=duration_s,
            deadline_s=started_s + duration_s + self.slack_s,
            slots=slots,
            power_w=self._power_w(row, slots, duration_s),
        )

    def _times(self, submit: str, start: str) -> tuple[float, float]:
        submitted_s, started_s = self._moment_s(submit), self._moment_s(start)
        if started_s < submitted_s:
            # In the hour that the clocks show twice, the second is meant.
            started_s = self._moment_s(start, fold=1)
        if started_s < submitted_s:
            raise ValueError(f"Start {start!r} is before Submit {submit!r}")
        return submitted_s, started_s

    def _moment_s(self, text: str, fold: int = 0) -> float:
        if re.fullmatch(r"\d{9,11}", text, re.ASCII):  # SLURM_TIME_FORMAT=%s
            return float(text)
        try:
            found = datetime.fromisoformat(text)
            if found.tzinfo is not None:
                return found.timestamp()
            first, second = (found.replace(tzinfo=self.zone, fold=n) for n in (0, 1))
            if first.utcoffset() != second.utcoffset() and fold == 0:
                self.ambiguous += 1
            return (second if fold else first).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is no time as sacct writes it") from None

    def _power_w(self, row: Mapping[str, str], slots: int, duration_s: float) -> float:
        told = row.get("ConsumedEnergyRaw", "").strip()
        if self.rates.metered and re.fullmatch(r"\d{1,15}", told, re.ASCII) and int(told) > 0:
            self.metered += 1
            return int(told) / duration_s  # joules a second
        held = row.get("AllocTRES", "")
        boards = sum(map(int, _BOARDS.findall(held) or _OF_A_KIND.findall(held)))
        if boards and self.rates.per_gpu_w is None:
            raise _LeftOut("power_of_gpus_not_given")
        return slots * self.rates.per_slot_w + boards * (self.rates.per_gpu_w or 0.0)


def read_sacct(path: Path, zone: str, slack_s: float, rates: Rates) -> Past:
    """Jobs that are over, as they were submitted and as long as they ran.

    ``zone`` (IANA) is the cluster's, whose local time sacct writes. A deadline is when the job
    really ended plus ``slack_s``. :class:`UsageError` names the first damaged row; the header is
    row 1.
    """
    reader = _Reader(ZoneInfo(zone), slack_s, rates)
    jobs: list[LogJob] = []
    left: Counter[str] = Counter()
    seen: set[tuple[str, float, float]] = set()
    names: Counter[str] = Counter()
    for number, row in _rows(path):
        try:
            job = reader.job(row)
        except _LeftOut as e:
            left[str(e)] += 1
            continue
        except ValueError as e:
            raise UsageError(f"{path}, row {number}: {e}") from e
        told = (job.id, job.submitted_s, job.deadline_s)
        if told in seen:
            left["told_twice"] += 1
            continue
        seen.add(told)
        names[job.id] += 1
        again = names[job.id]
        jobs.append(job if again == 1 else replace(job, id=f"{job.id}#{again}"))
    if not jobs:
        said = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in left.items()) or "no row"
        raise UsageError(f"{path}: no job in it that is over and ran ({said})")
    repeated = sum(1 for n in names.values() if n > 1)
    notes = (
        f"{repeated} jobs were requeued: each attempt counts as a job" if repeated else "",
        f"{reader.ambiguous} times fall into an hour that the clocks of {zone} show twice: the "
        "first is taken, unless it would start before its submission" if reader.ambiguous else "",
        f"{reader.metered} jobs have the energy that Slurm metered" if reader.metered else "",
    )  # fmt: skip
    jobs.sort(key=lambda job: job.submitted_s)
    return Past(jobs, dict(left), tuple(filter(None, notes)))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as f:
            rows = csv.reader(f, delimiter="|", quoting=csv.QUOTE_NONE)
            header = next(rows, [])
            _check(path, header)
            for number, row in enumerate(rows, 2):
                if not row or row == header:  # two outputs in one file
                    continue
                if len(row) != len(header):
                    raise UsageError(
                        f"{path}, row {number}: {len(row)} fields under {len(header)} columns: "
                        "leave columns of free text (JobName, Comment) out of sacct's --format"
                    )
                yield number, dict(zip(header, row, strict=True))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as e:
        raise UsageError(f"{path}: sacct's output cannot be read: {e}") from e


def _check(path: Path, header: list[str]) -> None:
    missing = [name for name in ALWAYS if name not in header]
    missing += [" or ".join(names) for names in EITHER if not set(names) & set(header)]
    if missing:
        raise UsageError(
            f"{path}: sacct's output needs the column(s) {', '.join(missing)}; it has "
            f"{', '.join(filter(None, header))[:200] or 'none'}: write it with sacct -P -a -X "
            "--format=JobID,Submit,Start,State,AllocCPUS,Elapsed,AllocTRES"
        )


def _elapsed_s(row: Mapping[str, str]) -> float:
    raw = row.get("ElapsedRaw", "").strip()
    if re.fullmatch(r"\d{1,10}", raw, re.ASCII):
        return float(raw)
    text = row.get("Elapsed", "").strip()
    if raw in NEVER and text in NEVER:
        return 0.0
    found = _ELAPSED.fullmatch(text)
    if found is None:
        raise ValueError(f"Elapsed {text or raw!r} is no span of time as sacct writes it")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _count(row: Mapping[str, str], *names: str) -> int:
    text = next((row[name] for name in names if name in row), "").strip()
    if text in NEVER:
        return 0
    if not re.fullmatch(r"\d{1,7}", text, re.ASCII):
        raise ValueError(f"{names[0]} {text!r} is no number of CPUs")
    return int(text)
