"""What somebody may have meant who named a region that does not exist."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from providers import catalogue, typical

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.regions import Region

SHOWN = 4


def region_hint(name: str, regions: Sequence[Region]) -> str:
    """The regions of a grid zone, cloud, country or place of that name, else the nearest names."""
    wanted = plain(name)
    kinds: tuple[tuple[str, Callable[[Region], bool]], ...] = (
        ("regions of that name", lambda r: plain(r.name).partition(":")[2] == wanted),
        ("a grid zone; regions there", lambda r: plain(r.zone or "") == wanted),
        ("a cloud; regions of it", lambda r: wanted in (r.provider, f"{r.provider}:")),
        ("a country; regions there", lambda r: plain(r.country or "") == wanted),
        ("a place; regions there", lambda r: wanted in _places(r)),
        ("part of a grid zone; regions there", lambda r: plain(r.zone or "").startswith(wanted)),
    )
    for what, is_meant in kinds if wanted else ():
        if found := [r.name for r in regions if is_meant(r)]:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            return f"{what}: {', '.join(found[:SHOWN])}{more} (see `lowtide regions`)"
    zone = next((z for z in typical.zones() if plain(z) == wanted), None)
    if zone is not None:
        return (
            f"a grid zone without a listed region: give one of yours `zone: {zone}` in the config"
        )
    near = catalogue.nearest_names(wanted, [r.name for r in regions])
    hint = f"nearest are {', '.join(near)}" if near else "names are like aws:eu-north-1"
    return f"{hint} (see `lowtide regions`)"


def plain(name: str) -> str:
    """In small letters, without accents."""
    parts = unicodedata.normalize("NFKD", name.strip())
    return "".join(c for c in parts if not unicodedata.combining(c)).casefold()


def _places(region: Region) -> tuple[str, str]:
    """The whole name of a place, and what stands before its comma."""
    return plain(region.place), plain(region.place.split(",")[0])
