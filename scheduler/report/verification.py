"""A report against its evidence: every figure is computed once more, from the journals on.

Two things are checked of each job. Its seal, and the digests of its journals, show whether anything
was changed since. The recomputation shows whether the figures follow from the evidence: a changed
figure with a new seal is found by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from providers.arrays import np
from providers.base import Journal
from scheduler import sci
from scheduler.models import JobState
from scheduler.report.group import group_json
from scheduler.report.schema import SCHEMA_VERSION, totals
from scheduler.report.schema.evidence import evidence_of, seal
from scheduler.report.schema.report import settled_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from providers.base import JournalFile
    from scheduler.models import Settlement
    from scheduler.report.schema import HasState

# The same sums in another order differ by rounding: of double precision, with room for a long run.
RELATIVE = 1e-9
# What cancels may leave rounding of what it came from: this share of the job's largest figure.
OF_LARGEST = 1e-12
# Figures that are differences.
CANCELS = re.compile(r"saved|_error_g|difference_g")
# What a report that was changed may bring about.
DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# Texts that tell reasons, some of which came with inputs that are not kept.
TEXTS = ("methodology", "boundary", "why", "null_reasons")


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure as it is reported, and as it is computed from the evidence."""

    path: str
    reported: Any
    recomputed: Any


@dataclass(frozen=True, slots=True)
class Check:
    """What came of one job, or of the sums (``job_id`` None).

    ``faults`` show that the report is not what was computed, ``missing`` what lacks for a check.
    """

    job_id: str | None
    figures: int = 0
    differences: tuple[Difference, ...] = ()
    faults: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    settlement: Settlement | None = None

    @property
    def verdict(self) -> str:
        """``verified``, ``differs``, or ``unverifiable`` where something lacks."""
        if self.differences or self.faults:
            return "differs"
        return "unverifiable" if self.missing else "verified"


def check(report: Mapping[str, Any], find: Callable[[JournalFile], Journal | None]) -> Check:
    """One job of a report; ``find`` reads the journal that the evidence names."""
    # What `lowtide meter` writes is one job with the version of the form beside it.
    version = report.get("schema_version", SCHEMA_VERSION)
    report = {name: value for name, value in report.items() if name != "schema_version"}
    job_id = str(report["job_id"])
    faults: tuple[str, ...] = ()
    if version != SCHEMA_VERSION:
        faults = (f"its schema_version is {version}, and not {SCHEMA_VERSION}",)
    if report.get("evidence") is None:
        why = report.get("null_reasons", {}).get("evidence", "it carries no evidence")
        return Check(job_id, faults=faults, missing=(f"there is no evidence: {why}",))
    if seal(report) != report["evidence"].get("report_sha256"):
        faults += ("the report was changed after it was made: its seal does not fit",)
    try:
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            return _recomputed(job_id, report, find, faults)
    except DAMAGED as e:
        said = str(e).partition("\n")[0]
        fault = f"its figures cannot be computed from its evidence: {type(e).__name__}: {said}"
        return Check(job_id, faults=(*faults, fault))


def _recomputed(
    job_id: str,
    report: Mapping[str, Any],
    find: Callable[[JournalFile], Journal | None],
    faults: tuple[str, ...],
) -> Check:
    kept = evidence_of(report["evidence"])
    journals: list[Journal] = []
    missing: tuple[str, ...] = ()
    for number, attempt in enumerate(kept.attempts, 1):
        named = attempt.journal
        found = Journal((), (), ("no energy journal",)) if named is None else find(named)
        if found is None:
            where = "" if named is None else named.path
            missing += (f"the journal of attempt {number} is not here: it was {where}",)
        elif named is not None and not same(found.file, named):
            faults += (f"the journal of attempt {number} was changed: {named.path}",)
        else:
            journals.append(found)
    if len(journals) < len(kept.attempts):
        return Check(job_id, faults=faults, missing=missing)
    units = {unit["name"]: unit["count"] for unit in report["functional_units"]}
    made = sci.resettle(kept, journals, sci.Work(units, report["metrics"] or {}))
    figures = settled_json(made)
    differences = tuple(_differences(report, figures, "", OF_LARGEST * _largest(figures)))
    return Check(job_id, _count(figures), differences, faults, settlement=made)


@dataclass(frozen=True, slots=True)
class _Reported:
    """A job of a report, as sums must know it."""

    id: str
    state: JobState


def check_sums(document: Mapping[str, Any], checks: Sequence[Check]) -> Check | None:
    """``totals`` and ``group`` of a report of these jobs; None where it has neither.

    They are summed up of what was recomputed, so each job must have been.
    """
    if "jobs" not in document:
        return None
    names = ("schema_version", "totals", "group")
    parts = {name: document[name] for name in names if name in document}
    pairs: list[tuple[HasState, Settlement | None]] = []
    for report, each in zip(document["jobs"], checks, strict=True):
        if each.settlement is None and report["status"] is not None:
            return Check(None, missing=("a job of theirs could not be computed once more",))
        pairs.append((_Reported(each.job_id or "", JobState(report["state"])), each.settlement))
    made: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "totals": totals(pairs)}
    if "group" in parts:
        made["group"] = group_json(str(parts["group"]["name"]), pairs)
    differences = tuple(_differences(parts, made, "", OF_LARGEST * _largest(made["totals"])))
    return Check(None, _count(made), differences)


def same(one: JournalFile | None, other: JournalFile) -> bool:
    """Whether two files hold the same bytes, wherever they are."""
    return one is not None and (one.sha256, one.size_bytes) == (other.sha256, other.size_bytes)


def _differences(reported: Any, made: Any, path: str, least: float) -> Iterator[Difference]:
    """Where ``reported`` lacks what was ``made``, or says something else."""
    if isinstance(made, dict) and isinstance(reported, dict):
        for name in made:
            if name not in TEXTS:
                inner = f"{path}.{name}" if path else name
                yield from _differences(reported.get(name), made[name], inner, least)
        if path:
            extra = [name for name in reported if name not in made]
            yield from (Difference(f"{path}.{name}", reported[name], None) for name in extra)
    elif isinstance(made, list) and isinstance(reported, list) and len(made) == len(reported):
        for i, (one, other) in enumerate(zip(reported, made, strict=True)):
            yield from _differences(one, other, f"{path}.{i}", least)
    elif not _equal(reported, made, least if CANCELS.search(path) else 0.0):
        yield Difference(path, reported, made)


def _equal(one: Any, other: Any, least: float) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or not _is_number(one, other):
        return bool(one == other)
    return bool(abs(one - other) <= max(least, RELATIVE * max(abs(one), abs(other))))


def _is_number(*values: Any) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def _count(content: Any) -> int:
    return sum(1 for _ in _numbers(content))


def _numbers(content: Any) -> Iterator[float]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from _numbers(each)
    elif _is_number(content) and not isinstance(content, bool):
        yield content


def _largest(figures: Mapping[str, Any]) -> float:
    """The largest of the job's grams."""
    grams = (figures[name] for name in ("operational_g", "baseline_g"))
    return max((abs(n) for n in _numbers(list(grams))), default=0.0)
