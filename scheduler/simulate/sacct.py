"""A cluster's past from Slurm's accounting: ``sacct -P`` output as a job log.

Columns may stand in any order and come with others; needed are JobID, Submit, Start, State, one of
AllocCPUS and NCPUS, and one of Elapsed and ElapsedRaw (sacct(1)); End and Suspended are read where
they are there, AllocTRES says what GPUs were held. Steps are part of their job; each attempt of a
requeued job (``-D``) drew power, and is a job here. What cannot be simulated is left out and
counted by its reason. Tried on Slurm 22.05.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, product
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from scheduler.errors import UsageError
from scheduler.simulate.log import LeftOut, LogJob, Past, open_text
from scheduler.simulate.sacct_fields import NEVER, cpus, elapsed_s, gpus, reason, span_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

ALWAYS = ("JobID", "Submit", "Start", "State")
EITHER = (("AllocCPUS", "NCPUS"), ("ElapsedRaw", "Elapsed"))
# States of a job that is not over (sacct(1), JOB STATE CODES).
OPEN = {"PENDING", "RUNNING", "SUSPENDED", "RESIZING", "CONFIGURING", "COMPLETING", "STOPPED"}
# Read where they are there.
MORE = ("End", "Suspended", "AllocTRES", "ReqTRES", "AllocGRES", "ReqGRES", "Partition", "NodeList",
        "ConsumedEnergyRaw")  # fmt: skip
# Names of columns as they are compared: sacct's own --format takes them in any case.
_NAMES = {name.casefold(): name for name in (*ALWAYS, *(n for two in EITHER for n in two), *MORE)}
# A time of day without seconds.
_MINUTES = re.compile(r"[^T]+[T ]\d\d:\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rates:
    """What accounting does not tell: watts of a CPU and of a GPU that are held.

    ``per_gpu_w`` None: jobs with GPUs are left out. ``metered``: where Slurm has metered a job's
    nodes, that energy over its time stands instead.
    """

    per_slot_w: float
    per_gpu_w: float | None = None
    metered: bool = False


@dataclass
class _Reader:
    zone: ZoneInfo
    slack_s: float
    rates: Rates
    ambiguous: int = 0
    metered: int = 0
    # Rows (numbers) whose Elapsed needed End to be understood.
    as_hours: list[int] = field(default_factory=list)
    shorter: list[int] = field(default_factory=list)

    def job(self, number: int, row: Mapping[str, str]) -> LogJob:
        """:class:`LeftOut` where it is none, :class:`ValueError` where it is damaged."""
        name, words = row["JobID"], row["State"].split()
        if not name:
            raise ValueError("a row without a JobID")
        if "." in name:
            raise LeftOut("steps_of_jobs")
        if not words or words[0] in OPEN:
            raise LeftOut("not_over")
        readings = tuple(elapsed_s(row))
        if row["Start"] in NEVER or readings[0] == 0:
            raise LeftOut("never_ran")
        slots = cpus(row)
        if slots == 0:
            raise LeftOut("held_no_cpus")
        submitted_s = self._moment_s(row["Submit"])
        duration_s, ended_s = self._ran(number, row, submitted_s, readings)
        return LogJob(
            id=name,
            submitted_s=submitted_s,
            duration_s=duration_s,
            deadline_s=ended_s + self.slack_s,
            slots=slots,
            power_w=self._power_w(row, slots, duration_s),
        )

    def _ran(
        self, number: int, row: Mapping[str, str], submitted_s: float, readings: Sequence[float]
    ) -> tuple[float, float]:
        """How long it ran (s), and when it ended (Unix seconds), as Start, End and Elapsed agree.

        In the hour that the clocks show twice, the time is meant that fits the others.
        """
        starts = [s for s in self._moments_s(row["Start"]) if s >= submitted_s]
        if not starts:
            raise LeftOut("start_before_submit")
        idle_s = _suspended_s(row)
        text = row.get("End", "").strip()
        if text in NEVER:
            return readings[0], starts[0] + readings[0] + idle_s
        ends = self._moments_s(text)
        slack_s = 60.0 if _MINUTES.fullmatch(text) else 1.0
        for duration_s, start_s, end_s in product(readings, starts, ends):
            if abs(start_s + duration_s + idle_s - end_s) <= slack_s:
                if duration_s != readings[0]:
                    self.as_hours.append(number)
                return duration_s, max(end_s, start_s + duration_s)
        if starts[0] + readings[0] > ends[-1] + slack_s:
            raise LeftOut("elapsed_beyond_end")
        self.shorter.append(number)
        return readings[0], max(ends[-1], starts[0] + readings[0])

    def _moments_s(self, text: str) -> list[float]:
        """The time that is meant, or both of an hour that the clocks show twice."""
        return list(dict.fromkeys((self._moment_s(text), self._moment_s(text, fold=1))))

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
        boards = gpus(row)
        if boards and self.rates.per_gpu_w is None:
            raise LeftOut("power_of_gpus_not_given")
        return slots * self.rates.per_slot_w + boards * (self.rates.per_gpu_w or 0.0)


def read_sacct(
    path: Path, zone: str, slack_s: float, rates: Rates, columns: Sequence[str] = ()
) -> Past:
    """Jobs that are over, as they were submitted and as long as they ran.

    ``zone`` (IANA) is the cluster's, whose local time sacct writes; ``columns`` name those of an
    output without a header. A deadline is when the job really ended plus ``slack_s``.
    :class:`UsageError` names the first damaged row; the first line is row 1.
    """
    reader = _Reader(ZoneInfo(zone), slack_s, rates)
    jobs: list[LogJob] = []
    left: Counter[str] = Counter()
    seen: set[tuple[str, float, float]] = set()
    names: Counter[str] = Counter()
    told_gpus = False
    for number, row in _rows(path, columns):
        told_gpus = told_gpus or "AllocTRES" in row
        try:
            job = reader.job(number, row)
        except LeftOut as e:
            left[str(e)] += 1
            continue
        except ValueError as e:
            raise UsageError(f"{path}, row {number}: {e}") from e
        told = (job.id, job.submitted_s, job.deadline_s)
        if told in seen:
            left["listed_twice"] += 1
            continue
        seen.add(told)
        names[job.id] += 1
        again = names[job.id]
        jobs.append(job if again == 1 else replace(job, id=f"{job.id}#{again}"))
    if not jobs:
        said = "; ".join(f"{n}: {reason(why)}" for why, n in left.items()) or "no row"
        raise UsageError(f"{path}: no job in it that is over and ran ({said})")
    repeated = sum(1 for n in names.values() if n > 1)
    jobs.sort(key=lambda job: job.submitted_s)
    return Past(jobs, dict(left), tuple(_notes(reader, zone, repeated, told_gpus)))


def _notes(reader: _Reader, zone: str, repeated: int, told_gpus: bool) -> Iterator[str]:
    if repeated:
        yield f"{repeated} jobs were requeued: each attempt counts as a job"
    if reader.ambiguous:
        yield (
            f"{reader.ambiguous} times fall into an hour that the clocks of {zone} show twice: the "
            "first is taken, unless it would start before its submission or its end says otherwise"
        )
    if reader.metered:
        yield f"{reader.metered} jobs have the energy that Slurm metered"
    if not told_gpus:
        yield (
            "without a column AllocTRES jobs count as without GPUs, save those left out because "
            "their partition, nodes or request name some"
        )
    if rows := reader.as_hours:
        yield (
            f"Elapsed of {len(rows)} jobs (first in row {rows[0]}) is read as hours and minutes, "
            "as Start and End say"
        )
    if rows := reader.shorter:
        yield (
            f"Elapsed of {len(rows)} jobs (first in row {rows[0]}) is shorter than from Start to "
            "End, as of suspended ones: Elapsed is how long they ran, End when they ended"
        )


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with open_text(path) as f:
            rows = csv.reader(f, delimiter="|", quoting=csv.QUOTE_NONE)
            first = next(rows, [])
            headed = bool({"JobID", "Submit", "State"} & set(_named(first)))
            # Whoever names the columns may have a header of another tool: no number stands in it.
            headed = headed or (bool(columns) and not re.search(r"\d", "".join(first)))
            header = _named(columns or first)
            _check(path, header, bool(columns) or headed or not any(first))
            numbered = enumerate(chain(() if headed else (first,), rows), 2 if headed else 1)
            for number, row in numbered:
                if not row or (headed and row == first):  # two outputs in one file
                    continue
                # sacct -p ends each line with the delimiter.
                fields = row[:-1] if len(row) == len(header) + 1 and not row[-1] else row
                if len(fields) != len(header):
                    raise UsageError(
                        f"{path}, row {number}: {len(fields)} fields under {len(header)} columns: "
                        "leave columns of free text (JobName, Comment) out of sacct's --format"
                    )
                yield number, dict(zip(header, fields, strict=True))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as e:
        raise UsageError(f"{path}: sacct's output cannot be read: {e}") from e


def _named(header: Sequence[str]) -> list[str]:
    """Names of columns as sacct writes them, without the widths that --format takes (JobID%20)."""
    names = (name.strip().partition("%")[0] for name in header)
    return [_NAMES.get(name.casefold(), name) for name in names]


def _check(path: Path, header: Sequence[str], headed: bool) -> None:
    missing = [name for name in ALWAYS if name not in header]
    missing += [" or ".join(names) for names in EITHER if not set(names) & set(header)]
    if not missing:
        return
    has = ", ".join(filter(None, header))[:200] or "none"
    if not headed:
        raise UsageError(
            f"{path}: its first row is not sacct's header, but {has}: write it with sacct -P and "
            "without --noheader, or name its columns by --sacct-columns JobID,Submit,Start,..."
        )
    raise UsageError(
        f"{path}: sacct's output needs the column(s) {', '.join(missing)}; it has {has}: write it "
        "with sacct -P -a -X --format=JobID,Submit,Start,End,State,AllocCPUS,Elapsed,AllocTRES"
    )


def _suspended_s(row: Mapping[str, str]) -> float:
    text = row.get("Suspended", "").strip()
    return 0.0 if text in NEVER else span_s("Suspended", text)
