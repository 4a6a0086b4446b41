"""Regions as the planner and the settlement see them: config laid over the catalogue."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from providers import catalogue, typical
from providers.base import Triple
from providers.surroundings import Surroundings
from scheduler.errors import UsageError
from scheduler.machines import Machines, Owner, bounded
from scheduler.models import Place, Site, WaterUse, provider_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scheduler.config import Config, Price, RegionSettings
    from scheduler.hardware_settings import HardwareSettings
    from scheduler.machines import Machine
    from scheduler.models import Hardware

# An undeclared PUE lies between a large cloud's fleet (Google 1.09, AWS 1.15 in 2024) and the
# industry's mean (1.58, Uptime Institute Global Data Center Survey 2023); the value is the middle.
UNKNOWN_PUE = Triple(1.1, 1.34, 1.58)
UNKNOWN_PUE_SOURCE = (
    "not declared: between a large cloud (1.1) and the industry mean "
    "(1.58, Uptime Institute 2023); set regions.<name>.pue"
)

# So many regions are named in a hint.
HINTED = 4
# What the place of a region is called where nobody named it: this machine's, and another one's.
UNNAMED = ("this machine", "own")


@dataclass(frozen=True)
class Region:
    """A place where jobs can run (``executor`` set) or be compared.

    ``slots`` are those of each hour of the day in UTC (24), None: what its executor has. Jobs run
    on ``host``; None: where they were submitted.
    ``water`` is what its site uses, None where that is not known.
    ``zones`` is what sources call its grid zone that have a name of their own for it. Where it
    lies (``country`` of two letters, ``lat``, ``lon``) is None where nobody said.
    """

    name: str
    place: str
    zone: str | None
    executor: str | None
    slots: tuple[int, ...] | None
    pue: Triple
    pue_source: str
    water: WaterUse | None
    chain: tuple[str, ...]
    hardware_settings: HardwareSettings | None
    machines: Machines = field(repr=False, compare=False)
    price: Price | None = None
    zones: Mapping[str, str] = field(default_factory=dict)
    country: str | None = None
    lat: float | None = None
    lon: float | None = None
    host: str | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """As :func:`scheduler.models.provider_of`."""
        return provider_of(self.name)

    @property
    def machine(self) -> Machine:
        """What M is computed from, or why it cannot be; may ask a Boavizta server."""
        slots = max(self.slots) if self.slots else None
        owner = Owner(self.name, self.executor == "local", slots)
        return self.machines.of(owner, self.hardware_settings)

    @property
    def hardware(self) -> Hardware | None:
        """What M is computed from; None where it is not known."""
        return self.machine.hardware

    @property
    def site(self) -> Site:
        """The region as a settlement sees it."""
        found, settings = self.machine, self.hardware_settings
        place = Place(
            self.name,
            self.zone,
            name=None if self.place in UNNAMED else self.place,
            country=self.country,
            lat=self.lat,
            lon=self.lon,
            instance=None if settings is None else settings.instance,
            declared=settings is not None,
        )
        return Site(
            self.name,
            self.zone,
            self.pue,
            self.pue_source,
            found.hardware,
            found.reason,
            place,
            self.water,
        )


class Regions:
    """Every region by name: those of the config first, then the catalogue's."""

    def __init__(self, config: Config, here: Surroundings | None = None) -> None:
        self._config = config
        self._machines = Machines(here or Surroundings(config.base_dir, config.home / "cache"))
        self._known: dict[str, Region] = {}

    @cached_property
    def configured(self) -> tuple[Region, ...]:
        """Regions that stand in the config, in its order."""
        return tuple(self[name] for name in self._config.settings.regions)

    @cached_property
    def every(self) -> tuple[Region, ...]:
        """Configured regions, then the rest of the catalogue."""
        names = dict.fromkeys((*self._config.settings.regions, *catalogue.catalogue()))
        return tuple(self[name] for name in names)

    def __contains__(self, name: str) -> bool:
        """Whether there is a region called ``name``."""
        return name in self._config.settings.regions or name in catalogue.catalogue()

    def __getitem__(self, name: str) -> Region:
        """The region called ``name``; :class:`UsageError` offers the nearest names."""
        if name not in self._known:
            settings = self._config.settings
            listed = catalogue.catalogue().get(name)
            own = settings.regions.get(name)
            if own is None and listed is None:
                raise UsageError(f"unknown region {name!r}: {region_hint(name, self.every)}")
            self._known[name] = _region(name, own, listed, settings.providers, self._machines)
        return self._known[name]


