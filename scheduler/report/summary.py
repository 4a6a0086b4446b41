"""One summary of many jobs: how many, kWh, grams, saved, share measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.report import schema, tables
from scheduler.report.units import energy, grams
from scheduler.texts import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scheduler.models import Job, Settlement

Pair = tuple["Job", "Settlement | None"]
# So many jobs that a sum leaves out are named in a text.
NAMED = 5


def summarize(pairs: Iterable[Pair], group_by: str | None) -> dict[str, Any]:
    """:func:`summed` of jobs; those without the field are apart."""
    costs = ((job.spec, schema.JobCost.of(job, s)) for job, s in pairs)
    return summed(((group_by and getattr(spec, group_by), c) for spec, c in costs), group_by)


def summed(
    found: Iterable[tuple[str | None, schema.JobCost]], group_by: str | None
) -> dict[str, Any]:
    """``{group_by, groups: [{name, ...totals}], totals}`` of jobs, names and what each cost.

    They are counted as they come, in the order of submission, and none is kept.
    """
    groups: dict[str | None, schema.Totals] = {}
    whole = schema.Totals()
    names: dict[str, str | None] = {}
    for name, cost in found:
        names[cost.job_id] = name
        outer = cost.figures.within if cost.figures is not None else None
        within = outer is not None and outer in names
        whole.add(cost, inner=within)
        if group_by is not None:
            inner = within and names[outer or ""] == name
            groups.setdefault(name, schema.Totals()).add(cost, inner=inner)
    named = sorted(groups.items(), key=lambda item: (item[0] is None, item[0] or ""))
    return {
        "group_by": group_by,
        "groups": [{"name": name, **sums.as_json()} for name, sums in named],
        "totals": whole.as_json(),
    }


def table(summary: dict[str, Any], *, width: int = 110) -> str:
    """The summary for people."""
    drawn = tables.table(
        summary["group_by"] or "", "jobs>", "energy>", "operational>", "embodied>", "saved>",
        "measured>", optional=("measured", "embodied", "operational"),
    )  # fmt: skip
    for row in summary["groups"]:
        drawn.add_row(*_cells(printable(row["name"] or "(none)"), row))
    drawn.add_row(*_cells("all", summary["totals"]))
    totals = summary["totals"]
    parts = [
        f"{n} without {k.rsplit('_', 1)[0]} ({_some(totals['left_out'][k])})"
        for k, n in totals["jobs_without"].items()
    ]
    if within := totals["jobs_within"]:
        parts.append(f"{within} within another job, which counts them")
    lines = [f"not in the sums: {', '.join(parts)}"] * bool(parts)
    apart = totals["unsuccessful"]
    if apart is not None and apart["saved_g"] is not None:
        lines.append(
            f"not in the saving: {grams(apart['saved_g']['value'])} of {len(apart['job_ids'])} "
            "job(s) that failed, were cancelled or were lost"
        )
    if totals["planned_band"]["runs"]:
        lines.append(bands(totals))
    return tables.draw(drawn, *lines, width=width)


def bands(totals: dict[str, Any]) -> str:
    """In how many runs the actual intensity lay inside the plan's band."""
    found = totals["planned_band"]
    return (
        f"inside the plan's {found['aim_percent']:.0f} % band: {found['inside']} of "
        f"{found['runs']} runs ({found['inside_percent']:.0f} %)"
    )


def _some(job_ids: Sequence[str]) -> str:
    """The first of them by name, and how many more there are; JSON names them all."""
    more = len(job_ids) - NAMED
    return ", ".join(job_ids[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    def value(key: str, form: Any) -> str:
        return form(row[key]["value"]) if row[key] else "unknown"

    saved = value("saved_g", grams)
    if row["saved_percent"] is not None:
        saved += f" ({row['saved_percent']:.0f} %)"
    if row["saving_estimated"] and row["saved_g"]:
        saved += " estimated"
    reserved = row["energy_kwh"]["reserved"]
    measured = row["measured_percent"]
    return (
        name,
        str(row["jobs"]),
        energy(reserved["value"]) if reserved else "unknown",
        value("operational_g", grams),
        value("embodied_g", grams),
        saved,
        f"{measured:.0f} %" if measured is not None else "unknown",
    )
