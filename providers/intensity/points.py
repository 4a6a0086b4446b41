"""From the points of an answer to a series: sorted, each period once, gaps left as gaps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.errors import BadData, Implausible
from providers.intensity.fields import wrong
from providers.series import Series, empty, from_unix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta

    from providers.series import Kind, SourceInfo

# No grid emits more: the dirtiest fuels stand at about 1,200 g/kWh (oil and lignite, life cycle,
# IPCC AR5 WG3 annex III and UNECE 2021). A higher figure is in another unit.
MOST_G_PER_KWH = 2000.0

# A figure in g/MWh (or kg/GWh) is so many times that in g/kWh.
PER_MWH = 1000.0

# Start and end (Unix seconds), g/kWh; None: the source has no value there.
Point = tuple[float, float, float | None]


def impossible(g_per_kwh: float) -> str:
    """Why no grid has this intensity, as the end of a message; empty where one may have it."""
    if 0 <= g_per_kwh <= MOST_G_PER_KWH:
        return ""
    said = f"which no grid emits (from 0 to {MOST_G_PER_KWH:g} g/kWh)"
    if MOST_G_PER_KWH < g_per_kwh <= PER_MWH * MOST_G_PER_KWH:
        return f"{said}: it looks like g/MWh, which is to be divided by {PER_MWH:g}"
    return said


def series_of(
    info: SourceInfo,
    zone: str,
    kind: Kind,
    issued_at: datetime,
    points: Iterable[Point],
) -> Series:
    """The points as a series; of a period told twice the last word counts.

    A negative, infinite or impossibly high value, and periods that overlap without being the
    same, are :class:`BadData`.
    """
    told: dict[float, tuple[float, float]] = {}
    for start, end, value in points:
        if value is None:
            continue
        if fault := impossible(value):
            raise BadData(
                f"{info.name} tells {value:g} g/kWh for {zone}, {fault}: the answer is not used"
            )
        if not (math.isfinite(start) and math.isfinite(end) and start < end):
            raise BadData(f"{info.name}: a period of {zone} ends before it starts")
        told[start] = (end, value)
    if not told:
        return empty(zone, info.signal, kind, issued_at)
    starts = np.array(sorted(told))
    ends = np.array([told[s][0] for s in starts])
    values = np.array([told[s][1] for s in starts])
    if np.any(ends[:-1] > starts[1:]):
        raise BadData(f"{info.name}: periods of {zone} overlap: the answer is not used")
    return Series(
        zone=zone,
        signal=info.signal,
        kind=kind,
        issued_at=issued_at,
        starts=starts,
        ends=ends,
        g_per_kwh=values,
        low=values,
        high=values,
        sources=np.full(len(starts), info.name),
        factors=info.factors,
        flow=info.flow,
    )


def believable(info: SourceInfo, zone: str, found: object) -> Series:
    """What any source answered, a plugin or our own forecaster among them, if a grid can be so.

    :class:`Implausible` where it is not a series, or a value or an end of its band is not between 0
    and :data:`MOST_G_PER_KWH`.
    """
    if not isinstance(found, Series):
        answer = wrong(info.name, f"the question for {zone} with", found, "a series")
        raise Implausible(str(answer))
    outside = (found.low < 0) | (found.high > MOST_G_PER_KWH)
    if np.any(outside):
        at = int(np.flatnonzero(outside)[0])
        raise Implausible(
            f"{info.name} says {found.g_per_kwh[at]:.4g} g/kWh ({found.low[at]:.4g} to "
            f"{found.high[at]:.4g}) for {zone} at {from_unix(found.starts[at]):%Y-%m-%dT%H:%MZ}; "
            f"a grid emits between 0 and {MOST_G_PER_KWH:g}: the answer is not used"
        )
    return found


def spans(
    start: datetime, end: datetime, longest: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """``[start, end)`` in pieces no longer than ``longest``."""
    while start < end:
        stop = min(end, start + longest)
        yield start, stop
        start = stop
