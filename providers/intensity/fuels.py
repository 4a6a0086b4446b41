"""From generation by fuel to carbon intensity: one factor a fuel, of the whole USA.

Storage (batteries, pumped hydro) and what is below zero is left out: it gives back what was
generated before. Fuels without a factor (other, unknown) are taken to be like the rest of the
mix; the band tells what if all of them were the cleanest or the dirtiest fuel.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from providers.base import Triple
from providers.intensity.points import series_of

if TYPE_CHECKING:
    from collections.abc import Mapping
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
# A fuel with this share of an hour belongs to the hours around it too: where it is not told, the
# hour is unknown. For how many hours around; the sun alone may set.
MAJOR = 0.05
AROUND_H = 24
SUN_AROUND_H = 1
SUNNY = frozenset({"SUN", "SNB"})


def series_from(info: SourceInfo, zone: str, mix: Mix, issued_at: datetime) -> Series:
    """Hours whose mix is wholly told, with the band of the fuels that have no factor."""
    lacking = lacking_a_fuel(mix)
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


def lacking_a_fuel(mix: Mix) -> set[float]:
    """Hours without a row of a fuel that gives much of the hours around."""
    lacking: set[float] = set()
    totals = {h: sum(max(0.0, v or 0.0) for v in fuels.values()) for h, fuels in mix.items()}
    for fuel in {fuel for fuels in mix.values() for fuel in fuels} - STORAGE:
        much = sorted(h for h in mix if (mix[h].get(fuel) or 0.0) > MAJOR * totals[h])
        around = HOUR_S * (SUN_AROUND_H if fuel in SUNNY else AROUND_H)
        for hour in (h for h in mix if fuel not in mix[h]):
            next_ = bisect_left(much, hour - around)
            if next_ < len(much) and much[next_] <= hour + around:
                lacking.add(hour)
    return lacking
