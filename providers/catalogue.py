"""Regions of hosters: place, grid zone and PUE. A table of our own; facts with year and source."""

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


@dataclass(frozen=True, slots=True)
class CatalogueRegion:
    """A region of AWS, GCP, Azure, OVHcloud, Scaleway or Hetzner, named like ``aws:eu-north-1``.

    ``zone`` is Electricity Maps' name of the grid zone, ``zones`` what other sources call it
    where they do not derive that themselves; ``pue`` the provider's published mean of
    ``pue_year``, None where no figure is known; coordinates are those of the place, rounded.
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


@dataclass(frozen=True, slots=True)
class CarbonFree:
    """The share of carbon-free energy that a hoster publishes for a region's year."""

    percent: float
    year: int
    source: str


@cache
def catalogue() -> Mapping[str, CatalogueRegion]:
    """Every known region by name, in order of the table."""
    text = (files("providers") / "data/regions.csv").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            row["region"]: CatalogueRegion(
                name=row["region"],
                place=row["place"],
                country=row["country"],
                lat=float(row["lat"]),
                lon=float(row["lon"]),
                zone=row["zone"],
                zones=_by_source(row["zones"]),
                pue=float(row["pue"]) if row["pue"] else None,
                pue_year=int(row["pue_year"]) if row["pue_year"] else None,
                pue_source=row["pue_source"],
            )
            for row in csv.DictReader(text.splitlines())
        }
    )


@cache
def carbon_free() -> Mapping[str, CarbonFree]:
    """What is published of carbon-free energy, by region; only Google tells it by region."""
    text = (files("providers") / "data/gcp_cfe.csv").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            row["region"]: CarbonFree(
                float(row["carbon_free_percent"]), int(row["year"]), "Google CFE"
            )
            for row in csv.DictReader(text.splitlines())
        }
    )


def _by_source(text: str) -> Mapping[str, str]:
    """``watttime=CAISO_NORTH;eia=CAL`` as a mapping from source to zone."""
    pairs = (part.partition("=") for part in text.split(";") if part)
    return MappingProxyType({source: zone for source, _, zone in pairs})


def nearest_names(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names most like ``name``, nearest first."""
    return difflib.get_close_matches(name, names, n=count, cutoff=0.5)
