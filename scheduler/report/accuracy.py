"""How good forecasts and plans were: tables and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scheduler.report.tables import draw, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.scores import LeadScore, PlanScore, SourceScore

WIDTH = 110


def as_json(sources: Sequence[SourceScore], plans: PlanScore) -> dict[str, Any]:
    """``sources`` by zone and lead time, ``plans`` over all jobs; a null has its reason."""
    content = {"sources": [asdict(s) for s in sources], "plans": asdict(plans)}
    reasons = {
        f"sources.{i}.leads.{j}.mape_percent": "every actual value was zero"
        for i, source in enumerate(sources)
        for j, lead in enumerate(source.leads)
        if lead.mape_percent is None
    }
    why = "no plan's slack has passed with all its actuals known"
    if plans.jobs:
        why = "nothing was to be gained: less than 0.1 % of a start at release"
    reasons |= {f"plans.{k}": why for k, v in asdict(plans).items() if v is None}
    return content | {"null_reasons": reasons}


def text(sources: Sequence[SourceScore], plans: PlanScore) -> str:
    """A row for each source and zone, a column for each span of lead times; then the plans."""
    spans = sorted({(lead.from_h, lead.to_h) for s in sources for lead in s.leads})
    drawn = table("source", "zone", "issues>", *(f"{a} to {b} h>" for a, b in spans))
    for s in sources:
        by_span = {(lead.from_h, lead.to_h): lead for lead in s.leads}
        cells = [_cell(by_span.get(span)) for span in spans]
        drawn.add_row(s.source, s.zone, str(s.issues), *cells)
    lines = [] if sources else ["no stored forecast has actuals beside it yet"]
    tail = "MAPE, and mean of forecast minus actual in g/kWh, by lead time"
    return draw(*lines, *([drawn, tail] if sources else ()), _plans(plans), width=WIDTH)


def _cell(lead: LeadScore | None) -> str:
    if lead is None:
        return ""
    mape = "-" if lead.mape_percent is None else f"{lead.mape_percent:.1f} %"
    return f"{mape} {lead.bias_g_per_kwh:+.0f}"


def _plans(plans: PlanScore) -> str:
    left = "; ".join(f"{n} left out: {why}" for why, n in plans.left_out.items())
    if not plans.jobs:
        return "\n".join(["plans: none can be judged yet", *([left] if left else [])])
    share = "nothing to gain"
    if plans.captured_percent is not None:
        share = f"captured {plans.captured_percent:.1f} % of what perfect foresight saves"
    said = (
        f"plans of {plans.jobs} jobs: {share} ({plans.run_now_g_per_kwh:.0f} g/kWh at release, "
        f"{plans.planned_g_per_kwh:.0f} as planned, {plans.perfect_g_per_kwh:.0f} at best)"
    )
    return "\n".join([said, *([left] if left else [])])