def _region(
    name: str,
    own: RegionSettings | None,
    listed: catalogue.CatalogueRegion | None,
    providers: tuple[str, ...],
    machines: Machines,
) -> Region:
    pue, pue_source = UNKNOWN_PUE, UNKNOWN_PUE_SOURCE
    if listed is not None and listed.pue is not None:
        pue, pue_source = listed.pue.figure, listed.pue.source
    if own is not None and own.pue is not None:
        pue, pue_source = bounded(own.pue), own.pue.source
    water = None
    if listed is not None and listed.wue_l_per_kwh is not None:
        water = WaterUse(listed.wue_l_per_kwh.figure, listed.wue_l_per_kwh.source)
    if own is not None and own.wue_l_per_kwh is not None:
        water = WaterUse(bounded(own.wue_l_per_kwh), own.wue_l_per_kwh.source)
    zone = (own.zone if own else None) or (listed.zone if listed else None)
    # The table's names are those of its own zone: another zone in the config has others.
    known = listed.zones if listed is not None and listed.zone == zone else {}
    # Two coordinates of one place: never one of the config and one of the table.
    spot = own if own is not None and own.lat is not None else listed
    return Region(
        name=name,
        place=(own.place if own else None)
        or (listed.place if listed else UNNAMED[name != "local"]),
        zone=zone,
        executor=own.executor if own else None,
        slots=_by_hour(own.slots) if own else None,
        pue=pue,
        pue_source=pue_source,
        water=water,
        chain=(own.providers if own else None) or providers,
        hardware_settings=own.hardware if own else None,
        machines=machines,
        price=own.price if own else None,
        zones={**known, **(own.zones if own else {})},
        country=(own.country if own else None) or (listed.country if listed else None),
        lat=spot.lat if spot else None,
        lon=spot.lon if spot else None,
        host=own.host if own else None,
        engine=own.engine if own else {},
    )


def _by_hour(slots: int | tuple[int, ...] | None) -> tuple[int, ...] | None:
    return (slots,) * 24 if isinstance(slots, int) else slots


def region_hint(name: str, regions: Sequence[Region]) -> str:
    """The regions of a grid zone, cloud, country or place of that name, else the nearest names."""
    wanted = plain(name)
    kinds: tuple[tuple[str, Callable[[Region], bool]], ...] = (
        ("it is a grid zone; regions there", lambda r: plain(r.zone or "") == wanted),
        ("regions of that name", lambda r: plain(r.name).partition(":")[2] == wanted),
        ("it is a cloud; regions of it", lambda r: wanted in (r.provider, f"{r.provider}:")),
        ("it is a country; regions there", lambda r: plain(r.country or "") == wanted),
        ("it is a place; regions there", lambda r: wanted in _places(r)),
        ("zones begin so; regions there", lambda r: plain(r.zone or "").startswith(wanted)),
    )
    for what, is_meant in kinds if wanted else ():
        if found := [r.name for r in regions if is_meant(r)]:
            more = f" and {len(found) - HINTED} more" if len(found) > HINTED else ""
            return f"{what}: {', '.join(found[:HINTED])}{more} (see `lowtide regions`)"
    zone = next((z for z in typical.zones() if plain(z) == wanted), None)
    if zone is not None:
        return f"it is a grid zone without a listed region: set zone: {zone} for one of your own"
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
