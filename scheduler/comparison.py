"""Regions side by side, as frozen values: what the engine compares and the report shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import Triple
    from providers.intensity.typical import Typical
    from providers.series import Factors, Flow, Signal
    from scheduler.models import Plan, Window

# Mean radius of the earth: International Union of Geodesy and Geophysics, GRS 80 (Moritz 2000).
EARTH_KM = 6371.0088

Verdict = Literal["place", "time", "equal"]


@dataclass(frozen=True, slots=True)
class Spot:
    """A point that distances are counted from."""

    name: str
    lat: float
    lon: float

    def km_to(self, lat: float | None, lon: float | None) -> float | None:
        """Along a great circle; None where the other point is not known."""
        if lat is None or lon is None:
            return None
        a, b = math.radians(self.lat), math.radians(lat)
        east = math.radians(lon - self.lon)
        half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(east / 2) ** 2
        return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


@dataclass(frozen=True, slots=True)
class Footing:
    """What the figures of a series count; only on one footing are they told alike."""

    signal: Signal
    factors: Factors | None
    flow: Flow | None

    def __str__(self) -> str:
        return f"{self.signal}, {self.factors or 'factors unknown'}, {self.flow or 'flow unknown'}"


@dataclass(frozen=True, slots=True)
class Hauling:
    """What bringing the job's data there takes."""

    hours: float
    kwh: float
    g: float


@dataclass(frozen=True, slots=True)
class Row:
    """One region with its best window; ``nulls`` says why what is None is not known.

    ``saving_percent`` is against a start at once at home, ``next_day`` the mean g/kWh of the
    next 24 h. The carbon-free share is that of a year, as the provider tells it. ``runs``: jobs
    can be started there.
    """

    name: str
    place: str
    provider: str
    country: str | None
    zone: str | None
    runs: bool
    window: Window
    footing: Footing
    saving_percent: float | None
    next_day: Triple | None
    typical: Typical | None
    carbon_free_percent: float | None
    carbon_free_year: int | None
    hauling: Hauling | None
    distance_km: float | None
    nulls: Mapping[str, str]

    @property
    def weight(self) -> float:
        """What rows are ranked by: grams, or with the power unknown the intensity."""
        figure = self.window.grams or self.window.g_per_kwh
        return figure.value if figure else 0.0


@dataclass(frozen=True, slots=True)
class PlaceOrTime:
    """What moving at once saves, what waiting at home saves, and both, against neither.

    Percents and ``verdict`` are None where they are not known; ``reason`` says why.
    """

    home: str
    slack_s: float
    wait_percent: float | None = None
    move_percent: float | None = None
    both_percent: float | None = None
    best_region: str | None = None
    verdict: Verdict | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row for each region with a forecast, and what to know of them.

    Rows are in order of grams, those of the home's signal first: average and marginal
    intensity are not ranked against each other. ``plan`` is that over all of the regions.
    """

    plan: Plan
    rows: tuple[Row, ...]
    place_or_time: PlaceOrTime
    notes: tuple[str, ...]
    near: Spot | None = None
