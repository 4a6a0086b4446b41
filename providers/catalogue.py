"""Cloud regions: place, grid zone and PUE. A table of our own; facts with year and source."""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Of each hour's energy, averaged over the year, with Google's own contracts counted: it is no
# figure of the grid alone. Other providers publish none by region.
CARBON_FREE_SOURCE = "Google, region-carbon-info @ 49f3f26"


@dataclass(frozen=True, slots=True)
class CatalogueRegion:
    """A cloud's region, named like ``aws:eu-north-1``.

    ``zone`` is Electricity Maps' name of the grid zone, ``zones`` what single sources call it
    where that cannot be told from ``zone``; ``pue`` the provider's published mean of
    ``pue_year``, None where no figure is sure; coordinates are those of the place, rounded.
    ``carbon_free_percent`` is the share that Google publishes of its own regions.
    """

    name: str
    place: str
    country: str
    lat: float
    lon: float
    zone: str
    zones: Mapping[str, str]
    pue: float | None
    pue_year: int | None
    pue_source: str
    carbon_free_percent: float | None = None
    carbon_free_year: int | None = None

    @property
    def provider(self) -> str:
        """Whose region it is: the first part of its name."""
        return self.name.split(":")[0]


@cache
def catalogue() -> Mapping[str, CatalogueRegion]:
    """Every known region by name, in order of the table."""
    shares = {row["region"]: row for row in _rows("gcp_cfe.csv")}
    return MappingProxyType(
        {row["region"]: _region(row, shares.get(row["region"])) for row in _rows("regions.csv")}
    )


def _rows(name: str) -> list[dict[str, str]]:
    text = (files("providers") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _region(row: dict[str, str], share: dict[str, str] | None) -> CatalogueRegion:
    pairs = [pair.partition("=") for pair in row["zones"].split(";") if pair]
    return CatalogueRegion(
        name=row["region"],
        place=row["place"],
        country=row["country"],
        lat=float(row["lat"]),
        lon=float(row["lon"]),
        zone=row["zone"],
        zones=MappingProxyType({source: zone for source, _, zone in pairs}),
        pue=float(row["pue"]) if row["pue"] else None,
        pue_year=int(row["pue_year"]) if row["pue_year"] else None,
        pue_source=row["pue_source"],
        carbon_free_percent=float(share["carbon_free_percent"]) if share else None,
        carbon_free_year=int(share["year"]) if share else None,
    )


def nearest_names(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names most like ``name``, nearest first."""
    return difflib.get_close_matches(name, names, n=count, cutoff=0.5)
