"""Regions side by side for a job: what each is usually and next, and whether place beats time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from providers import catalogue
from providers.errors import NoData
from providers.intensity import typical
from providers.series import from_unix
from scheduler.comparison import Comparison, Hauling, Row
from scheduler.engine import places, planner, planning
from scheduler.engine.field import Sight, field_of
from scheduler.engine.footing import footing, known_of, unsafe
from scheduler.engine.place_or_time import place_or_time
from scheduler.models import saving_percent
from scheduler.planner import window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from providers.intensity.typical import Typical
    from scheduler.comparison import Footing, Spot
    from scheduler.engine.context import Context
    from scheduler.engine.places import Option
    from scheduler.engine.planning import Case
    from scheduler.models import JobSpec, Window
    from scheduler.regions import Region

NEXT = timedelta(hours=24)


def compare(ctx: Context, spec: JobSpec, now: datetime, near: Spot | None = None) -> Comparison:
    """Compare the regions that ``spec`` names; the job has a duration, and weighs grams only."""
    assert spec.duration_s is not None
    end = (spec.latest_start or spec.release) + timedelta(seconds=spec.duration_s)
    # Sources are asked once: the sight keeps what they tell the plan.
    sight = Sight(ctx, now, max(end, now + NEXT), now)
    made = planner.plan(ctx, spec, now, to_run=False, sight=sight)
    field = field_of(ctx, spec, now, to_run=False, sight=sight)
    case = planning.prepare(spec, field, now, currency=made.currency)
    # Those on another basis than the plan is made on are listed beside the others.
    everyone = (*case.field.candidates, *case.field.apart)
    sides = [(option, places.place(spec, option, field, case.basis)) for option in everyone]
    best = window.decide([place for _, place in sides], case.request, case.basis).per_place
    pairs = list(zip(everyone, best, strict=True))
    home = footing(case.field.home)
    signal = home.signal if home else made.signal
    rows = [
        _row(case, option, planning.window_of(case, choice, option), signal, near)
        for option, choice in pairs
        if choice is not None
    ]
    rows.sort(key=lambda r: (r.footing.signal != signal, r.weight, r.window.start, r.name))
    unknown = [
        f"{o.region.name} is not ranked: {o.known.reason or 'a hole lies in every window'}"
        for o, choice in pairs
        if choice is None
    ]
    notes = (*_order_notes(rows), *unknown)
    return Comparison(made, tuple(rows), place_or_time(case, sides), notes, near)


def _row(case: Case, option: Option, found: Window, signal: str | None, near: Spot | None) -> Row:
    region, base, series = option.region, footing(option), known_of(option)
    assert base is not None  # a window was found in it
    assert series is not None
    listed = catalogue.catalogue().get(region.name)
    usual, unusual = _typical(region)
    nulls = {
        "yearly_g_per_kwh": unusual,
        "yearly_source": unusual,
        "seasonal_g_per_kwh": f"{usual.source} has one value for the year" if usual else unusual,
        "next_hours": "the forecast does not cover the next 24 h: it ends at "
        f"{from_unix(float(series.ends[-1])):%Y-%m-%dT%H:%MZ}, or has a hole",
        "distance_km": f"nobody said where it stands (regions.{region.name}.lat and lon)"
        if near
        else "no --near was given",
    }
    alike = base.signal == signal
    if not alike:
        nulls["saving_percent"] = f"{base.signal} and {signal} intensity are not compared"
    return Row(
        name=region.name,
        place=region.place,
        provider=region.provider,
        country=region.country,
        zone=region.zone,
        runs=region.executor is not None,
        window=found,
        footing=base,
        saving_percent=saving_percent(case.run_now.grams, found.grams) if alike else None,
        next_day=series.mean(case.now.timestamp(), (case.now + NEXT).timestamp()),
        typical=usual,
        carbon_free_percent=listed.carbon_free_percent if listed else None,
        carbon_free_year=listed.carbon_free_year if listed else None,
        hauling=_hauling(case, option),
        distance_km=near.km_to(region.lat, region.lon) if near else None,
        nulls=nulls,
    )


def _typical(region: Region) -> tuple[Typical | None, str]:
    """The means of its zone, or why there are none."""
    if region.zone is None:
        return None, f"region {region.name} has no grid zone"
    try:
        return typical.of(region.zone), ""
    except NoData as e:
        return None, str(e)


def _hauling(case: Case, option: Option) -> Hauling | None:
    gb, line = case.spec.data_gb, case.field.transfer
    if not gb:
        return None
    if option.region.name == case.field.home.region.name:
        return Hauling(0.0, 0.0, 0.0)
    once_g = places.place(case.spec, option, case.field, case.basis).once_g
    return Hauling(gb * line.seconds_per_gb / 3600, gb * line.kwh_per_gb, once_g)


def _order_notes(rows: Sequence[Row]) -> list[str]:
    """Where the order of the list is not to be trusted."""
    signals = list(dict.fromkeys(row.footing.signal for row in rows))
    notes = []
    if len(signals) > 1:
        notes.append(
            f"{' and '.join(signals)} intensity are not ranked against each other: regions of the "
            "one are listed after those of the other"
        )
    for signal in signals:
        first, *rest = [row for row in rows if row.footing.signal == signal]
        if rest and (why := unsafe(_figure(first), _figure(rest[0]))):
            notes.append(f"the order of the first two is not safe: {why}")
    return notes


def _figure(row: Row) -> tuple[str, Footing, float]:
    return row.name, row.footing, row.weight
