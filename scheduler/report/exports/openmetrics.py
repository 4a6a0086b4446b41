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
    from collections.abc import Iterator, Sequence

    from scheduler.report.exports import Entry

PREFIX = "lowtide_job"
# Family, key of the report, help: figures in grams with bounds.
_GRAMS = (
    ("operational_carbon", "operational_g", "Energy times intensity times PUE"),
    ("embodied_carbon", "embodied_g", "Share of the hardware's embodied carbon"),
    ("total_carbon", "total_g", "Operational and embodied carbon"),
    ("baseline_carbon", "baseline_g", "The same energy started at release in the home region"),
    ("saved_carbon", "saved_g", "Baseline less realized; a loss is negative"),
    ("planned_carbon", "planned_g", "What the plan expected"),
)
_INFO = ("name", "group", "project", "user", "region", "zone", "state", "status", "basis")
Sample = tuple[dict[str, str], float]


def write(entries: Sequence[Entry]) -> str:
    """All families over all entries; what is not known has no sample but its reason."""
    reports = [entry.as_json() for entry in entries]
    lines: list[str] = []
    for name, unit, text, samples in _families(reports):
        family = "_".join(filter(None, (PREFIX, name, unit)))
        if not samples:
            continue
        lines += [f"# TYPE {family} gauge", *([f"# UNIT {family} {unit}"] if unit else [])]
        lines.append(f"# HELP {family} {text}")
        lines += [f"{family}{_labels(labels)} {value!r}" for labels, value in samples]
    return "\n".join([*lines, "# EOF", ""])


def _families(reports: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, str, list[Sample]]]:
    """Name, unit, help and samples of each family."""
    yield (
        "info",
        "",
        "What the job is and how its figures were made.",
        [(_info(r), 1.0) for r in reports],
    )
    yield (
        "energy",
        "joules",
        "Active energy, and reserved: with the idle draw of what was held.",
        [
            sample
            for r in reports
            for kind, figure in r["energy_kwh"].items()
            for sample in _bounds(r, figure, JOULES_PER_KWH, kind=kind)
        ],
    )
    yield (
        "component_energy",
        "joules",
        "Reserved energy by component.",
        [
            sample
            for r in reports
            for c in r["components"]
            for sample in _bounds(
                r, c["energy_kwh"], JOULES_PER_KWH, component=c["name"], method=c["method"]
            )
        ],
    )
    for name, key, text in _GRAMS:
        yield (
            name,
            "grams",
            f"{text} CO2e.",
            [sample for r in reports for sample in _bounds(r, r[key])],
        )
    yield (
        "sci",
        "grams",
        "Software Carbon Intensity: CO2e per functional unit.",
        [
            sample
            for r in reports
            for sample in _bounds(r, r["sci_g_per_unit"], unit=r["functional_unit"]["name"])
        ],
    )
    yield (
        "functional_units",
        "",
        "Units of work that the job counted.",
        [
            sample
            for r in reports
            for sample in _one(r, r["functional_unit"]["count"], unit=r["functional_unit"]["name"])
        ],
    )
    yield (
        "metric",
        "",
        "The last value of each metric that the job wrote.",
        [
            sample
            for r in reports
            for name, value in (r["metrics"] or {}).items()
            for sample in _one(r, value, metric=name)
        ],
    )
    yield (
        "intensity",
        "grams_per_kilowatt_hour",
        "Carbon intensity weighted by energy.",
        [sample for r in reports for sample in _bounds(r, r["intensity"]["bounds"])],
    )
    yield (
        "pue",
        "ratio",
        "Power usage effectiveness.",
        [sample for r in reports for sample in _bounds(r, r["pue"]["bounds"])],
    )
    yield (
        "measured",
        "ratio",
        "Share of the reserved energy that is measured.",
        [sample for r in reports for sample in _one(r, r["measured_percent"], 0.01)],
    )
    yield (
        "duration",
        "seconds",
        "The time really run.",
        [sample for r in reports for sample in _one(r, r["duration"]["actual_s"])],
    )
    yield (
        "unknown",
        "",
        "1 for each figure that is not known.",
        [
            ({"job_id": r["job_id"], "figure": path, "reason": reason}, 1.0)
            for r in reports
            for path, reason in r["null_reasons"].items()
        ],
    )


def _info(report: dict[str, Any]) -> dict[str, str]:
    told = {name: report[name] for name in _INFO} | {
        "signal": report["intensity"]["signal"],
        "intensity_kind": report["intensity"]["kind"],
        "intensity_source": report["intensity"]["source"],
        "pue_source": report["pue"]["source"],
        "methods": ",".join(f"{c['name']}={c['method']}" for c in report["components"]),
    }
    return {"job_id": report["job_id"]} | {k: v for k, v in told.items() if v}


def _bounds(
    report: dict[str, Any], figure: dict[str, float] | None, factor: float = 1.0, **labels: str
) -> list[Sample]:
    return [
        ({"job_id": report["job_id"], **labels, "bound": bound}, value * factor)
        for bound, value in (figure or {}).items()
    ]


def _one(
    report: dict[str, Any], value: float | None, factor: float = 1.0, **labels: str
) -> list[Sample]:
    return [] if value is None else [({"job_id": report["job_id"], **labels}, value * factor)]


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
