"""Denmark: Energinet's Energi Data Service, free and without a key.

Five minutes in g CO2/kWh of what is consumed in Denmark, exchange included; emissions of each
power plant, with heat from the same fuel charged at an efficiency of 125 %. Both price areas
had the same figure for years. Forecasts reach at least 9 h.
"""

from __future__ import annotations

import json
from datetime import UTC, timedelta
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
    from providers.series import Series
    from providers.surroundings import Surroundings

Dataset = Literal["CO2EmisProg", "CO2Emis"]

NAME = "Energinet"
STEP_S = 300.0
HOUR_S = 3600.0
DAY_S = 86_400.0
# Longer spans are no single job's: nobody waits for them at a terminal.
HISTORY = timedelta(days=7)
AREAS = {"DK-DK1": "DK1", "DK-DK2": "DK2"}
# Every update reaches at least 9 h; none is known to reach beyond the end of the next day.
LEAST_AHEAD_H = 9.0
MOST_AHEAD = timedelta(days=2)


class Settings(ProviderSettings):
    """``call_every_s``: one call a minute for each dataset is accepted (since August 2025)."""

    base_url: str = "https://api.energidataservice.dk"
    ttl_s: Annotated[float, Field(ge=0)] = 900.0
    call_every_s: Annotated[float, Field(gt=0)] = 60.0
    timeout_s: Annotated[float, Field(gt=0)] = 15.0
    range_days: Annotated[float, Field(gt=0)] = 180.0
    final_after_h: Annotated[float, Field(ge=0)] = 48.0


class Energinet:
    """The price areas DK1 and DK2; one call tells both, as calls are few."""

    def __init__(self, settings: Settings, here: Surroundings) -> None:
        self._base = settings.base_url.rstrip("/")
        self._longest = timedelta(days=settings.range_days)

        def door(source: str, timeout_s: float) -> Http:
            # A second try would have to wait as long as a second call.
            every = settings.call_every_s
            return Http(Policy(source, settings.ttl_s, 1, every, timeout_s, tries=1), here)

        # The limit counts for each dataset. Who asks for a long history can wait for its turn.
        patient_s = max(settings.timeout_s, settings.call_every_s + 1)
        self._forecasts = door(NAME, settings.timeout_s)
        self._actuals = door(f"{NAME} history", settings.timeout_s)
        self._history = door(f"{NAME} history", patient_s)
        self.info = SourceInfo(
            name=NAME,
            title="Denmark, both price areas, at least 9 h ahead (Energi Data Service)",
            signal="average",
            factors="direct",
            flow="consumption",
            licence="CC-BY-4.0, Energinet (www.energidataservice.dk)",
            step_s=STEP_S,
            horizon_h=LEAST_AHEAD_H,
            has_actuals=True,
            shiftable=True,
            # A history "near up to date": preliminary figures are replaced, no date is published.
            final_after_s=settings.final_after_h * HOUR_S,
            live=True,
        )

    def zones(self) -> frozenset[str] | None:
        """Both price areas; their own names DK1 and DK2 are taken too."""
        return frozenset(AREAS)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """The last forecast of each five minutes, for as long as there is one."""
        area = area_of(zone)
        low, high = to_unix(start), to_unix(end)
        last = from_unix(to_unix(now) // HOUR_S * HOUR_S) + MOST_AHEAD
        if low >= high or start >= last:
            return empty(zone, self.info.signal, "forecast", now)
        # To the hour, and no end of the asker's: one address for all who ask.
        first = from_unix(min(low, to_unix(now)) // HOUR_S * HOUR_S)
        points = self._ask(self._forecasts, "CO2EmisProg", area, first, last)
        return series_of(self.info, zone, "forecast", now, points).clip(low, high)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What was."""
        area = area_of(zone)
        low, high = to_unix(start), to_unix(end)
        if low >= high:
            return empty(zone, self.info.signal, "actual", end)
        # Whole days: one address for all that ran on them.
        first, last = from_unix(low // DAY_S * DAY_S), from_unix(-(-high // DAY_S) * DAY_S)
        door = self._history if last - first > HISTORY else self._actuals
        points = self._ask(door, "CO2Emis", area, first, last)
        return series_of(self.info, zone, "actual", end, points).clip(low, high)

    def _ask(
        self, door: Http, dataset: Dataset, area: str, start: datetime, end: datetime
    ) -> Iterator[Point]:
        for params in ranges(start, end, self._longest):
            answer = door.get(f"{self._base}/dataset/{dataset}", params=params)
            yield from points_of(answer.json(), area)


def area_of(zone: str) -> str:
    """Energinet's name of a zone."""
    area = AREAS.get(zone, zone)
    if area not in AREAS.values():
        raise NoData(f"{NAME} has no zone {zone}: it has {', '.join(AREAS)}")
    return area


def ranges(start: datetime, end: datetime, longest: timedelta) -> Iterator[dict[str, str | int]]:
    """The parameters of each call: times in UTC, all rows, both areas; the end is not included."""
    for low, high in spans(start, end, longest):
        yield {
            "start": f"{low.astimezone(UTC):%Y-%m-%dT%H:%M}",
            "end": f"{high.astimezone(UTC):%Y-%m-%dT%H:%M}",
            "filter": json.dumps({"PriceArea": list(AREAS.values())}, separators=(",", ":")),
            "sort": "Minutes5UTC ASC",
            "limit": 0,
            "timezone": "UTC",
        }


def points_of(body: object, area: str) -> Iterator[Point]:
    """The rows of one area; ``Minutes5UTC`` begins the period and is UTC without saying so."""
    for row in items(NAME, member(NAME, body, "records"), "records"):
        of = member(NAME, row, "PriceArea")
        if not isinstance(of, str):
            raise wrong(NAME, "PriceArea", of, "a name")
        start = moment(NAME, member(NAME, row, "Minutes5UTC"), "Minutes5UTC", UTC)
        value = number(NAME, member(NAME, row, "CO2Emission"), "CO2Emission")
        if of == area:
            yield start, start + STEP_S, value


def build(settings: Mapping[str, Any], here: Surroundings) -> Energinet:
    """The source for Denmark."""
    return Energinet(checked(Settings, settings, "energinet"), here)
