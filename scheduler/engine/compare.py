"""Places side by side for one job: when each would run it, and what else there is to know."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from providers import catalogue
from providers.intensity import climatology, country_mean
from scheduler.comparison import Bringing, Comparison, Row, Told, Typical
from scheduler.engine import places, planner, planning, selection, verdict
from scheduler.engine.field import Sight, field_of

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.engine.places import Field, Option
    from scheduler.engine.planning import Case
    from scheduler.engine.selection import Spot
    from scheduler.models import JobSpec, Plan, Window

DAY = timedelta(hours=24)
SEASONS = {"DJF": (11, 0, 1), "MAM": (2, 3, 4), "JJA": (5, 6, 7), "SON": (8, 9, 10)}


def compare(ctx: Context, spec: JobSpec, origin: Spot | None, now: datetime) -> Comparison:
    """The regions of ``spec`` by grams; distances are from ``origin``.

    Each is asked once, for the plan and the next 24 hours together.
    """
    sight = Sight(ctx, now, max(spec.deadline or now, now + DAY), now)
    made = planner.plan(ctx, spec, now, to_run=False, sight=sight, compare=True)
    field = field_of(ctx, spec, now, to_run=False, sight=sight, compare=True)
    settings = ctx.config.settings
    case = planning.prepare(spec, field, now, currency=settings.currency)
    rows = _rows(made, case, field, origin, now)
    shown = {row.window.region for row in rows}
    return Comparison(
        plan=made,
        rows=rows,
        place_or_time=verdict.place_or_time(case, field, settings.hysteresis),
        left_out={
            o.region.name: _why_not(o, case, field)
            for o in field.candidates
            if o.region.name not in shown
        },
    )


@cache
def typical(zone: str) -> Typical | None:
    """A zone's usual intensity: by month and hour where that is known, else its yearly mean, else
    that of its country.

    Every month and hour counts the same.
    """
    table, mean = climatology.months(zone), climatology.yearly(zone)
    if table is not None:
        seasons = {name: float(table[list(m)].mean()) for name, m in SEASONS.items()}
        return Typical(float(table.mean()), climatology.source(zone), seasons)
    if mean is not None:
        return Typical(mean, climatology.source(zone), seasons=None)
    told = country_mean.yearly(zone)
    return None if told is None else Typical(*told, seasons=None)


def told(option: Option) -> Told | None:
    """The basis of what is known of a region; None where nothing is."""
    series = option.known.series
    return None if series is None else Told(series.signal, series.factors, series.flow)


def _rows(
    made: Plan, case: Case, field: Field, origin: Spot | None, now: datetime
) -> tuple[Row, ...]:
    """Rows by grams; those of another signal than the first stand last: it answers another
    question.
    """
    options = {o.region.name: o for o in (*field.compared, *field.candidates)}
    first = told(options[made.window.region])
    rows = [
        _row(window, options[window.region], case, field, first, origin, now)
        for window in (made.window, *made.alternatives)
    ]
    return tuple(sorted(rows, key=lambda r: not _same_signal(r.told, first)))


def _same_signal(one: Told | None, other: Told | None) -> bool:
    return one is None or other is None or one.signal == other.signal


def _row(
    window: Window,
    option: Option,
    case: Case,
    field: Field,
    first: Told | None,
    origin: Spot | None,
    now: datetime,
) -> Row:
    region, series = option.region, option.known.series
    usual = None if region.zone is None else typical(region.zone)
    free = catalogue.carbon_free().get(region.name)
    nulls = {
        "price": "no price is set for the region (regions.<name>.price), or no power is known",
        "basis": option.known.reason,
        "g_per_kwh": option.known.reason,
        "next_24h_g_per_kwh": option.known.reason or "its forecast has a hole in the next 24 hours",
        "carbon_free_percent": "no figure by region is published (Google alone tells one)",
        "transfer": "no --data was given",
        "yearly_g_per_kwh": f"no embedded table knows zone {region.zone}"
        if region.zone
        else option.known.reason,
        "seasonal_g_per_kwh": "only a yearly mean is known"
        if usual
        else "nothing is known of its year",
        "distance_km": "no place to start from: add --near, or lat and lon to the home region"
        if origin is None
        else selection.nowhere(region),
    }
    nulls["cost"] = nulls["price"]
    day = (now.timestamp(), (now + DAY).timestamp())
    return Row(
        window=window,
        provider=region.provider,
        distance_km=selection.from_origin(region, origin),
        typical=usual,
        next_24h=None if series is None else series.mean(*day),
        told=told(option),
        carbon_free=free,
        bringing=_bringing(option, case, field),
        same_basis=told(option) == first,
        nulls=nulls,
    )


def _bringing(option: Option, case: Case, field: Field) -> Bringing | None:
    """None where no data is to be brought anywhere; nothing at home, where the data are."""
    spec = case.spec
    if not spec.data_gb:
        return None
    place = places.place(spec, option, field, case.basis)
    away = option.region.name != field.home.region.name
    kwh = spec.data_gb * field.transfer.kwh_per_gb if away else 0.0
    return Bringing(place.ready_s / 3600.0, kwh, place.once_g)


def _why_not(option: Option, case: Case, field: Field) -> str:
    """Why a region has no window."""
    if option.known.series is None:
        return option.known.reason
    ready_s = places.place(case.spec, option, field, case.basis).ready_s
    if case.request.earliest_s + ready_s > case.request.latest_s:
        return f"bringing the data takes {ready_s / 3600:.1f} h: longer than the job may wait"
    return "its forecast has a hole in every window of the job"
