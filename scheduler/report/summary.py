"""One summary of many jobs: how many, kWh, grams, saved, share measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.report import schema, tables
from scheduler.report.units import energy, grams
from scheduler.texts import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.models import Figures, Job, Settlement

Pair = tuple["Job", "Settlement | None"]


def summarize(pairs: Iterable[Pair], group_by: str | None) -> dict[str, Any]:
    """:func:`summed` of jobs; those without the field are apart."""
    named = ((job.id, group_by and getattr(job.spec, group_by), s) for job, s in pairs)
    return summed(named, group_by)


def summed(
    found: Iterable[tuple[str, str | None, Settlement | Figures | None]], group_by: str | None
) -> dict[str, Any]:
    """``{group_by, groups: [{name, ...totals}], totals}`` of jobs, names and what each cost.

    They are counted as they come, in the order of submission, and none is kept.
    """
    groups: dict[str | None, schema.Totals] = {}
    whole = schema.Totals()
    names: dict[str, str | None] = {}
    for job_id, name, spent in found:
        names[job_id] = name
        outer = spent.within if spent is not None else None
        within = outer is not None and outer in names
        whole.add(spent, inner=within)
        if group_by is not None:
            inner = within and names[outer or ""] == name
            groups.setdefault(name, schema.Totals()).add(spent, inner=inner)
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
    without = summary["totals"]["jobs_without"]
    said = ", ".join(f"{n} without {k.rsplit('_', 1)[0]}" for k, n in without.items())
    if within := summary["totals"]["jobs_within"]:
        said = ", ".join(filter(None, (said, f"{within} within another job, which counts them")))
    return tables.draw(drawn, f"not in the sums: {said}" if said else "", width=width)


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
