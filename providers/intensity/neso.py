"""Great Britain and its regions: NESO's Carbon Intensity API, free and without a key.

Half hours in g CO2/kWh of what is consumed, imports included; 48 h ahead. Regions have no
actuals: there the last forecast of a half hour stands for it, and its source says so.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from providers.errors import NoData
from providers.intensity.fields import items, member, moment, number, wrong
from providers.intensity.points import series_of, spans
from providers.series import SourceInfo, empty, from_unix, to_unix
from providers.settings import ProviderSettings, checked
from providers.transport import Http, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from providers.intensity.points import Point
    from providers.series import Kind, Series
    from providers.surroundings import Surroundings

Told = Literal["forecast", "actual"]

NAME = "NESO"
REGIONAL = "NESO regional"
NO_ACTUALS = "NESO regional (last forecast, no actuals)"
STEP_S = 1800.0
# A longer period is none of this source: half hours since it began.
LONGEST_PERIOD_S = 3600.0
HORIZON = timedelta(hours=48)
NATIONAL = "GB"
# Regions 1 to 14 are those of the distribution networks, 15 to 17 the countries.
COUNTRIES = {"england": 15, "scotland": 16, "wales": 17}
REGIONS = range(1, 18)
# The outward part of a postcode: RG10, EC1V, M1.
OUTWARD = re.compile(r"[A-Z]{1,2}[0-9][0-9A-Z]?")


class Settings(ProviderSettings):
    """``range_days``: the API refuses ranges of more than 14 days."""

    base_url: str = "https://api.carbonintensity.org.uk"
    ttl_s: Annotated[float, Field(ge=0)] = 1800.0
    call_every_s: Annotated[float, Field(gt=0)] = 1.0
    range_days: Annotated[float, Field(gt=0, le=30)] = 13.0
    final_after_h: Annotated[float, Field(ge=0)] = 48.0


class Neso:
    """The national figure (zone GB), a region (regionid/13) or a postcode (RG10)."""

    def __init__(self, settings: Settings, here: Surroundings) -> None:
        self._base = settings.base_url.rstrip("/")
        self._longest = timedelta(days=settings.range_days)
        # No limit is published: one call a second is gentle.
        policy = Policy(NAME, settings.ttl_s, calls=1, per_s=settings.call_every_s)
        self._http = Http(policy, here)
        self.info = SourceInfo(
            name=NAME,
            title="Great Britain and its regions, 48 h ahead (National Energy System Operator)",
            signal="average",
            # NESO's methodology counts CO2 of generation alone: wind, sun and atoms are 0.
            factors="direct",
            flow="consumption",
            licence="CC-BY-4.0, National Energy System Operator",
            step_s=STEP_S,
            horizon_h=HORIZON.total_seconds() / 3600,
            has_actuals=True,
            shiftable=True,
            # Actuals are estimates that are replaced within hours to days; no date is published.
            final_after_s=settings.final_after_h * 3600,
            live=True,
        )

    def zones(self) -> frozenset[str] | None:
        """The nation; regions and postcodes are asked for by their own names besides."""
        return frozenset({NATIONAL, *COUNTRIES, *(f"regionid/{n}" for n in REGIONS)})

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """The last forecast of each half hour; where there is none, what was measured."""
        place = place_of(zone)
        low, high = to_unix(start), to_unix(end)
        if low >= high or low >= to_unix(now + HORIZON):
            return empty(zone, self.info.signal, "forecast", now)
        info = replace(self.info, name=REGIONAL) if place else self.info
        bodies = self._ask(forecast_paths(place, start, end, now, self._longest))
        points = [p for body in bodies for p in points_of(body, "forecast")]
        return series_of(info, zone, "forecast", now, points).clip(low, high)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What was measured; of a region the last forecast, as an estimate."""
        place = place_of(zone)
        low, high = to_unix(start), to_unix(end)
        kind: Kind = "estimate" if place else "actual"
        if low >= high:
            return empty(zone, self.info.signal, kind, end)
        info = replace(self.info, name=NO_ACTUALS) if place else self.info
        told: Told = "forecast" if place else "actual"
        bodies = self._ask(range_paths(place, start, end, self._longest))
        points = [p for body in bodies for p in points_of(body, told)]
        return series_of(info, zone, kind, end, points).clip(low, high)

    def _ask(self, paths: Iterator[str]) -> Iterator[Any]:
        for path in paths:
            yield self._http.get(f"{self._base}{path}").json()


def place_of(zone: str) -> str:
    """The end of the path that names a region; empty for the nation."""
    if zone == NATIONAL:
        return ""
    if zone.lower() in COUNTRIES:
        return f"/regionid/{COUNTRIES[zone.lower()]}"
    kind, _, name = zone.rpartition("/")
    if kind == "regionid" and name.isascii() and name.isdecimal() and int(name) in REGIONS:
        return f"/regionid/{int(name)}"
    if kind in ("", "postcode") and OUTWARD.fullmatch(name.upper()):
        return f"/postcode/{name.upper()}"
    raise NoData(
        f"{NAME} has no zone {zone}: it has {NATIONAL}, {', '.join(COUNTRIES)}, regionid/1 to "
        f"regionid/{REGIONS[-1]}, and the outward part of postcodes (RG10)"
    )


def forecast_paths(
    place: str, start: datetime, end: datetime, now: datetime, longest: timedelta
) -> Iterator[str]:
    """What is past by ranges, then 48 h from the current half hour: one address for all."""
    current = _half_hour(now)
    yield from range_paths(place, start, min(end, current), longest)
    if end > current:
        yield f"{_root(place)}/{_stamp(current)}/fw48h{place}"


def range_paths(place: str, start: datetime, end: datetime, longest: timedelta) -> Iterator[str]:
    """Whole half hours in pieces; the API adds the one before, which is cut off later."""
    for low, high in spans(_half_hour(start), _half_hour(end, up=True), longest):
        yield f"{_root(place)}/{_stamp(low)}/{_stamp(high)}{place}"


def points_of(body: object, told: Told) -> Iterator[Point]:
    """The half hours of an answer: national, of a region, or of a region in a list."""
    data = member(NAME, body, "data")
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], dict):
        data = data[0] if "data" in data[0] else data
    if isinstance(data, dict):
        data = member(NAME, data, "data")
    for period in items(NAME, data, "data"):
        start = moment(NAME, member(NAME, period, "from"), "from")
        end = moment(NAME, member(NAME, period, "to"), "to")
        if not 0 < end - start <= LONGEST_PERIOD_S:
            raise wrong(NAME, "period", (period["from"], period["to"]), "a half hour")
        intensity = member(NAME, period, "intensity")
        value = number(NAME, member(NAME, intensity, told), told)
        if value is None and told == "forecast":
            value = number(NAME, intensity.get("actual"), "actual")
        yield start, end, value


def _root(place: str) -> str:
    return "/regional/intensity" if place else "/intensity"


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%MZ}"


def _half_hour(moment: datetime, up: bool = False) -> datetime:
    steps, rest = divmod(to_unix(moment), STEP_S)
    return from_unix((steps + (up and rest > 0)) * STEP_S)


def build(settings: Mapping[str, Any], here: Surroundings) -> Neso:
    """The source for Great Britain."""
    return Neso(checked(Settings, settings, "neso"), here)
