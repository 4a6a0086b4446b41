"""Regions of hosters: place, grid zone, PUE and use of water. Tables of our own; facts with year
and source.
"""

from __future__ import annotations

import csv
import difflib
import itertools
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.base import Triple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# A change between years is taken as large as nine tenths of the known ones at most.
USUAL = 0.9


@dataclass(frozen=True, slots=True)
class Published:
    """A figure with its bounds; ``source`` is its publisher, its year and what the bounds are."""

    figure: Triple
    source: str


@dataclass(frozen=True, slots=True)
class CatalogueRegion:
    """A region of AWS, GCP, Azure, OVHcloud, Scaleway or Hetzner, named like ``aws:eu-north-1``.

    ``zone`` is Electricity Maps' name of the grid zone, ``zones`` what other sources call it
    where they do not derive that themselves; ``pue`` (ISO/IEC 30134-2) and ``wue_l_per_kwh``
    (ISO/IEC 30134-9, litres on site for each kWh of its computers) are None where no figure is
    published; coordinates are those of the place, rounded.
    """

    name: str
    place: str
    country: str
    lat: float
    lon: float
    zone: str
    zones: Mapping[str, str]
    pue: Published | None
    wue_l_per_kwh: Published | None


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
                pue=_pue(row),
                wue_l_per_kwh=_wue(row["region"]),
            )
            for row in csv.DictReader(text.splitlines())
        }
    )


def years(column: str) -> tuple[int, int]:
    """The oldest and the newest year of ``pue`` or ``wue_l_per_kwh``, of each region its newest."""
    known = [
        max(year for year, row in rows.items() if row[column])
        for rows in _facilities().values()
        if any(row[column] for row in rows.values())
    ]
    return min(known), max(known)


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


@cache
def _facilities() -> Mapping[str, Mapping[int, Mapping[str, str]]]:
    """Rows of the table of PUE and water use by region and year."""
    text = (files("providers") / "data/pue_wue.csv").read_text(encoding="utf-8")
    found: dict[str, dict[int, Mapping[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["region"], {})[int(row["year"])] = row
    return found


def _pue(listed: Mapping[str, str]) -> Published | None:
    """The region's newest figure, bounded by how such figures change between years; else its
    hoster's mean, bounded by the figures of that hoster's regions.
    """
    known = {y: float(row["pue"]) for y, row in _facilities().get(listed["region"], {}).items()}
    if known:
        newest = max(known)
        by, overhead = _change_of_overhead(), known[newest] - 1.0
        bounds = (*known.values(), 1.0 + overhead / by, 1.0 + overhead * by)
        publisher = _facilities()[listed["region"]][newest]["publisher"]
        said = "bounds: the change between years"
        source = f"{publisher}, mean of {listed['region']} ({newest}), {said}"
        return Published(Triple(min(bounds), known[newest], max(bounds)), source)
    if not listed["pue"]:
        return None
    mean, cloud = float(listed["pue"]), listed["region"].partition(":")[0]
    others = [
        float(rows[max(rows)]["pue"])
        for name, rows in _facilities().items()
        if name.partition(":")[0] == cloud
    ]
    source = f"{listed['pue_source']} ({listed['pue_year']}), bounds: its regions"
    return Published(Triple(min(mean, *others), mean, max(mean, *others)), source)


@cache
def _change_of_overhead() -> float:
    """By which factor what a region adds to its computers' energy (PUE - 1) changes from one
    year to the next, in nine tenths of the regions with two years; a rise and a fall count alike.
    """
    overheads = (
        [float(rows[year]["pue"]) - 1.0 for year in sorted(rows)] for rows in _facilities().values()
    )
    changes = sorted(
        abs(math.log(after / before))
        for known in overheads
        for before, after in itertools.pairwise(known)
    )
    return math.exp(changes[math.ceil(USUAL * len(changes)) - 1])


def _wue(region: str) -> Published | None:
    """The region's newest figure; one year is published, so nothing bounds it."""
    known = {y: row for y, row in _facilities().get(region, {}).items() if row["wue_l_per_kwh"]}
    if not known:
        return None
    newest = known[max(known)]
    source = f"{newest['publisher']}, mean of {region} ({max(known)}), without bounds"
    return Published(Triple.exact(float(newest["wue_l_per_kwh"])), source)


def _by_source(text: str) -> Mapping[str, str]:
    """``watttime=CAISO_NORTH;eia=CAL`` as a mapping from source to zone."""
    pairs = (part.partition("=") for part in text.split(";") if part)
    return MappingProxyType({source: zone for source, _, zone in pairs})


def nearest_names(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names most like ``name``, nearest first."""
    return difflib.get_close_matches(name, names, n=count, cutoff=0.5)
