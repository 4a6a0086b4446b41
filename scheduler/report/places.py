"""Places side by side: as a table with bars, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.planner.bases import SAFE_GAP
from scheduler.quantities import duration
from scheduler.report import schema
from scheduler.report.tables import draw, table
from scheduler.report.terminal import power
from scheduler.report.units import change, grams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.comparison import Comparison, PlaceOrTime, Row
    from scheduler.models import Plan

WIDTH = 110
# So much wider is the table by a column that was asked for.
MORE = 10
BAR = 8
# So many places that could not be compared are named; the rest is counted.
NAMED = 3


def comparison_json(found: Comparison, left_out: Mapping[str, str]) -> dict[str, Any]:
    """The whole answer of ``regions``."""
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "regions": [_row_json(row, found.plan) for row in found.rows],
        "place_or_time": _place_or_time_json(found),
        "left_out": [{"region": name, "reason": why} for name, why in left_out.items()],
    }


def _row_json(row: Row, plan: Plan) -> dict[str, Any]:
    usual, free, data, told = row.typical, row.carbon_free, row.bringing, row.told
    cost = row.window.cost
    more: dict[str, Any] = {
        "provider": row.provider,
        "distance_km": row.distance_km,
        "yearly_g_per_kwh": usual and {"value": usual.g_per_kwh, "source": usual.source},
        "seasonal_g_per_kwh": usual and usual.seasons,
        "next_24h_g_per_kwh": schema.figure(row.next_24h),
        "basis": told and {"signal": told.signal, "factors": told.factors, "flow": told.flow},
        "same_basis": row.same_basis,
        "carbon_free_percent": free
        and {"value": free.percent, "year": free.year, "source": free.source},
        "price": None if cost is None else {"value": cost, "currency": plan.currency},
        "transfer": data and {"hours": data.hours, "kwh": data.kwh, "g": data.grams},
    }
    return schema.ranked_json(row.window, plan, more, row.nulls)


def _place_or_time_json(found: Comparison) -> dict[str, Any]:
    it = found.place_or_time
    content = {
        "home": it.home,
        "wait_saves_percent": it.wait_saves_percent,
        "move_saves_percent": it.move_saves_percent,
        "best_region": it.best_region,
        "verdict": it.verdict,
        "reason": it.reason or _savings(it, found.plan),
    }
    nulls = {name: it.reason for name, value in content.items() if value is None}
    return content | {"null_reasons": nulls}


def comparison(found: Comparison, left_out: Mapping[str, str], encoding: str) -> str:
    """Regions for a job, the best first, with what else is to be known of them."""
    plan = found.plan
    rows = [row for row in found.rows if row.window.g_per_kwh is not None]
    if not rows:
        return f"no region has a forecast: {plan.reason}"
    first = rows[0].told
    ranked = [r for r in rows if r.told and first and r.told.signal == first.signal]
    mark = _mark(encoding)
    parts: list[Any] = [_table(ranked, plan, mark)]
    apart = [row for row in rows if row not in ranked]
    if apart:
        parts += [
            "told by another signal, which answers another question:",
            _table(apart, plan, mark),
        ]
    return draw(
        *parts, "\n".join(_notes(found, ranked, left_out)), width=WIDTH + MORE * _extra(ranked)
    )


def _extra(rows: Sequence[Row]) -> int:
    """How many columns stand there only because somebody asked for them."""
    return any(row.bringing for row in rows) + any(row.window.cost is not None for row in rows)


def _table(rows: Sequence[Row], plan: Plan, mark: str) -> Any:
    """Columns that nobody has anything for are left out."""
    far = any(row.distance_km is not None for row in rows)
    free = any(row.carbon_free for row in rows)
    data = any(row.bringing for row in rows)
    priced = any(row.window.cost is not None for row in rows)
    drawn = table(
        "region",
        *["km>"] * far,
        "start UTC",
        "g/kWh>",
        "",
        "expected>",
        "change>",
        *["data>"] * data,
        *[f"{plan.currency}>"] * priced,
        "year>",
        *["CFE>"] * free,
        "runs",
        whole=("start UTC",),
        optional=("runs", "CFE", "year", "data", plan.currency, "km", "expected", ""),
    )
    most = max(_height(row) for row in rows)
    for row in rows:
        window = row.window
        saved = plan.saving_of(window)
        drawn.add_row(
            window.region + ("" if row.same_basis else " *"),
            *[_whole(row.distance_km)] * far,
            f"{window.start:%a %H:%M}",
            _whole(window.g_per_kwh.value if window.g_per_kwh else None),
            mark * max(1, round(BAR * _height(row) / most)) if most else mark,
            grams(window.grams.value) if window.grams else "-",
            change(saved) if saved is not None else "-",
            *[duration(row.bringing.hours * 3600) if row.bringing else "-"] * data,
            *["-" if window.cost is None else f"{window.cost:.2f}"] * priced,
            _whole(row.typical.g_per_kwh if row.typical else None),
            *[f"{row.carbon_free.percent:.0f} %" if row.carbon_free else "-"] * free,
            "yes" if window.dispatchable else "no",
        )
    return drawn


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _height(row: Row) -> float:
    """What the bar shows: expected grams, the intensity where no power is known."""
    shown = row.window.grams or row.window.g_per_kwh
    return shown.value if shown else 0.0


def _mark(encoding: str) -> str:
    """What bars are made of, on a terminal of this encoding."""
    try:
        "█".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "#"
    return "█"


def _notes(found: Comparison, rows: Sequence[Row], left_out: Mapping[str, str]) -> list[str]:
    """What counts, what is not safe, and the answer: place or time."""
    plan, it = found.plan, found.place_or_time
    basis = "with embodied carbon" if plan.basis == "total" else "operational carbon only"
    lines = [f"{basis}; {power(plan)}; {plan.forecast_source}, {plan.signal}"]
    other = [row.told for row in rows if not row.same_basis and row.told]
    if other:
        ways = ", ".join(sorted({f"{t.factors or 'unknown'} {t.flow or 'unknown'}" for t in other}))
        lines.append(
            f"* told on another basis ({ways}): against the first, no order is safe on a gap "
            f"below {100 * SAFE_GAP:.0f} %"
        )
    if left_out:
        named = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:NAMED])
        more = f"; and {len(left_out) - NAMED} more (--json)" if len(left_out) > NAMED else ""
        lines.append(f"left out: {named}{more}")
    lines.append(_answer(it, plan))
    return lines


def _answer(it: PlaceOrTime, plan: Plan) -> str:
    if it.verdict is None:
        return f"Place or time: not known: {it.reason}"
    heads = {"place": "Place beats time", "time": "Time beats place"}
    head = heads.get(it.verdict, "Place and time save the same")
    return f"{head}: {_savings(it, plan)}"


def _savings(it: PlaceOrTime, plan: Plan) -> str:
    """What moving and waiting do, the better one first."""
    assert it.wait_saves_percent is not None  # there is a verdict
    if it.move_saves_percent is None:
        return it.reason
    move = f"moving to {it.best_region} {_saves(it.move_saves_percent)}"
    slack = ""
    if plan.latest_safe_start is not None:
        span = duration((plan.latest_safe_start - plan.made_at).total_seconds())
        slack = f" up to {span.removesuffix(' 00m')}"
    wait = f"waiting at home{slack} {_saves(it.wait_saves_percent)}"
    return ", ".join([wait, move] if it.verdict == "time" else [move, wait])


def _saves(percent: float) -> str:
    rounded = round(percent)
    return f"saves {rounded} %" if rounded >= 0 else f"costs {-rounded} % more"
