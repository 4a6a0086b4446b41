"""Typical intensity by month and hour: embedded, offline, no key.

The shape is that of 2022: Electricity Maps' hourly values (average, consumption-based, lifecycle)
reduced to a mean and the 10th and 90th percentile of days for each month and hour in UTC. The
level is the newest yearly mean of the zone, by which the shape is scaled. It knows the usual
course of a day, not the weather; at 24 h of slack it captures about 80 % of what is possible for
jobs up to 4 h, and nothing for jobs of a day.

The band holds both what days differ by and what years differ by (:func:`providers.typical.spread`).
They are independent, so their distances from the mean add as the root of their squares. A zone
with a yearly mean alone has that mean at all times: it ranks places and shifts nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from providers import typical
from providers.arrays import np
from providers.base import Triple
from providers.errors import NoData
from providers.series import Series, SourceInfo, empty, flat, to_unix
from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from providers.surroundings import Surroundings

HOUR_S = 3600.0
# Months x hours of a zone's shape, and more than the longest of its lines.
HOURS_OF_A_YEAR = 12 * 24
LINE_CHARS = 80


class Climatology:
    """The tables as a source of forecasts; it has no actuals.

    ``until`` is the newest year whose mean counts (None: the newest of the table): what the
    source would have said at its end.
    """

    info = SourceInfo(
        name=typical.NAME,
        title=(
            "typical intensity, embedded: by month and hour in 123 zones (shape of "
            f"{typical.SHAPE_YEAR}, scaled to the yearly mean of 2025), in 232 more zones the "
            "yearly mean alone"
        ),
        signal="average",
        factors="lifecycle",
        flow="consumption",
        licence="ODbL-1.0, contains information from Electricity Maps",
        step_s=HOUR_S,
        horizon_h=None,
        has_actuals=False,
        shiftable=True,
    )

    def __init__(self, until: int | None = None) -> None:
        self._until = until

    def zones(self) -> frozenset[str] | None:
        """The zones of the tables."""
        return typical.zones()

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """Hourly means over ``[start, end)``, or the one mean of a zone without hourly shape."""
        if zone not in typical.zones():
            raise NoData(f"{typical.NAME} has no zone {zone}")
        name = source(zone, self._until)
        table = _hourly(zone, self._until)
        if table is None:
            return flat(self.info, zone, start, end, now, _yearly(zone, self._until), name)
        low_s, high_s = to_unix(start), to_unix(end)
        first = np.floor(low_s / HOUR_S)
        count = max(0, int(np.ceil(high_s / HOUR_S) - first))
        starts = (first + np.arange(count)) * HOUR_S
        midnight = datetime.fromtimestamp(first * HOUR_S, UTC).replace(hour=0)
        days = int(count // 24 + 2)
        months = np.array([(midnight + timedelta(days=d)).month - 1 for d in range(days)])
        day = ((starts - midnight.timestamp()) // (24 * HOUR_S)).astype(int)
        hour = (starts // HOUR_S % 24).astype(int)
        values = table[months[day], hour]
        whole = Series(
            zone=zone,
            signal="average",
            kind="forecast",
            issued_at=now,
            starts=starts,
            ends=starts + HOUR_S,
            g_per_kwh=values[:, 0],
            low=values[:, 1],
            high=values[:, 2],
            # A view of one string: a year of names would outweigh the numbers.
            sources=np.broadcast_to(np.array(name), count),
            factors="lifecycle",
            flow="consumption",
        )
        return whole.clip(low_s, high_s)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """Nothing: a typical value is not what was."""
        return empty(zone, "average", "actual", end)


def source(zone: str, until: int | None = None) -> str:
    """The name of what is said of a zone, with the years of its shape and of its level."""
    known = typical.level(zone, until)
    if zone not in typical.shapes():
        assert known is not None  # a zone of the tables is in one of them
        return f"climatology (Electricity Maps, mean of {known[1]})"
    year = typical.SHAPE_YEAR if known is None else known[1]
    return f"climatology (Electricity Maps, shape of {typical.SHAPE_YEAR}, level of {year})"


def months(zone: str) -> NDArray[np.float64] | None:
    """Mean intensity by month x hour of the day in UTC (12 x 24); None without hourly shape."""
    table = _hourly(zone, None)
    return None if table is None else table[:, :, 0]


def yearly(zone: str) -> float | None:
    """The newest yearly mean of a zone, g/kWh; None where the table has none."""
    known = typical.level(zone)
    return None if known is None else known[0]


@cache
def _hourly(zone: str, until: int | None) -> NDArray[np.float64] | None:
    """Months x hours x (mean, low, high), g/kWh; None for a zone without hourly shape."""
    begin = typical.shapes().get(zone)
    if begin is None:
        return None
    text = typical.table()[begin : begin + HOURS_OF_A_YEAR * LINE_CHARS]
    lines = text.split("\n")[:HOURS_OF_A_YEAR]
    rows = np.array([line.split(",")[3:7] for line in lines], dtype=np.float64)
    mean, p10, p90, days = rows.reshape(12, 24, 4).transpose(2, 0, 1)
    known = typical.level(zone, until)
    scale = 1.0 if known is None else known[0] / float(np.average(mean, weights=days))
    by_year = _years_apart(known, until)
    # A skewed month can have its mean outside the percentiles of its days.
    below = np.hypot(np.maximum(mean - p10, 0.0), mean * (1.0 - 1.0 / by_year))
    above = np.hypot(np.maximum(p90 - mean, 0.0), mean * (by_year - 1.0))
    return scale * np.stack([mean, np.maximum(mean - below, 0.0), mean + above], axis=2)


def _yearly(zone: str, until: int | None) -> Triple:
    known = typical.level(zone, until)
    assert known is not None  # a zone of the tables is in one of them
    by_year = _years_apart(known, until)
    return Triple(known[0] / by_year, known[0], known[0] * by_year)


def _years_apart(known: tuple[float, int] | None, until: int | None) -> float:
    """The spread between years; a shape that keeps its own level of 2022 may be any years old."""
    return typical.spread(None if known is None else typical.YEARS_AHEAD, until)


class Settings(ProviderSettings):
    """It needs none."""


def build(settings: Mapping[str, Any], here: Surroundings) -> Climatology:
    """The embedded source."""
    checked(Settings, settings, "climatology")
    return Climatology()
