"""Instance types side by side: as a table, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.quantities import duration, significant
from scheduler.report import schema
from scheduler.report.tables import draw, table
from scheduler.report.units import energy, grams, triple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import Triple
    from scheduler.instances import HardwareVerdict, InstanceComparison, InstanceRow, Saving

WIDTH = 140
# So much wider is the table by what the work is counted in.
MORE = 14
# So many rows and reasons are shown to people; JSON has all.
SHOWN = 12
NAMED = 6
HEADS = {"hardware": "Hardware", "place": "Place", "time": "Time"}


def instances_json(found: InstanceComparison, left_out: Mapping[str, str]) -> dict[str, Any]:
    """The whole answer of ``regions --instances``; ``left_out`` are regions not looked at."""
    reasons = [{"instance": o.instance, "region": o.region, "reason": o.reason,
                "null_reasons": {} if o.region else {"region": "the type, wherever it runs"}}
               for o in found.left_out]  # fmt: skip
    reasons += [
        {"instance": None, "region": name, "reason": why,
         "null_reasons": {"instance": "the region, whatever stands there"}}
        for name, why in left_out.items()
    ]  # fmt: skip
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "basis": found.basis,
        "functional_unit": {"name": found.unit, "count": found.unit_count},
        "speed_assumed_equal": found.speed_assumed_equal,
        "instances": [_row_json(row, found) for row in found.rows],
        "verdict": _verdict_json(found.verdict),
        "left_out": reasons,
    }


def _row_json(row: InstanceRow, found: InstanceComparison) -> dict[str, Any]:
    ranked = row.grams(found.basis)
    return {
        "instance": row.instance,
        "region": row.region,
        "vcpus": row.vcpus,
        "architectures": list(row.architectures),
        "power_w": _sourced(row.watts, row.watts_source),
        "runtime_s": _sourced(row.runtime.seconds, row.runtime.source),
        "start": schema.iso(row.start),
        "end": schema.iso(row.end),
        "g_per_kwh": _sourced(row.g_per_kwh, row.intensity_source),
        "pue": _sourced(row.pue, row.pue_source),
        "energy_kwh": schema.figure(row.energy_kwh),
        "operational_g": schema.figure(row.operational_g),
        "embodied_g": schema.figure(row.embodied_g),
        "embodied_source": row.embodied_source,
        "total_g": schema.figure(row.total_g),
        "ranked_g_per_unit": schema.figure(ranked.scaled(1 / found.unit_count)),
        "same_basis": row.same_basis,
        "null_reasons": dict(row.nulls),
    }


def _sourced(figure: Triple, source: str) -> dict[str, Any]:
    return {**figure.as_dict(), "source": source}


def _verdict_json(it: HardwareVerdict) -> dict[str, Any]:
    content: dict[str, Any] = {
        "savings": [{"lever": s.lever, "saves_percent": s.percent, "by": s.by} for s in it.savings],
        "first": it.savings[0].lever if _clear(it) else None,
        "reason": it.reason or _savings(it),
    }
    why = it.reason or "no lever saves clearly more than the others"
    return content | {"null_reasons": {} if content["first"] else {"first": why}}


def instances(found: InstanceComparison, left_out: Mapping[str, str]) -> str:
    """Types for the same work, the fewest grams first."""
    unseen = [f"{o.instance}{f' in {o.region}' if o.region else ''}: {o.reason}"
              for o in found.left_out]  # fmt: skip
    unseen += [f"{name}: {why}" for name, why in left_out.items()]
    lines = [f"not ranked: {line}" for line in unseen[:NAMED]]
    if len(unseen) > NAMED:
        lines.append(f"and {len(unseen) - NAMED} more not ranked (--json)")
    if not found.rows:
        return "\n".join(["no instance type can be ranked", *lines])
    said = [*_notes(found), *lines, _answer(found.verdict)]
    return draw(_table(found), "\n".join(said), width=WIDTH + MORE * _counted(found))


def _counted(found: InstanceComparison) -> bool:
    """Whether the work is counted in anything but itself."""
    return (found.unit, found.unit_count) != ("job", 1.0)


def _table(found: InstanceComparison) -> Any:
    """Columns that say the same in every row are left out."""
    embodied = any(row.embodied_g for row in found.rows)
    counted = _counted(found)
    drawn = table(
        "instance",
        "region",
        "start UTC",
        "takes>",
        "energy>",
        "g/kWh>",
        "PUE>",
        "operational>",
        *["embodied>"] * embodied,
        "per job>" if found.basis == "total" else "O per job>",
        *[f"per {found.unit}>"] * counted,
        whole=("region", "start UTC"),  # a cut name cannot be typed
        optional=("PUE", "g/kWh", "energy", "embodied", "operational", "takes", "start UTC"),
    )
    for row in found.rows[:SHOWN]:
        ranked = row.grams(found.basis)
        drawn.add_row(
            row.instance,
            row.region + ("" if row.same_basis else " *"),
            f"{row.start:%a %H:%M}",
            duration(row.runtime.seconds.value),
            energy(row.energy_kwh.value),
            f"{row.g_per_kwh.value:.0f}",
            significant(row.pue.value),
            grams(row.operational_g.value),
            *[grams(row.embodied_g.value) if row.embodied_g else "-"] * embodied,
            triple(ranked, grams),
            *[grams(ranked.value / found.unit_count)] * counted,
        )
    return drawn


def _notes(found: InstanceComparison) -> list[str]:
    first = found.rows[0]
    bare = ", ".join(dict.fromkeys(r.instance for r in found.rows if r.embodied_g is None))
    basis = "with embodied carbon"
    if bare:
        basis = f"operational carbon only: the embodied carbon of {bare} is not known"
    lines = [f"{basis}; whole instances at full load, bounded by idle; {first.intensity_source}"]
    if len(found.rows) > SHOWN:
        lines.append(f"{len(found.rows) - SHOWN} more rows with --json")
    speeds = dict.fromkeys(
        f"{r.instance} {significant(r.watts.value)} W ({' or '.join(r.architectures)}), "
        f"{duration(r.runtime.seconds.value)}: {r.runtime.source}"
        for r in found.rows
    )
    lines += speeds
    if found.speed_assumed_equal:
        lines.append("speed assumed equal (--speed-equal): where it is not, neither is the order")
    if any(not row.same_basis for row in found.rows):
        lines.append("* told on another basis than the first: no order is safe on a small gap")
    lines.append("whether a region offers a type is not known here")
    return lines


def _answer(it: HardwareVerdict) -> str:
    if it.reason:
        return f"Hardware, place or time: not known: {it.reason}"
    if it.savings[0].percent <= 0:
        return f"Neither hardware, place nor time saves anything: {_savings(it)}"
    if not _clear(it):
        a, b = (HEADS[s.lever] for s in it.savings[:2])
        return f"{a} and {b.lower()} save the same: {_savings(it)}"
    rest = " and ".join(s.lever for s in it.savings[1:])
    head = HEADS[it.savings[0].lever]
    return f"{head} beats {rest}: {_savings(it)}" if rest else f"{head}: {_savings(it)}"


def _clear(it: HardwareVerdict) -> bool:
    return bool(it.savings) and not it.equal and it.savings[0].percent > 0


def _savings(it: HardwareVerdict) -> str:
    return ", ".join(map(_saving, it.savings))


def _saving(saving: Saving) -> str:
    what = {
        "hardware": f"{saving.by} at home now",
        "place": f"moving to {saving.by} now",
        "time": "waiting at home",
    }[saving.lever]
    percent = round(saving.percent)
    return f"{what} saves {percent} %" if percent >= 0 else f"{what} costs {-percent} % more"
