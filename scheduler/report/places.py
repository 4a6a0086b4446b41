"""Regions side by side: as JSON, and as a table with a bar for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.catalogue import CARBON_FREE_SOURCE
from providers.intensity.typical import season_of
from scheduler.quantities import duration
from scheduler.report import schema
from scheduler.report.strip import BLOCKS
from scheduler.report.tables import draw, table
from scheduler.report.units import change, energy, grams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from scheduler.comparison import Comparison, PlaceOrTime, Row
    from scheduler.models import Plan

WIDTH = 120
BAR = 8
NOTHING = "no region is left: none is of that name, provider, country and distance at once"
NOT_PUBLISHED = "only Google publishes it by region"
NOT_YET = "Google has published no figure for it yet"


def comparison_json(
    found: Comparison, notes: Sequence[str], limit: int | None = None
) -> dict[str, Any]:
    """Every region that was compared, the best first, and whether place beats time."""
    near = found.near
    content = {
        "regions": [_row_json(row, found.plan) for row in found.rows[:limit]],
        "place_or_time": _place_or_time_json(found.place_or_time),
        "notes": list(notes),
    }
    if near is not None:
        content["near"] = {"name": near.name, "lat": near.lat, "lon": near.lon}
    return content


def nothing_json(notes: Sequence[str]) -> dict[str, Any]:
    """The same where no region is left to compare."""
    content = {"regions": [], "place_or_time": None, "notes": [NOTHING, *notes]}
    return schema.with_reasons(content, {"place_or_time": NOTHING})


def _row_json(row: Row, plan: Plan) -> dict[str, Any]:
    usual, hauling, cost = row.typical, row.hauling, row.window.cost
    more = {
        "saving_percent": row.saving_percent,
        "provider": row.provider,
        "place": row.place,
        "country": row.country,
        "zone": row.zone,
        "basis": {
            "signal": row.footing.signal,
            "factors": row.footing.factors,
            "flow": row.footing.flow,
        },
        "yearly_g_per_kwh": usual.yearly if usual else None,
        "yearly_source": usual.source if usual else None,
        "seasonal_g_per_kwh": dict(usual.seasons) if usual and usual.seasons else None,
        "next_hours": {"hours": 24, "g_per_kwh": schema.figure(row.next_day)},
        "carbon_free_percent": row.carbon_free_percent,
        "carbon_free_year": row.carbon_free_year,
        "carbon_free_source": None if row.carbon_free_year is None else CARBON_FREE_SOURCE,
        "price": None if cost is None else {"value": cost, "currency": plan.currency},
        "transfer": None
        if hauling is None
        else {"hours": hauling.hours, "kwh": hauling.kwh, "g": hauling.g},
        "distance_km": row.distance_km,
    }
    nulls = {
        "price": "no price is set for the region (regions.<name>.price)",
        "transfer": "no --data was given",
        "country": f"nobody said so (regions.{row.name}.country)",
        "basis": "its sources do not say so, or do not agree",
        **dict.fromkeys(
            ("carbon_free_percent", "carbon_free_year", "carbon_free_source"),
            NOT_YET if row.provider == "gcp" else NOT_PUBLISHED,
        ),
        **row.nulls,
    }
    return schema.region_json(row.window, plan, more, nulls)


def _place_or_time_json(told: PlaceOrTime) -> dict[str, Any]:
    content = {
        "home": told.home,
        "slack_s": told.slack_s,
        "wait_saves_percent": told.wait_percent,
        "move_saves_percent": told.move_percent,
        "both_save_percent": told.both_percent,
        "best_region": told.best_region,
        "verdict": told.verdict,
        "said": verdict(told),
    }
    return schema.with_reasons(content, dict.fromkeys(content, told.reason))


def verdict(told: PlaceOrTime) -> str:
    """Whether place beats time, in a sentence."""
    if told.wait_percent is None or told.move_percent is None or told.both_percent is None:
        return f"Place or time: not known, as {told.reason}"
    move = f"moving to {told.best_region} {_saves(told.move_percent)}"
    waits = f"waiting in {told.home} up to {duration(told.slack_s)} {_saves(told.wait_percent)}"
    both = f"both {round(told.both_percent)} %"
    if told.verdict is None:
        return f"Place or time: not decided, as {told.reason}; {move}, {waits}, {both}"
    if told.verdict == "time":
        return f"Time beats place: {waits}, {move}, {both}"
    head = "Place beats time" if told.verdict == "place" else "Place and time save the same"
    return f"{head}: {move}, {waits}, {both}"


def _saves(percent: float) -> str:
    rounded = round(percent)
    return f"saves {rounded} %" if rounded >= 0 else f"emits {-rounded} % more"


def comparison_table(
    found: Comparison, now: datetime, *, limit: int | None = None, encoding: str = "utf-8"
) -> str:
    """One line a region; what is unknown or the same for all of them has no column."""
    rows, currency = found.rows[:limit], found.plan.currency
    season, mark = season_of(now.month), _mark(encoding)
    bases = {row.footing for row in rows}
    optional = {
        "km>": [_number(row.distance_km) for row in rows],
        "data>": [_hauling(row) for row in rows],
        f"{currency}>": [_number(row.window.cost, 2) for row in rows],
        "free>": [_percent(row.carbon_free_percent) for row in rows],
        "basis": [str(row.footing) if len(bases) > 1 else "" for row in rows],
    }
    told = {name: cells for name, cells in optional.items() if any(cells)}
    drawn = table(
        *("region", "start UTC", "g/kWh>", "24 h>", f"{season}>", "year>", "expected>", "change>"),
        *("", *told),
        gap=2,
    )
    most = max(row.weight for row in rows)
    for i, row in enumerate(rows):
        usual, saved = row.typical, row.saving_percent
        drawn.add_row(
            f"{row.name} *" if row.runs else row.name,
            f"{row.window.start:%a %H:%M}",
            _number(row.window.g_per_kwh.value if row.window.g_per_kwh else None),
            _number(row.next_day.value if row.next_day else None),
            _number(usual.seasons.get(season) if usual else None),
            _number(usual.yearly if usual else None),
            grams(row.window.grams.value) if row.window.grams else "",
            "" if saved is None else change(saved),
            mark * max(1, round(BAR * row.weight / most)) if most > 0 else "",
            *(cells[i] for cells in told.values()),
        )
    return draw(drawn, "\n".join(_legend(found, rows, season, tuple(told))), width=WIDTH)


def _legend(
    found: Comparison, rows: Sequence[Row], season: str, columns: Sequence[str]
) -> list[str]:
    plan, home = found.plan, found.place_or_time.home
    counted = "with embodied carbon" if plan.basis == "total" else "operational carbon only"
    watts = plan.power.watts
    power = "power unknown" if watts is None else f"{watts.value:.3g} W {plan.power.source}"
    bases = {row.footing for row in rows}
    same = f"; {next(iter(bases))}" if len(bases) == 1 else ""
    lines = [
        f"expected: best window, {counted}, {power}{same}; change: against now in {home}",
        f"24 h, {season}, year: means of the next 24 h, and of those months and a year by the "
        "embedded tables",
    ]
    if any(row.runs for row in rows):
        lines.append("*: jobs can be run there")
    if found.near is not None:
        lines.append(f"km: from {found.near.name}, along a great circle")
    if "free>" in columns:
        years = sorted({str(row.carbon_free_year) for row in rows if row.carbon_free_year})
        told = f"free: share of carbon-free energy in {', '.join(years)}, contracts counted"
        lines.append(f"{told} ({CARBON_FREE_SOURCE})")
    if "data>" in columns:
        lines.append("data: time, energy and carbon of bringing the data there, counted in grams")
    if len(rows) < len(found.rows):
        lines.append(f"the best {len(rows)} of {len(found.rows)} regions")
    return lines


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"


def _hauling(row: Row) -> str:
    if row.hauling is None:
        return ""
    if not row.hauling.kwh:
        return "is there"
    h = row.hauling
    return f"{duration(h.hours * 3600)}, {energy(h.kwh)}, {grams(h.g)}"


def _mark(encoding: str) -> str:
    try:
        BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "#"
    return BLOCKS[-1]
