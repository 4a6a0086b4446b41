"""OpenMetrics 1.0 text (github.com/prometheus/OpenMetrics) that the older format's readers take.

node_exporter's textfile collector reads Prometheus text format 0.0.4, to which ``# UNIT`` and
``# EOF`` are comments but ``info`` and ``stateset`` are errors (phyber/jail_exporter#287): so
all families are gauges. Figures are no counters either: a bound may fall when a gap is closed,
and a settlement is made anew when its source revises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.base import JOULES_PER_KWH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.report.exports import Entry

PREFIX = "lowtide_job"
Sample = tuple[dict[str, str], float]
Report = dict[str, Any]


def write(entries: Sequence[Entry]) -> str:
    """All families over all entries; what is not known has no sample but its reason."""
    reports = [entry.as_json() for entry in entries]
    lines: list[str] = []
    for name, unit, text, of in _FAMILIES:
        family = "_".join(filter(None, (PREFIX, name, unit)))
        samples = [sample for report in reports for sample in of(report)]
        if not samples:
            continue
        lines += [f"# TYPE {family} gauge", *([f"# UNIT {family} {unit}"] if unit else [])]
        lines.append(f"# HELP {family} {text}")
        lines += [f"{family}{_labels(labels)} {value!r}" for labels, value in samples]
    return "\n".join([*lines, "# EOF", ""])


def _info(report: Report) -> list[Sample]:
    own = ("name", "group", "project", "user", "region", "zone", "state", "status", "basis")
    told = {name: report[name] for name in own} | {
        "signal": report["intensity"]["signal"],
        "intensity_kind": report["intensity"]["kind"],
        "intensity_source": report["intensity"]["source"],
        "pue_source": report["pue"]["source"],
        "methods": ",".join(f"{c['name']}={c['method']}" for c in report["components"]),
    }
    return [({"job_id": report["job_id"]} | {k: v for k, v in told.items() if v}, 1.0)]


def _energy(report: Report) -> list[Sample]:
    found = report["energy_kwh"].items()
    return [s for kind, f in found for s in _bounds(report, f, JOULES_PER_KWH, kind=kind)]


def _components(report: Report) -> list[Sample]:
    return [
        sample
        for c in report["components"]
        for sample in _bounds(
            report, c["energy_kwh"], JOULES_PER_KWH, component=c["name"], method=c["method"]
        )
    ]


def _metrics(report: Report) -> list[Sample]:
    found = (report["metrics"] or {}).items()
    return [sample for name, value in found for sample in _one(report, value, metric=name)]


def _unknown(report: Report) -> list[Sample]:
    # What lacks in the evidence is no figure.
    reasons = report["null_reasons"].items()
    found = [(path, why) for path, why in reasons if not path.startswith("evidence.")]
    return [s for path, why in found for s in _one(report, 1.0, figure=path, reason=why)]


def _grams(key: str) -> Callable[[Report], list[Sample]]:
    return lambda report: _bounds(report, report[key])


def _bounds(
    report: Report, figure: dict[str, float | None] | None, factor: float = 1.0, **labels: str
) -> list[Sample]:
    return [
        ({"job_id": report["job_id"], **labels, "bound": bound}, value * factor)
        for bound, value in (figure or {}).items()
        if value is not None
    ]


def _one(report: Report, value: float | None, factor: float = 1.0, **labels: str) -> list[Sample]:
    return [] if value is None else [({"job_id": report["job_id"], **labels}, value * factor)]


def _unit(report: Report) -> str:
    name: str = report["functional_unit"]["name"]
    return name


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# Name, unit (the name's end), help, and the samples of one report.
_FAMILIES: tuple[tuple[str, str, str, Callable[[Report], list[Sample]]], ...] = (
    ("info", "", "What the job is and how its figures were made.", _info),
    (
        "energy",
        "joules",
        "Active energy, and reserved: with the idle draw of what was held.",
        _energy,
    ),
    ("component_energy", "joules", "Reserved energy by component.", _components),
    ("operational_carbon", "grams", "Energy times intensity times PUE.", _grams("operational_g")),
    ("embodied_carbon", "grams", "Share of the hardware's embodied carbon.", _grams("embodied_g")),
    ("total_carbon", "grams", "Operational and embodied carbon.", _grams("total_g")),
    ("baseline_carbon", "grams", "Started at release in the home region.", _grams("baseline_g")),
    ("saved_carbon", "grams", "Baseline less realized; a loss is negative.", _grams("saved_g")),
    (
        "first_come_saved_carbon",
        "grams",
        "Saved against first come, first served on the same slots.",
        lambda r: _bounds(r, r["first_come"]["saved_g"]),
    ),
    ("planned_carbon", "grams", "What the plan expected.", _grams("planned_g")),
    (
        "sci",
        "grams",
        "Software Carbon Intensity: CO2e per functional unit.",
        lambda r: _bounds(r, r["sci_g_per_unit"], unit=_unit(r)),
    ),
    (
        "functional_units",
        "",
        "Units of work that the job counted.",
        lambda r: _one(r, r["functional_unit"]["count"], unit=_unit(r)),
    ),
    ("metric", "", "The last value of each metric that the job wrote.", _metrics),
    (
        "intensity",
        "grams_per_kilowatt_hour",
        "Carbon intensity weighted by energy.",
        lambda r: _bounds(r, r["intensity"]["bounds"]),
    ),
    ("pue", "ratio", "Power usage effectiveness.", lambda r: _bounds(r, r["pue"]["bounds"])),
    (
        "water",
        "liters",
        "Water used on site, location-based.",
        lambda r: _bounds(r, r["water"] and r["water"]["litres"]),
    ),
    (
        "measured",
        "ratio",
        "Share of the reserved energy that is measured.",
        lambda r: _one(r, r["measured_percent"], 0.01),
    ),
    (
        "duration",
        "seconds",
        "The time really run.",
        lambda r: _one(r, r["duration"]["actual_s"]),
    ),
    ("unknown", "", "1 for each figure that is not known, with the reason.", _unknown),
)
