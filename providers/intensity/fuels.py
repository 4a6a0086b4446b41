"""From generation by fuel to carbon intensity: one factor a fuel, of the whole USA.

Storage (batteries, pumped hydro) and what is below zero is left out: it gives back what was
generated before. Fuels without a factor (other, unknown) are taken to be like the rest of the
mix; the band tells what if all of them were the cleanest or the dirtiest fuel.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.base import Triple
from providers.intensity.points import series_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from providers.series import Factors, Series, SourceInfo

    # By the start of the hour, then by fuel: MWh, or None where it is not told.
    Mix = dict[float, dict[str, float | None]]

HOUR_S = 3600.0

# g/kWh, (direct, life cycle).
# Direct of coal, gas, oil: EIA, "How much carbon dioxide is produced per kilowatthour of U.S.
# electricity generation?" (eia.gov/tools/faqs, id 74), 2023: 2.31, 0.96, 2.46 lb/kWh.
# Life cycle of these: direct, and the supply chain as the difference of the medians of life cycle
# and direct emissions in IPCC AR5 WG3 annex III, table A.III.2: coal 820 - 760 = 60, gas
# 490 - 370 = 120. The table has no oil: taken as gas (0.4 % of the country's generation).
# The rest: medians of that table; solar is utility PV, wind is onshore.
FACTORS: Mapping[str, tuple[float, float]] = {
    "COL": (1048.0, 1108.0),
    "NG": (435.0, 555.0),
    "OIL": (1116.0, 1236.0),
    "NUC": (0.0, 12.0),
    "WAT": (0.0, 24.0),
    "SUN": (0.0, 48.0),
    "SNB": (0.0, 48.0),
    "WND": (0.0, 11.0),
    "WNB": (0.0, 11.0),
    "GEO": (0.0, 38.0),
}
# Batteries, pumped hydro, other and unknown storage.
STORAGE = frozenset({"BAT", "PS", "OES", "UES"})
# A fuel with this share of an hour belongs to the hours after it too, and to a day before it: where
# it has no row, the hour is unknown. The sun alone may set: it belongs to its hours of each day.
MAJOR = 0.05
BEFORE_H = 24
SUNNY = frozenset({"SUN", "SNB"})
# What an area gives is bounded by its own past; the figures are chosen, not measured, and leave
# room for what happens: a fuel that stood still may carry the whole area, and load may double.
# The usual size is that of four hours of five, so that up to a fifth of them may be wrong.
USUAL = 0.8
MOST_TIMES = 3.0
# With less than a day of hours there is no past to compare with.
LEAST_H = 24
# A fuel that gives so much does not fall to a hundredth and come back within so many hours.
MAIN, LOST, LOST_H = 0.2, 0.01, 3


def series_from(info: SourceInfo, zone: str, mix: Mix, issued_at: datetime) -> Series:
    """Hours whose mix is whole and possible, with the band of the fuels that have no factor."""
    lacking = beyond_their_past(mix)
    lacking |= lacking_a_fuel({h: fuels for h, fuels in mix.items() if h not in lacking})
    told = {h: None if h in lacking else intensity(mix[h], info.factors) for h in mix}
    points = [(h, h + HOUR_S, band.value if band else None) for h, band in told.items()]
    series = series_of(info, zone, "actual", issued_at, points)
    bands = [band for start in series.starts if (band := told[start])]
    return replace(
        series,
        low=np.array([band.low for band in bands]),
        high=np.array([band.high for band in bands]),
    )


def intensity(fuels: Mapping[str, float | None], factors: Factors | None) -> Triple | None:
    """g/kWh of one hour; None where a fuel is not told, or far below zero."""
    column = 1 if factors == "lifecycle" else 0
    known = other = grams = least = 0.0
    for fuel, mwh in fuels.items():
        if fuel in STORAGE:
            continue
        if mwh is None:
            return None
        if fuel != "WAT":  # may hold pumped hydro, which draws power
            least = min(least, mwh)
        if fuel in FACTORS:
            known += max(0.0, mwh)
            grams += max(0.0, mwh) * FACTORS[fuel][column]
        else:
            other += max(0.0, mwh)
    if known <= 0 or least < -MAJOR * known:
        return None
    cleanest, dirtiest = (pick(pair[column] for pair in FACTORS.values()) for pick in (min, max))
    value = grams / known
    low = (grams + other * cleanest) / (known + other)
    high = (grams + other * dirtiest) / (known + other)
    return Triple(min(low, value), value, max(high, value))


def beyond_their_past(mix: Mix) -> set[float]:
    """Hours with a figure that the area's other hours rule out.

    One fuel beyond three times its own usual size and beyond the whole area's usual generation,
    to either side of zero; or a main fuel that is gone for some hours.
    """
    if len(mix) < LEAST_H:
        return set()
    totals = _totals(mix)
    usual = _usual(totals.values())
    found: set[float] = set()
    for fuel in _fuels(mix):
        rows = {h: v for h, fuels in mix.items() if (v := fuels.get(fuel)) is not None}
        most = max(usual, MOST_TIMES * _usual(rows.values()))
        beyond = {hour for hour, mwh in rows.items() if abs(mwh) > most}
        found |= beyond | _lost({h: mwh for h, mwh in rows.items() if h not in beyond}, totals)
    return found


def _lost(rows: Mapping[float, float], totals: Mapping[float, float]) -> set[float]:
    """Hours in which a fuel is gone though it was a main one just before, and is soon after."""
    much = sorted(hour for hour, mwh in rows.items() if mwh > MAIN * totals[hour])
    lost: set[float] = set()
    for hour, mwh in rows.items():
        at = bisect_left(much, hour)
        if at == 0 or mwh > LOST * rows[much[at - 1]]:
            continue
        # What is not known to come back yet may be a row that is late.
        back = much[at] if at < len(much) else hour
        if max(hour - much[at - 1], back - hour) <= LOST_H * HOUR_S:
            lost.add(hour)
    return lost


def lacking_a_fuel(mix: Mix) -> set[float]:
    """Hours without a row of a fuel that gave much in hours before, or does within a day."""
    totals = _totals(mix)
    lacking: set[float] = set()
    for fuel in _fuels(mix):
        without = [hour for hour in mix if fuel not in mix[hour]]
        much = [hour for hour in mix if (mix[hour].get(fuel) or 0.0) > MAJOR * totals[hour]]
        if not much:
            continue
        if fuel in SUNNY:
            sunny = {(hour // HOUR_S + beside) % 24 for hour in much for beside in (-1, 0, 1)}
            lacking |= {hour for hour in without if hour // HOUR_S % 24 in sunny}
        else:
            since = min(much) - BEFORE_H * HOUR_S
            lacking |= {hour for hour in without if hour >= since}
    return lacking


def _fuels(mix: Mix) -> set[str]:
    return {fuel for fuels in mix.values() for fuel in fuels} - STORAGE


def _totals(mix: Mix) -> dict[float, float]:
    """What was generated in each hour, MWh; storage gives back what was generated before."""
    return {
        hour: sum(max(0.0, mwh or 0.0) for fuel, mwh in fuels.items() if fuel not in STORAGE)
        for hour, fuels in mix.items()
    }


def _usual(values: Iterable[float]) -> float:
    """What four of five hours do not exceed."""
    sizes = sorted(max(0.0, mwh) for mwh in values)
    return sizes[int(USUAL * (len(sizes) - 1))]
