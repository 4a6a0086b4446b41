"""Typical intensity by month and hour: embedded, offline, no key.

Electricity Maps' hourly values of 2022 (average, consumption-based, lifecycle) reduced to a
mean and the 10th and 90th percentile of days for each month and hour in UTC. It knows the
usual course of a day, not the weather; at 24 h of slack it captures about 80 % of what is
possible for jobs up to 4 h, and nothing for jobs of a day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from providers.errors import NoData
from providers.series import Series, SourceInfo, empty, to_unix
from providers.settings import ProviderSettings, checked
from providers.typical import NAME, table, zones

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from providers.surroundings import Surroundings

HOUR_S = 3600.0
# Longer than the 24 lines of a month.
MONTH_CHARS = 24 * 80


class Climatology:
    """The table as a source of forecasts; it has no actuals."""

    info = SourceInfo(
        name=NAME,
        title="typical intensity by month and hour of 2022, 123 zones, embedded",
        signal="average",
        factors="lifecycle",
        flow="consumption",
        licence="ODbL-1.0, contains information from Electricity Maps",
        step_s=HOUR_S,
        horizon_h=None,
        has_actuals=False,
        shiftable=True,
    )

    def zones(self) -> frozenset[str] | None:
        """The zones of the table."""
        return frozenset(zones())

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """Hourly means over ``[start, end)``; the band is the 10th to 90th percentile of days."""
        if zone not in zones():
            raise NoData(f"{NAME} has no zone {zone}")
        low_s, high_s = to_unix(start), to_unix(end)
        first = np.floor(low_s / HOUR_S)
        count = max(0, int(np.ceil(high_s / HOUR_S) - first))
        starts = (first + np.arange(count)) * HOUR_S
        midnight = datetime.fromtimestamp(first * HOUR_S, UTC).replace(hour=0)
        days = int(count // 24 + 2)
        months = np.array([(midnight + timedelta(days=d)).month - 1 for d in range(days)])
        day = ((starts - midnight.timestamp()) // (24 * HOUR_S)).astype(int)
        hour = (starts // HOUR_S % 24).astype(int)
        hourly = np.full((12, 24, 3), np.nan)
        for month in set(months.tolist()):
            hourly[month] = _month(zone, month)
        values = hourly[months[day], hour]
        mean = values[:, 0]
        whole = Series(
            zone=zone,
            signal="average",
            kind="forecast",
            issued_at=now,
            starts=starts,
            ends=starts + HOUR_S,
            g_per_kwh=mean,
            # A skewed month can have its mean outside the percentiles of its days.
            low=np.minimum(values[:, 1], mean),
            high=np.maximum(values[:, 2], mean),
            # A view of one string: a year of names would outweigh the numbers.
            sources=np.broadcast_to(np.array(NAME), count),
            factors="lifecycle",
            flow="consumption",
        )
        return whole.clip(low_s, high_s)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """Nothing: a typical value is not what was."""
        return empty(zone, "average", "actual", end)


@cache
def _month(zone: str, month: int) -> NDArray[np.float64]:
    """Hours x (mean, 10th percentile, 90th percentile) of a month from 0, g/kWh."""
    first = table().index(f"{zone},{month + 1},0,", zones()[zone])
    rows = [line.split(",") for line in table()[first : first + MONTH_CHARS].split("\n")[:24]]
    return np.array([[float(x) for x in row[3:6]] for row in rows])


@cache
def months(zone: str) -> NDArray[np.float64] | None:
    """Mean intensity by month x hour of the day in UTC (12 x 24); None for an unknown zone."""
    if zone not in zones():
        return None
    return np.stack([_month(zone, month)[:, 0] for month in range(12)])


class Settings(ProviderSettings):
    """It needs none."""


def build(settings: Mapping[str, Any], here: Surroundings) -> Climatology:
    """The embedded source."""
    checked(Settings, settings, "climatology")
    return Climatology()
