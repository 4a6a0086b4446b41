"""What must hold of every job once faults are over and lowtide was let alone.

Each law is a function of the store (:func:`opened`), and of the folder of marks where jobs made
by :func:`marking` have written their own starts; it raises :class:`AssertionError` with every
job that breaks it. :func:`assert_aftermath` is all of them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.engine.submission import iso
from scheduler.models import JobState
from scheduler.report import schema
from scheduler.store import LEGAL_MOVES
from support.database import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from scheduler.models import Attempt, Job
    from scheduler.store import Store

# The kernel lets the lock go with the last process of the job, however that ends. Jobs of one
# series share theirs: each of them is to find it free.
MARK = """umask 077
exec 9>> "$0/.${{SERIES:-$LOWTIDE_JOB_ID}}"
flock -n 9 || echo "beside $LOWTIDE_ATTEMPT $$" >> "$0/$LOWTIDE_JOB_ID"
echo "start $LOWTIDE_ATTEMPT $$" >> "$0/$LOWTIDE_JOB_ID" || exit 99
{then}
code=$?
echo "end $LOWTIDE_ATTEMPT $$" >> "$0/$LOWTIDE_JOB_ID"
exit $code
"""
# The name of a job that nothing but a kill or a wish can keep from success.
SOUND = "sound"
# The rule of every series here.
MINUTELY = "* * * * *"
STATES = frozenset(map(str, JobState))


def marking(marks: Path, then: str = ":") -> tuple[str, ...]:
    """The command of a job that notes its start, runs ``then`` (sh), and notes its end.

    A line of so few bytes that is written with O_APPEND is there whole or not at all.
    """
    return ("sh", "-c", MARK.format(then=then), str(marks))


@dataclass(frozen=True, slots=True)
class Mark:
    """One line that a job has written: ``start`` or ``end`` of an attempt, and its own pid.

    ``beside``: when it started, another one of the job, or of its series, was alive.
    """

    kind: str
    attempt: int
    pid: int


def read_marks(marks: Path) -> dict[str, list[Mark]]:
    """What each job has written, by its id, in order."""
    found: dict[str, list[Mark]] = {}
    for path in sorted(marks.glob("[!.]*")):
        lines = [line.split() for line in path.read_text().splitlines()]
        found[path.name] = [Mark(kind, int(n), int(pid)) for kind, n, pid in lines]
    return found


@contextmanager
def opened(home: Path, url: str | None = None) -> Iterator[Store]:
    """The store of a home, or at ``url``."""
    store = open_store(home, {} if url is None else {"LOWTIDE_DATABASE": url}, datetime.now(UTC))
    try:
        yield store
    finally:
        store.close()


def is_over(store: Store) -> bool:
    """Whether every job has ended, and is settled where it has run."""
    jobs = store.jobs.find()
    return all(job.state.ended for job in jobs) and all(
        store.settlements.versions(job.id)
        for job in jobs
        if any(a.started_at for a in store.jobs.attempts(job.id))
    )


def tried(store: Store) -> dict[str, int]:
    """How often that came about which the laws are about."""
    jobs = store.jobs.find()
    kinds = [e.kind for job in jobs for e in store.jobs.events(job.id)]
    return {
        "pauses": kinds.count(str(JobState.PAUSED)),
        "occurrences": sum(job.spec.recurrence is not None for job in jobs),
        "skipped": kinds.count("skipped"),
        "starts after others": sum(bool(job.spec.after and job.attempt) for job in jobs),
    }


def assert_aftermath(store: Store, marks: Path, submitted: Collection[str]) -> None:
    """Every law, of every job; ``submitted`` are the ids that users were told."""
    assert_none_lost(store, submitted)
    assert_ended_once(store)
    assert_started_once(store, marks)
    assert_settled(store)
    assert_forgotten(store)
    assert_in_order(store)
    assert_series_whole(store)


def assert_none_lost(store: Store, submitted: Collection[str]) -> None:
    """Each job whose id a user was told is in the store."""
    missing = set(submitted) - {job.id for job in store.jobs.find()}
    assert not missing, f"submitted, and not in the store: {sorted(missing)}"


def assert_ended_once(store: Store) -> None:
    """Each job has come to exactly one end, by moves that are legal, and says why.

    An end that ``--retries`` has undone is none; every attempt is closed with what became of it.
    """
    _each(store, lambda job: _fault_of_story(store, job))


def assert_started_once(store: Store, marks: Path) -> None:
    """No attempt has run twice, or beside another of its job; none has run behind the store's back.

    What is said to have succeeded has run to its end.
    """
    written = read_marks(marks)
    strangers = set(written) - {job.id for job in store.jobs.find()}
    assert not strangers, f"run, and not in the store: {sorted(strangers)}"
    _each(store, lambda job: _fault_of_runs(store.jobs.attempts(job.id), written.get(job.id, [])))


def assert_lost_only_if(store: Store, killed: Collection[tuple[str, int]]) -> None:
    """No attempt (id and number) is called lost whose runner lived: it has left a receipt.

    Nor has one of a :data:`SOUND` job failed, however often it was paused.
    """

    def fault_of(job: Job) -> str:
        attempts = store.jobs.attempts(job.id)
        bad = {str(JobState.LOST)} | ({str(JobState.FAILED)} if job.spec.name == SOUND else set())
        lost = {a.number: a.outcome for a in attempts if a.outcome in bad}
        found = {n: said for n, said in lost.items() if (job.id, n) not in killed}
        return f"attempts {found} went wrong, and their runners were not killed" if found else ""

    _each(store, fault_of)


def assert_settled(store: Store) -> None:
    """What has run is settled: with its energy, and where it was cut off with a mark of the gap.

    Energy is above zero or null with its reason, in total and for each attempt in the report. The
    mark is the attempt's attribution, or a coverage below 100 %; or that null, where the runner
    died before anything was read. One that died when all was read and said leaves a whole record.
    """
    _each(store, lambda job: _fault_of_settlement(store, job))


def assert_forgotten(store: Store) -> None:
    """No run folder keeps the environment of its submitter once the job has run and ended.

    That of a submission which was killed before the job was in the queue is nobody's: it is left.
    """
    kept = [
        job.id
        for job in store.jobs.find()
        if job.spec.origin and job.state.ended and job.attempt
        if (Path(job.spec.origin.runs) / job.id / "env.json").exists()
    ]
    assert not kept, f"their environment is still kept: {kept}"


def assert_in_order(store: Store) -> None:
    """No job has started before all that it waits for had succeeded."""

    def fault_of(job: Job) -> str:
        attempts = store.jobs.attempts(job.id)
        # A claim has the time of its pass, which may see what has ended since that began.
        begun = attempts[0].started_at if attempts else None
        for other in map(store.jobs.get, job.spec.after if attempts else ()):
            if other.state is not JobState.SUCCEEDED or other.ended_at is None:
                return f"it has started, and {other.id} that it waits for is {other.state}"
            if begun is not None and begun < other.ended_at:
                return f"it has started before {other.id} had succeeded"
        return ""

    _each(store, fault_of)


def assert_series_whole(store: Store) -> None:
    """Jobs of a series follow each other, each after the end of the one before; what was left out
    between two of them is named in the later one's story.

    They are all of :data:`MINUTELY`.
    """
    made: dict[str, list[Job]] = defaultdict(list)
    for job in sorted(store.jobs.find(), key=lambda job: job.spec.release):
        made[job.spec.recurrence or ""].append(job)
    before = {b.id: a for name, jobs in made.items() if name for a, b in pairwise(jobs)}

    def fault_of(job: Job) -> str:
        last = before.get(job.id)
        if last is None:
            return ""
        # A pass that began before the last one ended may see its end, and make the next.
        if last.ended_at is None or (job.started_at or last.ended_at) < last.ended_at:
            return f"it has begun while {last.id} of the same series had not ended"
        due = last.spec.release + timedelta(minutes=1)
        said = [e.detail for e in store.jobs.events(job.id) if e.kind == "skipped"]
        skipped = f"occurrences from {iso(due)} on, up to this one"
        if said != ([] if due == job.spec.release else [skipped]):
            return f"from {due} on others were due, and its story says {said}"
        return ""

    _each(store, fault_of)


def story(store: Store, job: Job) -> str:
    """What has become of a job, with the times (Unix s), in one line."""
    events = store.jobs.events(job.id)
    said = (f"{e.at.timestamp():.1f} {e.kind}: {e.detail}" for e in events)
    return f"{job.id}: " + "; ".join(said)


def _each(store: Store, fault_of: Callable[[Job], str]) -> None:
    found = [(job, fault) for job in store.jobs.find() if (fault := fault_of(job))]
    told = "\n".join(f"{job.id} ({job.state}: {job.reason}): {fault}" for job, fault in found)
    stories = [f"\n{story(store, job)}" for job, _ in found[:5]]
    assert not found, f"{len(found)} jobs:\n{told}\n" + "".join(stories)


def _fault_of_story(store: Store, job: Job) -> str:
    kinds = [e.kind for e in store.jobs.events(job.id) if e.kind in STATES]
    path = [JobState.QUEUED, *(JobState(kind) for kind in kinds)]
    illegal = [f"{a} to {b}" for a, b in pairwise(path) if (a, b) not in LEGAL_MOVES]
    if illegal:
        return f"its story has illegal moves: {illegal}"
    after = [*path[1:], None]
    ends = [a for a, b in zip(path, after, strict=True) if a.ended and b is not JobState.QUEUED]
    if len(ends) != 1 or path[-1] is not ends[0]:
        return f"it has come to {len(ends)} ends: {path}"
    if path[-1] is not job.state or not job.reason or job.ended_at is None:
        return f"its story ends {path[-1]}, its row {job.state} at {job.ended_at}"
    attempts = store.jobs.attempts(job.id)
    still_open = [a.number for a in attempts if a.ended_at is None or a.outcome is None]
    if still_open:
        return f"attempts {still_open} were never closed"
    tries = sum(a.outcome in {str(JobState.FAILED), str(JobState.LOST)} for a in attempts)
    if job.state in {JobState.FAILED, JobState.LOST} and tries <= job.spec.retries:
        return f"{tries} of {job.spec.retries + 1} tries were made"
    return ""


def _fault_of_runs(attempts: list[Attempt], written: list[Mark]) -> str:
    starts: dict[int, int] = defaultdict(int)
    runs: Mark | None = None
    for mark in written:
        if mark.kind == "beside":
            return f"attempt {mark.attempt} started while another one was alive: {written}"
        if mark.kind == "start":
            starts[mark.attempt] += 1
            runs = mark
        elif runs is None or (mark.attempt, mark.pid) != (runs.attempt, runs.pid):
            return f"attempt {mark.attempt} ended while another one ran: {written}"
    twice = {number: count for number, count in starts.items() if count > 1}
    if twice:
        return f"attempts that have started more than once: {twice}"
    unknown = set(starts) - {a.number for a in attempts}
    if unknown:
        return f"attempts that the store does not know have run: {sorted(unknown)}"
    if list(starts) != sorted(starts):
        return f"its attempts have started out of order: {list(starts)}"
    ended = {mark.attempt for mark in written if mark.kind == "end"}
    untrue = {a.number for a in attempts if a.exit_code == 0} - ended
    return f"attempts {sorted(untrue)} are said to have succeeded, and have not" if untrue else ""


def _fault_of_settlement(store: Store, job: Job) -> str:
    attempts = [a for a in store.jobs.attempts(job.id) if a.started_at is not None]
    versions = store.settlements.versions(job.id)
    if not attempts:
        return "it has not run, and is settled" if versions else ""
    if not versions:
        return "it has run, and is not settled"
    settlement = versions[-1].settlement
    report = schema.report_json(job, settlement, versions=versions)
    if len(report["attempts"]) != len(attempts):
        return f"{len(attempts)} attempts have run, {len(report['attempts'])} are settled"
    figures = {"energy_kwh.reserved": report["energy_kwh"]["reserved"]}
    for n, told in enumerate(report["attempts"]):
        figures[f"attempts.{n}.energy_kwh"] = told["energy_kwh"]
    for path, figure in figures.items():
        if figure is None and not report["null_reasons"].get(path):
            return f"{path} is null without a reason"
        if figure is not None and not figure["value"] > 0:
            return f"{path} is {figure}"
    whole = all(part["coverage_percent"] >= 100 for part in report["components"])
    for attempt, told in zip(attempts, report["attempts"], strict=True):
        cut_off = attempt.outcome == str(JobState.LOST) and told["energy_kwh"] is not None
        if cut_off and whole and told["attribution"].endswith(("so far", "not recorded")):
            return f"attempt {attempt.number} was cut off, and nothing says so: {json.dumps(told)}"
    return ""
