"""What a zone's year and its seasons usually are: to compare places, not to plan with.

From the embedded tables alone, so that every place is told on the same ground, whatever sources
the config names: the month x hour table where it has the zone, else the country's mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.errors import NoData
from providers.intensity import climatology, country_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.series import SourceInfo

# The meteorological seasons, by the first letters of their months (World Meteorological
# Organization, Guide to Climatological Practices, WMO-No. 100, 2018).
SEASONS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
)
# Of 2022, the year of the table.
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Typical:
    """Means in g/kWh; ``seasons`` is empty where the source has one value for all times."""

    yearly: float
    seasons: Mapping[str, float]
    source: str


def season_of(month: int) -> str:
    """The season of a month (1 to 12) by the calendar of the north."""
    return next(name for name, months in SEASONS.items() if month in months)


@cache
def of(zone: str) -> Typical:
    """The zone's means; :class:`NoData` where neither table knows it."""
    try:
        months = climatology.months(zone)
    except NoData:
        value, year = country_mean.mean_of(zone)
        return Typical(
            value, {}, f"country mean (Ember {year}), {_told(country_mean.CountryMean.info)}"
        )
    return Typical(
        _mean(months, range(1, 13)),
        {name: _mean(months, within) for name, within in SEASONS.items()},
        f"{climatology.NAME}, {_told(climatology.Climatology.info)}",
    )


def _mean(months: tuple[float, ...], within: range | tuple[int, ...]) -> float:
    days = sum(DAYS[m - 1] for m in within)
    return sum(months[m - 1] * DAYS[m - 1] for m in within) / days


def _told(info: SourceInfo) -> str:
    return f"{info.signal}, {info.factors}, {info.flow}"
