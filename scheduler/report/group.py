"""All jobs of a group as one piece of work: a sweep, with whatever failed on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.base import Triple
from scheduler import sci
from scheduler.report import schema, tables
from scheduler.report.schema.common import null_reasons, total
from scheduler.report.summary import bands
from scheduler.report.units import energy, grams, per_unit, triple
from scheduler.texts import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.models import Job, Settlement
    from scheduler.report.summary import Pair

WIDTH = 110


def group_json(
    name: str, pairs: Sequence[tuple[schema.HasState, Settlement | None]]
) -> dict[str, Any]:
    """The ``group`` object: totals over its jobs, and a score per job and per unit counted.

    A score needs the total of every job that ran; of jobs that ended without counting anything
    the carbon counts all the same.
    """
    found = [s for _, s in pairs if s is not None]
    units = sci.together(s.units for s in found)
    known = [None if s is None else s.total_g for s in schema.outermost(pairs)]
    missing = sum(g is None for g in known)
    whole = None if missing else total(known)
    unbounded = whole is not None and not whole.bounded
    if unbounded:
        whole = None
    content: dict[str, Any] = {
        "name": name,
        "attempts": sum(len(s.attempts) for s in found),
        "failed_jobs": sum(job.state.ended and job.state != "succeeded" for job, _ in pairs),
        "units": units,
        "sci_g_per_job": schema.figure(whole and whole.scaled(1 / len(pairs))),
        "functional_units": [
            {
                "name": unit,
                "count": count,
                "sci_g_per_unit": schema.figure(
                    whole.scaled(1 / count) if whole and count > 0 else None
                ),
            }
            for unit, count in units.items()
        ],
    }
    why = (
        f"{missing} of {len(pairs)} jobs have no total (embodied carbon, grid zone or energy is "
        "not known), so there is no SCI of the group"
        if missing
        else "of a job here no upper bound is known, so there is no SCI of the group"
        if unbounded
        else "its count is not above zero"
    )
    sums = schema.totals(pairs)
    reasons = sums.pop("null_reasons") | null_reasons(content, {}, why)
    return content | sums | {"null_reasons": reasons}


def table(name: str, pairs: Sequence[Pair]) -> str:
    """The group for people: a line a job, then the sums and the scores."""
    found = group_json(name, pairs)
    drawn = tables.table(
        "job",
        "name",
        "state",
        "attempts>",
        "energy>",
        "total>",
        "counted",
        whole=("state",),
        optional=("counted", "attempts", "energy"),
    )
    for job, s in pairs:
        drawn.add_row(*_cells(job, s))
    lines = [f"group {printable(name)}: {found['jobs']} job(s), {found['attempts']} attempt(s), "
             f"{found['failed_jobs']} not successful; all count"]  # fmt: skip
    known = [s for s in schema.outermost(pairs) if s is not None]
    reserved = triple(total([s.reserved_kwh for s in known]), energy)
    lines.append(f"  energy  {reserved} reserved")
    lines.append(f"  carbon  {triple(total([s.operational_g for s in known]), grams)} operational, "
                 f"{triple(total([s.embodied_g for s in known]), grams)} embodied")  # fmt: skip
    saved = Triple(**found["saved_g"]) if found["saved_g"] else None
    label = "estimated, " if saved and found["saving_estimated"] else ""
    lines.append(f"  saved   {label}{triple(saved, grams)} against {found['baseline']}")
    if found["planned_band"]["runs"]:
        lines.append(f"  band    {bands(found)}")
    lines += [f"  SCI     {printable(line)}" for line in _scores(found, pairs)]
    return tables.draw("\n".join(lines), drawn, width=WIDTH)


def _scores(found: dict[str, Any], pairs: Sequence[Pair]) -> list[str]:
    if found["sci_g_per_job"] is None:
        return [f"no score: {found['null_reasons']['sci_g_per_job']}"]
    whole = total([s.total_g for s in schema.outermost(pairs) if s is not None])
    assert whole is not None  # there is a score
    counts = {"job": float(len(pairs))} | found["units"]
    return [per_unit(unit, whole.scaled(1 / n)) for unit, n in counts.items() if n > 0]


def _cells(job: Job, s: Settlement | None) -> tuple[str, ...]:
    counted = ", ".join(f"{unit} {n:g}" for unit, n in s.units.items()) if s else ""
    return (
        job.id,
        printable(job.spec.name),
        str(job.state),
        str(len(s.attempts)) if s else "0",
        energy(s.reserved_kwh.value) if s and s.reserved_kwh else "unknown",
        grams(s.total_g.value) if s and s.total_g else "unknown",
        printable(counted),
    )
