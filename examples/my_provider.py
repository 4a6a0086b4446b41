"""A source of carbon intensity of your own: here, a utility that serves JSON over HTTP.

It becomes a source by an entry point in the pyproject.toml of your package,

    [project.entry-points."lowtide.intensity"]
    my_utility = "my_provider:build"

and is used like the others, once it is installed beside lowtide:

    providers: [my_utility, forecaster, climatology]
    sources:
      my_utility: {type: my_utility, base_url: "https://intensity.example"}

The answer looked at here is {"points": [{"at": "2026-03-02T08:00:00Z", "g_per_kwh": 312.0}]}, one
value an hour, forecasts and measured values alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from providers.errors import BadData, NoData
from providers.intensity.points import Point, series_of
from providers.series import Kind, Series, SourceInfo
from providers.settings import ProviderSettings, checked
from providers.surroundings import Surroundings
from providers.transport import Http, Policy

NAME = "my utility"
STEP_S = 3600.0


class Settings(ProviderSettings):
    """What may stand under ``sources`` in the config; anything else there is refused."""

    base_url: str
    zone: str = "DE"


class MyUtility:
    """Two questions: what is expected, and what really was."""

    def __init__(self, settings: Settings, here: Surroundings) -> None:
        self._settings = settings
        # An answer stands for half an hour; at most 30 questions a minute, over all processes.
        self._http = Http(Policy(NAME, ttl_s=1800, calls=30, per_s=60), here)
        self.info = SourceInfo(
            name=NAME,
            title="the hourly mix of my utility",
            signal="average",
            factors="lifecycle",
            flow="consumption",
            licence="my contract with them",
            step_s=STEP_S,
            horizon_h=48,
            has_actuals=True,
            shiftable=True,
            # They correct a day's values until the next noon.
            final_after_s=36 * 3600,
            live=True,
        )

    def zones(self) -> frozenset[str] | None:
        """The one zone that they serve."""
        return frozenset({self._settings.zone})

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """What they expect; holes stay holes."""
        return self._told("forecast", zone, start, end, now)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What they measured."""
        return self._told("actual", zone, start, end, end)

    def _told(self, kind: Kind, zone: str, start: datetime, end: datetime, at: datetime) -> Series:
        if zone != self._settings.zone:
            raise NoData(f"{NAME} has no zone {zone}: it serves {self._settings.zone}")
        span = {"from": start.astimezone(UTC).isoformat(), "to": end.astimezone(UTC).isoformat()}
        body = self._http.get(f"{self._settings.base_url}/{kind}", params=span).json()
        series = series_of(self.info, zone, kind, at, points(body))
        return series.clip(start.timestamp(), end.timestamp())


def points(body: Any) -> Iterator[Point]:
    """Start, end (Unix seconds) and g/kWh of each hour; whatever else comes is an error."""
    try:
        for point in body["points"]:
            start = datetime.fromisoformat(point["at"]).timestamp()
            value = point["g_per_kwh"]
            yield start, start + STEP_S, None if value is None else float(value)
    except (KeyError, TypeError, ValueError) as e:
        raise BadData(f"{NAME}: the answer is not what was agreed ({e!r})") from e


def build(settings: Mapping[str, Any], here: Surroundings) -> MyUtility:
    """What the entry point names: settings from the config, and where lowtide runs."""
    return MyUtility(checked(Settings, settings, "my_utility"), here)
