"""Which regions are looked at: by name, provider, residency, and how far away they are."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.catalogue import nearest_names
from scheduler.comparison import Spot
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.regions import Region, Regions

_PAIR = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*,\s*([-+]?\d+(?:\.\d+)?)\s*")

# Members by ISO 3166-1 as of 2026-01-01. EU: european-union.europa.eu, Country profiles (27 since
# the United Kingdom left on 2020-02-01). EFTA and EEA: efta.int, The EFTA States and EEA Agreement
# (Switzerland is in EFTA, not in the EEA).
_EU = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
    "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip
_EFTA = frozenset({"CH", "IS", "LI", "NO"})
GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {"EU": _EU, "EEA": _EU | (_EFTA - {"CH"}), "EFTA": _EFTA}
)


@dataclass(frozen=True, slots=True)
class Selection:
    """The regions that passed every filter, and why some could not be judged."""

    regions: tuple[Region, ...]
    notes: tuple[str, ...] = ()


def select(
    regions: Regions,
    names: Sequence[str] = (),
    *,
    providers: Sequence[str] = (),
    within: Sequence[str] = (),
    near: Spot | None = None,
    within_km: float | None = None,
) -> Selection:
    """Those of ``names`` (none: all), of ``providers``, in a country or group of ``within``,
    near enough.

    A region of unknown country or place is left out where that is asked for, and said so.
    """
    kept, notes = [regions[n] for n in dict.fromkeys(names)] or list(regions.every), list[str]()
    if providers:
        _check_providers(providers, {r.provider for r in regions.every})
        kept = [r for r in kept if r.provider in providers]
    if within:
        lands = _countries(within, regions.every)
        nowhere = [r.name for r in kept if r.country is None]
        notes += [
            f"{name} is left out: nobody said in which country it stands (regions.{name}.country)"
            for name in nowhere
        ]
        kept = [r for r in kept if r.country in lands]
    if near is not None and within_km is not None:
        far = [(r, near.km_to(r.lat, r.lon)) for r in kept]
        notes += [
            f"{r.name} is left out: nobody said where it stands (regions.{r.name}.lat and lon)"
            for r, km in far
            if km is None
        ]
        kept = [r for r, km in far if km is not None and km <= within_km]
    return Selection(tuple(kept), tuple(notes))


def _check_providers(given: Sequence[str], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise UsageError(
                f"--provider {name}: no region has such a provider: known are "
                f"{', '.join(sorted(known))}"
            )


def _countries(given: Sequence[str], among: Sequence[Region]) -> frozenset[str]:
    """The countries of codes and groups, in either case of letters."""
    known = {r.country for r in among if r.country} | frozenset().union(*GROUPS.values())
    lands: set[str] = set()
    for name in given:
        code = name.strip().upper()
        if code in GROUPS:
            lands |= GROUPS[code]
        elif code in known:
            lands.add(code)
        else:
            raise UsageError(
                f"--within {name}: no region's country and no group is called so: groups are "
                f"{', '.join(GROUPS)}; countries are ISO 3166 codes: {', '.join(sorted(known))}"
            )
    return frozenset(lands)


def spot(text: str, regions: Regions) -> Spot:
    """A place by ``LAT,LON``, the name of a region, or a place of the table (``Berlin``)."""
    if pair := _PAIR.fullmatch(text):
        lat, lon = float(pair[1]), float(pair[2])
        if not (-90 <= lat <= 90 and -180 <= lon <= 180):
            raise UsageError(
                f"--near {text}: latitude lies between -90 and 90, longitude between -180 and 180"
            )
        return Spot(text.strip(), lat, lon)
    known = {r.name: r for r in regions.every}
    if text not in known:
        # By place, the first of several regions at it: they share its coordinates.
        places: dict[str, Region] = {}
        for region in (r for r in regions.every if r.lat is not None):
            for name in (region.place, region.place.split(",")[0]):
                places.setdefault(_plain(name), region)
        known |= places
    found = known.get(text) or known.get(_plain(text))
    if found is None:
        near = nearest_names(_plain(text), known) or nearest_names(text, known)
        hint = f"nearest are {', '.join(near)}; " if near else ""
        raise UsageError(f"--near {text}: no such place: {hint}or write LAT,LON, e.g. 52.5,13.4")
    if found.lat is None or found.lon is None:
        raise UsageError(
            f"--near {text}: nobody said where {found.name} stands: set "
            f"regions.{found.name}.lat and lon, or write LAT,LON, e.g. 52.5,13.4"
        )
    return Spot(found.name if text == found.name else found.place, found.lat, found.lon)


def _plain(name: str) -> str:
    """Small letters without accents."""
    split = unicodedata.normalize("NFKD", name.strip())
    return "".join(c for c in split if not unicodedata.combining(c)).casefold()
