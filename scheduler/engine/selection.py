"""Which regions are looked at: by provider, by country, by distance."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.errors import UsageError
from scheduler.regions import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.regions import Region, Regions

Spot = tuple[float, float]

# Members as of 2026-01-01: the EU has had 27 since 2020-02-01 (europa.eu, "EU countries"), EFTA 4
# since 1995 (efta.int, "The EFTA States"); the EEA is the EU with EFTA but for Switzerland.
EU = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE"}
    | {"IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)
EFTA = frozenset({"CH", "IS", "LI", "NO"})
GROUPS = {"EU": EU, "EEA": EU | EFTA - {"CH"}, "EFTA": EFTA}

# Mean radius R1 of the Earth (IUGG 1980): a sphere is wrong by at most 0.5 %.
EARTH_KM = 6371.0088


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; empty or None: no matter. ``near`` is a region, a
    place of the table, or ``LAT,LON``.
    """

    providers: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    near: str | None = None
    within_km: float | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Regions that are left, where distances start, and who could not be judged, and why."""

    regions: tuple[Region, ...]
    origin: Spot | None
    left_out: Mapping[str, str]


def select(every: Sequence[Region], wanted: Wanted, known: Regions, home: Region) -> Selection:
    """Those of ``every`` that are wanted; :class:`UsageError` where none is.

    Distances are from ``near``, else from home. A place that does not say where it lies is
    left out of a question about it, and said.
    """
    _check(wanted, known)
    countries = _countries(wanted, known)
    origin = _spot(home) if wanted.near is None else spot(wanted.near, known)
    if wanted.within_km is not None and origin is None:
        raise UsageError(
            f"--within-km needs a place to start from: add --near, or lat and lon to "
            f"regions.{home.name}"
        )
    kept, left_out = [], {}
    for region in every:
        if wanted.providers and region.provider not in wanted.providers:
            continue
        if countries and region.country is None:
            left_out[region.name] = f"its country is not known: set regions.{region.name}.country"
            continue
        if countries and region.country not in countries:
            continue
        if wanted.within_km is not None:
            far = distance_km(origin, _spot(region))
            if far is None:
                left_out[region.name] = nowhere(region)
                continue
            if far > wanted.within_km:
                continue
        kept.append(region)
    if not kept:
        raise UsageError(_none_left(every, wanted, left_out))
    return Selection(tuple(kept), origin, left_out)


def spot(text: str, known: Regions) -> Spot:
    """``52.4,13.1``, where the region of that name lies, or a place of the table (``Berlin``)."""
    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        region = next((r for r in known.every if r.name == text), None)
        if region is not None:
            at = _spot(region)
            if at is None:
                raise UsageError(f"--near {text}: {nowhere(region)}") from None
            return at
        return _place(text, known)
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise UsageError(f"--near {text}: no place on Earth: write LAT,LON, e.g. 52.4,13.1")
    return lat, lon


def _place(text: str, known: Regions) -> Spot:
    """A place by name, whole or before its comma; where several regions share it, the first."""
    places: dict[str, Spot] = {}
    for region in known.every:
        if (at := _spot(region)) is not None:
            for name in (region.place, region.place.split(",")[0]):
                places.setdefault(plain(name), at)
    if plain(text) in places:
        return places[plain(text)]
    names = [*places, *(r.name for r in known.every)]
    near = difflib.get_close_matches(plain(text), names, n=3, cutoff=0.5)
    hint = f"nearest are {', '.join(near)}; or " if near else ""
    raise UsageError(
        f"--near {text}: no region and no place of the table is called so: {hint}write "
        "LAT,LON, e.g. 52.4,13.1"
    )


def distance_km(start: Spot | None, end: Spot | None) -> float | None:
    """Along the great circle (haversine); None where one end is not known."""
    if start is None or end is None:
        return None
    (a, b), (c, d) = (tuple(math.radians(x) for x in point) for point in (start, end))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, half)))


def from_origin(region: Region, origin: Spot | None) -> float | None:
    """How far a region is from where distances start."""
    return distance_km(origin, _spot(region))


def nowhere(region: Region) -> str:
    """Why nothing is known of a region's distance."""
    return f"where it lies is not known: set regions.{region.name}.lat and lon"


def _spot(region: Region) -> Spot | None:
    return None if region.lat is None or region.lon is None else (region.lat, region.lon)


def _check(wanted: Wanted, known: Regions) -> None:
    providers = sorted({r.provider for r in known.every})
    for name in wanted.providers:
        if name not in providers:
            near = difflib.get_close_matches(name, providers, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(providers)}"
            raise UsageError(f"--provider {name}: no region is theirs: {hint}")


def _countries(wanted: Wanted, known: Regions) -> frozenset[str]:
    """The countries meant, groups resolved."""
    here = {r.country for r in known.every if r.country is not None}
    found: frozenset[str] = frozenset()
    for text in wanted.within:
        name = text.upper()
        members = GROUPS.get(name, frozenset({name}))
        if not members & here:
            raise UsageError(
                f"--within {text}: no region lies there: known are "
                f"{', '.join([*GROUPS, *sorted(here)])}"
            )
        found |= members
    return found


def _none_left(every: Sequence[Region], wanted: Wanted, left_out: Mapping[str, str]) -> str:
    asked = []
    if wanted.providers:
        asked.append(f"of {' or '.join(wanted.providers)}")
    if wanted.within:
        asked.append(f"in {' or '.join(wanted.within)}")
    if wanted.within_km is not None:
        asked.append(f"within {wanted.within_km:g} km of {wanted.near or 'home'}")
    said = f"no region is left: of {len(every)} looked at, none is {' and '.join(asked)}"
    unsure = "; ".join(f"{name}: {why}" for name, why in left_out.items())
    return f"{said} ({unsure})" if unsure else said
