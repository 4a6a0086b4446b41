"""A comparison of runs as JSON (``schemas/compare.json``) and for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.quantities import duration, significant
from scheduler.report import plot, schema
from scheduler.report.schema.common import null_reasons
from scheduler.report.tables import draw, table
from scheduler.report.units import GRAMS, KWH, energy, grams
from scheduler.report.unsettled import unsettled
from scheduler.texts import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.base import Triple
    from scheduler.report.runs import Comparison, Run

WIDTH = 170
_UNRANKED = "the runs are not ranked: no metric was named (--by, --minimise)"


def document(found: Comparison) -> dict[str, Any]:
    """The whole of ``compare --json``."""
    content: dict[str, Any] = {
        "schema_version": schema.SCHEMA_VERSION,
        "metric": found.metric,
        "better": found.better if found.metric is not None else None,
        "against": found.against,
        "runs": [_run(run, ranked=found.metric is not None) for run in found.runs],
        "notes": list(found.notes),
    }
    own = {k: v for k, v in content.items() if k != "runs"}
    why = _UNRANKED if found.metric is None else "no run could be ranked"
    return content | {"null_reasons": null_reasons(own, {}, why)}


def _run(run: Run, *, ranked: bool) -> dict[str, Any]:
    s, job, basis = run.settlement, run.job, run.basis
    content: dict[str, Any] = {
        "job_id": job.id,
        "name": job.spec.name,
        "group": job.spec.group,
        "state": str(job.state),
        "status": s.status if s else None,
        "energy_kwh": schema.figure(s.reserved_kwh) if s else None,
        "operational_g": schema.figure(s.operational_g) if s else None,
        "embodied_g": schema.figure(s.embodied_g) if s else None,
        "total_g": schema.figure(s.total_g) if s else None,
        "functional_unit": {
            "name": s.unit if s else job.spec.unit or "job",
            "count": s.unit_count if s else None,
        },
        "sci_g_per_unit": schema.figure(s.sci_g_per_unit) if s else None,
        "units": dict(s.units) if s else {},
        "duration_s": job.ran_s,
        "power_w": schema.figure(run.power_w),
        "metrics": dict(run.metrics),
        "basis": {
            "signal": basis.signal,
            "components": list(basis.components),
            "missing": list(basis.missing),
            "embodied": basis.embodied,
        },
        "differs": list(run.differs),
        "pareto": run.pareto,
    }
    reasons = dict(s.nulls) if s else {}
    reasons["energy_kwh"] = reasons.get("energy_kwh.reserved", "")
    reasons["signal"] = reasons.get("operational_g", "")
    reasons |= {"group": "not given", "duration_s": "it has not run to its end"}
    reasons["power_w"] = reasons["energy_kwh"] or "it has not run to its end"
    reasons["pareto"] = run.why if ranked else _UNRANKED
    known = {name: why for name, why in reasons.items() if why}
    never = "" if s else unsettled(run.job, "the job")
    return content | {"null_reasons": null_reasons(content, known, never)}


def text(found: Comparison) -> str:
    """Two lines a run, figure and bounds; then the front, and what must be known of it."""
    named = [found.metric] if found.metric is not None else []
    named += sorted({n for run in found.runs for n in run.metrics if n != found.metric})
    drawn = table(
        "run", "energy>", "operational>", "embodied>", "total>", "score>", "ran>", "power>",
        *(f"{printable(name)}>" for name in named), "",
        optional=("power", "ran", "embodied", "operational", "energy"),
    )  # fmt: skip
    for run in found.runs:
        drawn.add_row(*_cells(run, named))
    lines = [*_front(found)]
    for run in found.runs:
        if run.why:
            lines.append(f"{run.job.id} is not ranked: {run.why}")
        elif run.differs:
            lines.append(f"{run.job.id} stands on another basis: {'; '.join(run.differs)}")
    lines += found.notes
    parts = [draw(drawn, *map(printable, lines), width=WIDTH + 12 * len(named))]
    if len(found.ranked) > 1:
        parts.append(_plot(found))
    return "\n".join(parts)


def _cells(run: Run, metrics: list[str]) -> list[str]:
    s, job = run.settlement, run.job
    score = "unknown"
    if s is not None and s.sci_g_per_unit is not None:
        score = _bounded(s.sci_g_per_unit, grams, f" per {printable(s.unit)}")
    return [
        f"{job.id}\n{printable(job.spec.name)}",
        _bounded(s.reserved_kwh if s else None, energy),
        *(
            _bounded(figure, grams)
            for figure in ((s.operational_g, s.embodied_g, s.total_g) if s else (None,) * 3)
        ),
        score,
        _ran(job.ran_s),
        _bounded(run.power_w, _watts),
        *(significant(run.metrics[m]) if m in run.metrics else "-" for m in metrics),
        {True: "front", False: "", None: "not ranked" if run.why else ""}[run.pareto],
    ]


def _bounded(figure: Triple | None, form: Callable[[float], str], per: str = "") -> str:
    if figure is None:
        return "unknown"
    if not figure.bounded:
        return f"{form(figure.value)}{per}\n{form(figure.low)} or more"
    low, high = form(figure.low), form(figure.high)
    if low.split()[-1] == high.split()[-1]:
        low = low.split()[0]
    return f"{form(figure.value)}{per}\n{low} to {high}"


def _ran(seconds: float | None) -> str:
    """Short runs are told apart by parts of a second."""
    if seconds is None:
        return "unknown"
    return f"{significant(seconds)} s" if seconds < 120 else duration(seconds)


def _watts(value: float) -> str:
    return f"{significant(value)} W"


def _points(found: Comparison) -> list[tuple[Run, float, float]]:
    """Ranked runs with what they spent and reached, the least spent first."""
    points = []
    for run in found.ranked:
        assert found.metric is not None  # else nothing is ranked
        assert found.against is not None
        spent = run.spent(found.against)
        assert spent is not None  # it is ranked by it
        points.append((run, spent.value, run.metrics[found.metric]))
    return sorted(points, key=lambda point: point[1])


def _front(found: Comparison) -> list[str]:
    """The runs that nothing beats, each with what it reached and what that took."""
    if not found.ranked:
        return []
    form = energy if found.against == "energy_kwh" else grams
    said = [
        f"{run.job.id} {significant(reached)} for {form(spent)}"
        for run, spent, reached in _points(found)
        if run.pareto
    ]
    head = f"front by {found.metric} ({found.better} is better), on middle values"
    return [f"{head}, {len(said)} of {len(found.ranked)} ranked: {', '.join(said)}"]


def _plot(found: Comparison) -> str:
    """In the unit that the most spent fits."""
    points = _points(found)
    scales = KWH if found.against == "energy_kwh" else GRAMS
    most = max(spent for _, spent, _ in points)
    unit, size = next((each for each in scales if most >= each[1]), scales[-1])
    return plot.front_plot(
        [spent / size for _, spent, _ in points],
        [reached for _, _, reached in points],
        [bool(run.pareto) for run, _, _ in points],
        f"{printable(found.metric or '')} against {unit}",
    )
