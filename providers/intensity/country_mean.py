"""The yearly mean of a country: the floor for zones that nothing else knows.

One value for all times: it ranks places, and never shifts a start. The source states no
band, so none is given.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from providers.base import Triple
from providers.errors import NoData
from providers.series import SourceInfo, empty, flat
from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from providers.series import Series
    from providers.surroundings import Surroundings


class CountryMean:
    """Country means as a source of forecasts; it has no actuals."""

    info = SourceInfo(
        name="country mean (Ember)",
        title="yearly mean of the country, embedded; one value for all times, no band stated",
        signal="average",
        factors="lifecycle",
        flow="production",
        licence="CC-BY-4.0, Ember via Our World in Data",
        step_s=None,
        horizon_h=None,
        has_actuals=False,
        shiftable=False,
    )

    def zones(self) -> frozenset[str] | None:
        """Any zone whose first part is a country of the table; too many to list."""
        return None

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """One interval with the mean of the zone's country (``US-CAL-CISO`` -> US)."""
        told = yearly(zone)
        if told is None:
            country = zone.split("-")[0]
            raise NoData(f"country mean (Ember) has no country {country} (zone {zone})")
        value, source = told
        return flat(self.info, zone, start, end, now, Triple.exact(value), source)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """Nothing: a yearly mean is not what was."""
        return empty(zone, "average", "actual", end)


def yearly(zone: str) -> tuple[float, str] | None:
    """The mean of the zone's country in g/kWh, and its source; None for an unknown country."""
    found = _means().get(zone.split("-")[0])
    return None if found is None else (found[0], f"country mean (Ember {found[1]})")


def years() -> tuple[int, int]:
    """The oldest and the newest year of the table."""
    known = [year for _, year in _means().values()]
    return min(known), max(known)


@cache
def _means() -> dict[str, tuple[float, int]]:
    text = (files("providers") / "data/country_means.csv").read_text(encoding="utf-8")
    return {
        row["iso2"]: (float(row["g_per_kwh"]), int(row["year"]))
        for row in csv.DictReader(text.splitlines())
    }


class Settings(ProviderSettings):
    """It needs none."""


def build(settings: Mapping[str, Any], here: Surroundings) -> CountryMean:
    """The embedded source."""
    checked(Settings, settings, "country_mean")
    return CountryMean()
