"""Where a run is metered, checked before it starts; numpy and pydantic stay out where they can.

A run is not to wait for its meter, and not to be lost to a typo: what stands in the embedded
tables is checked at once, anything else by the sources that are to tell its intensity.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from providers import catalogue, typical
from scheduler import config_files
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scheduler.config import Config

# What the packaged configuration says (a test compares them), for where it need not be read.
HOME = "local"
METERS = ("nvml", "rapl", "model")
INTERVAL_S = 1.0
GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """A region's name, or the grid zone that this machine stands in; neither: the home region.

    ``config`` is None where only the packaged file is there. ``cwd`` is the folder that the run
    began in: it may be gone by its end.
    """

    region: str | None
    zone: str | None
    config: Config | None
    cwd: Path

    @property
    def name(self) -> str:
        """The region's name."""
        home = HOME if self.config is None else self.config.settings.home
        return self.region or home

    @property
    def meters(self) -> tuple[str, ...]:
        """Which meters are tried, first choice first."""
        return METERS if self.config is None else self.config.meters

    @property
    def interval_s(self) -> float:
        """How often they are read."""
        return INTERVAL_S if self.config is None else self.config.settings.sample_interval

    @property
    def grace_s(self) -> float:
        """How long a command that is to end may take."""
        return GRACE_S if self.config is None else self.config.settings.grace


def check_slots(slots: int, cpus: int) -> None:
    """:class:`UsageError` where more is to be held than this machine has."""
    if slots > cpus:
        raise UsageError(
            f"{slots} slots are asked for, and this machine has {cpus} logical CPUs: a run holds "
            "at most those"
        )


def place(
    region: str | None,
    zone: str | None,
    *,
    config: str | None,
    environ: Mapping[str, str],
    cwd: Path,
) -> Place:
    """The place that was named, checked.

    :class:`UsageError` for an unknown region, :class:`ConfigError` for a bad file,
    :class:`NoData` for a zone that no source of the region's chain knows.
    """
    if region is not None and zone is not None:
        raise UsageError(
            f"region {region!r} and zone {zone!r} are both given: a region has its zone; give the "
            "one, or the other for this machine"
        )
    found = Place(region, zone, _config(config, environ, cwd), cwd)
    if not _stands_in_the_tables(found):
        from scheduler.meter.desk import Desk

        with Desk(found, environ) as desk:
            desk.check()
    return found


def _config(path: str | None, environ: Mapping[str, str], cwd: Path) -> Config | None:
    if next(config_files.candidates(path, environ, cwd)).path == config_files.packaged():
        return None
    from scheduler import config

    return config.load(path, environ, cwd)


def _stands_in_the_tables(place: Place) -> bool:
    """Whether nothing more than the embedded tables is needed to know region and zone."""
    listed = catalogue.catalogue().get(place.name)
    settings = None if place.config is None else place.config.settings
    own = None if settings is None else settings.regions.get(place.name)
    if own is None and listed is None and (place.name != HOME or settings is not None):
        return False
    zone = place.zone or (own.zone if own else None) or (listed.zone if listed else None)
    chain = (own.providers if own else None) or (settings.providers if settings else None)
    typical_is_asked = chain is None or "climatology" in chain
    return zone is None or (typical_is_asked and zone in typical.zones())
