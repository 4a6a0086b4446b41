"""Whole countries of Europe: Energy-Charts of Fraunhofer ISE, free and without a key.

Quarter hours (in some countries hours) in g CO2eq/kWh of what the country produces, life cycle
factors; imports are not traced, so it differs from consumption-based sources of the same zone.
Forecasts reach to the end of the day, after the day-ahead auction further.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from providers.errors import NoData
from providers.intensity.fields import items, member, number, seconds, wrong
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

Told = Literal["forecast", "actual"]

NAME = "Energy-Charts"
# The steps that occur: a lone value holds for the first, none for longer than the second.
SHORTEST_S, LONGEST_S = 900.0, 3600.0
DAY = timedelta(days=1)
# No country's day ends before 21:00 UTC (that is midnight in Helsinki in summer): a call that
# ends here never reaches into a day that is not published.
DAY_ENDS = timedelta(hours=21)
# About 35 are told of, no list is published with the API: one that it refuses is no data.
COUNTRIES = (
    "AL", "AT", "BA", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GE", "GR",
    "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MD", "ME", "MK", "NL", "NO", "PL", "PT", "RO", "RS",
    "SE", "SI", "SK", "XK",
)  # fmt: skip
NATIVE = re.compile(r"country/([a-z]{2,3})")


class Settings(ProviderSettings):
    """``countries`` are the zones that it is asked for; ``country/xx`` asks for any other."""

    base_url: str = "https://api.energy-charts.info"
    ttl_s: Annotated[float, Field(ge=0)] = 900.0
    call_every_s: Annotated[float, Field(gt=0)] = 3.0
    range_days: Annotated[float, Field(gt=0)] = 30.0
    final_after_h: Annotated[float, Field(ge=0)] = 72.0
    countries: tuple[str, ...] = COUNTRIES


class EnergyCharts:
    """Countries by their two letters."""

    def __init__(self, settings: Settings, here: Surroundings) -> None:
        self._settings = settings
        self._base = settings.base_url.rstrip("/")
        # Bursts are answered with 429; one call in 2 to 4 s is known to go through.
        policy = Policy(NAME, settings.ttl_s, calls=1, per_s=settings.call_every_s)
        self._http = Http(policy, here)
        self.info = SourceInfo(
            name=NAME,
            title="whole countries of Europe, to the end of the day (Fraunhofer ISE)",
            signal="average",
            factors="lifecycle",
            flow="production",
            licence="CC-BY-4.0, Energy-Charts, Fraunhofer ISE",
            step_s=SHORTEST_S,
            # The longest rest of a day; how far it reaches after the auction is not stated.
            horizon_h=DAY / timedelta(hours=1),
            has_actuals=True,
            shiftable=True,
            # Reports of power plants are completed and corrected for days; no date is published.
            final_after_s=settings.final_after_h * 3600,
            live=True,
        )

    def zones(self) -> frozenset[str] | None:
        """The countries that it is asked for."""
        return frozenset(self._settings.countries)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """What is expected; of the part of today that has no forecast left, what was measured.

        A day that is not published yet is left out, with all that follow.
        """
        country = self._country(zone)
        low, high = to_unix(start), to_unix(end)
        if low >= high:
            return empty(zone, self.info.signal, "forecast", now)
        points: list[Point] = []
        for begin, stop in windows(min(start, now), end, DAY):
            try:
                points += points_of(self._ask(country, begin, stop), "forecast")
            except NoData:
                if begin <= now:
                    raise
                break
        return series_of(self.info, zone, "forecast", now, points).clip(low, high)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What was measured; what is not published is a hole."""
        country = self._country(zone)
        low, high = to_unix(start), to_unix(end)
        if low >= high:
            return empty(zone, self.info.signal, "actual", end)
        points: list[Point] = []
        refused: list[NoData] = []
        pieces = list(windows(start, end, timedelta(days=self._settings.range_days)))
        for begin, stop in pieces:
            try:
                points += points_of(self._ask(country, begin, stop), "actual")
            except NoData as e:
                refused.append(e)
        if len(refused) == len(pieces):
            raise refused[0]
        return series_of(self.info, zone, "actual", end, points).clip(low, high)

    def _country(self, zone: str) -> str:
        if native := NATIVE.fullmatch(zone):
            return native[1]
        if zone in self._settings.countries:
            return zone.lower()
        country, _, part = zone.partition("-")
        if part and country in self._settings.countries:
            raise NoData(
                f"{NAME} has no zone {zone}: it knows {country} as a whole, whose production is "
                f"not that of a part (zone country/{country.lower()} takes it all the same)"
            )
        raise NoData(f"{NAME} has no zone {zone}: it knows whole countries of Europe (DE, FR)")

    def _ask(self, country: str, start: datetime, end: datetime) -> Any:
        return self._http.get(f"{self._base}/co2eq", params=query(country, start, end)).json()


def query(country: str, start: datetime, end: datetime) -> dict[str, str]:
    """The parameters of a call, times in UTC."""
    low, high = (f"{t.astimezone(UTC):%Y-%m-%dT%H:%MZ}" for t in (start, end))
    return {"country": country, "start": low, "end": high}


def windows(
    start: datetime, end: datetime, longest: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """Whole days from 21:00 to 21:00 UTC that cover ``[start, end)``: the same for all askers."""
    day_s, shift_s = DAY.total_seconds(), DAY_ENDS.total_seconds()
    first = (to_unix(start) - shift_s) // day_s * day_s + shift_s
    last = -((shift_s - to_unix(end)) // day_s) * day_s + shift_s
    return spans(from_unix(first), from_unix(last), longest)


def points_of(body: object, told: Told) -> list[Point]:
    """The parallel lists as points: of a forecast the expected value, else the measured one."""
    times = items(NAME, member(NAME, body, "unix_seconds"), "unix_seconds")
    values: dict[float, float | None] = {}
    keys = ("co2eq_forecast", "co2eq") if told == "forecast" else ("co2eq",)
    for key in keys:
        column = items(NAME, member(NAME, body, key), key)
        if len(column) != len(times):
            raise wrong(NAME, f"{key} of length", len(column), f"the {len(times)} of unix_seconds")
        for at, node in zip(times, column, strict=True):
            start = seconds(NAME, at, "unix_seconds")
            value = number(NAME, node, key)
            if values.get(start) is None:
                values[start] = value
    starts = sorted(values)
    steps = _steps(starts)
    return [(at, at + step, values[at]) for at, step in zip(starts, steps, strict=True)]


def _steps(starts: list[float]) -> list[float]:
    """How long each value holds: to the next one, but over a hole as long as the one before.

    A wider distance is a step if it is met again at once, else a hole lies there.
    """
    gaps = [b - a for a, b in pairwise(starts)]
    if not gaps:
        return [SHORTEST_S] * len(starts)
    steps = []
    for i, gap in enumerate(gaps):
        before = gaps[i - 1] if i else gaps[min(1, len(gaps) - 1)]
        steps.append(gap if gap in gaps[i + 1 : i + 2] else min(gap, before))
    return [min(step, LONGEST_S) for step in (*steps, min(gaps[-2:]))]


def build(settings: Mapping[str, Any], here: Surroundings) -> EnergyCharts:
    """The source for countries of Europe."""
    return EnergyCharts(checked(Settings, settings, "energy_charts"), here)
