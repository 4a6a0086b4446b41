"""From ``hardware:`` settings to the machine that embodied carbon M is computed from.

Only a Boavizta server is asked for anything, and only when M is needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.base import Triple
from providers.errors import NoData, NotAsked, ProviderError, Unavailable
from scheduler.models import Hardware

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from providers.hardware.ccf import EmbodiedServer
    from providers.surroundings import Surroundings
    from scheduler.hardware_settings import BoaviztaSettings, CcfServer, HardwareSettings
    from scheduler.sections import Bounds

# A server that did not tell is left alone for so long by one process; the transport's breaker
# keeps all processes from asking.
PATIENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware, or why there is none; ``for_now``: it may be known later."""

    hardware: Hardware | None
    reason: str = ""
    for_now: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """The region that a machine stands in.

    ``here``: it is this machine; ``slots`` is what the config says that jobs may hold there.
    """

    region: str
    here: bool
    slots: int | None


class Machines:
    """Every region's machine, looked up once."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._here = surroundings
        self._known: dict[str, tuple[Machine, datetime]] = {}

    def of(self, owner: Owner, settings: HardwareSettings | None) -> Machine:
        """The machine of a region; :class:`SettingsError` for an instance type nobody knows."""
        if settings is None:
            return Machine(None)
        now = self._here.clock()
        found, seen = self._known.get(owner.region, (None, now))
        if found is None or (found.for_now and now - seen >= PATIENCE):
            found = _machine(owner, settings, self._here)
            self._known[owner.region] = (found, now)
        return found


def _machine(owner: Owner, settings: HardwareSettings, here: Surroundings) -> Machine:
    from providers.hardware import ccf

    gpus = settings.gpus
    if settings.boavizta is not None:
        asked = settings.boavizta
        gpus = gpus or (asked.server.gpu.units if asked.server and asked.server.gpu else 0)
        try:
            server = _told(asked, here)
        except ProviderError as e:
            if asked.fallback is None:
                return Machine(None, _silence(e, owner, asked), isinstance(e, Unavailable))
            server = _stand_in(asked, e)
    elif settings.ccf_server is not None:
        parts = settings.ccf_server
        if parts.memory_gb is None and not owner.here:
            return Machine(None, _unstated(owner, "ccf_server.memory_gb"))
        server = _by_parts(parts)
    elif settings.instance is not None:
        provider, _, kind = settings.instance.partition("/")
        server = ccf.instance(provider, kind)
    else:
        server = _declared(settings)
    if settings.lifespan is not None and settings.embodied_kg is None:
        said = settings.lifespan_source or ""
        server = replace(server, lifespan_h=settings.lifespan / 3600, lifespan_source=said)
    slots, slots_source = _slots(owner, settings, server)
    if slots is None:
        return Machine(None, _unstated(owner, "slots"))
    return Machine(
        Hardware(
            server.total_kg,
            server.lifespan_h,
            slots,
            gpus or server.gpus,
            server.source,
            lifespan_source=server.lifespan_source,
            slots_source=slots_source,
            boards_kg=server.boards_kg,
        )
    )


def _slots(
    owner: Owner, settings: HardwareSettings, server: EmbodiedServer
) -> tuple[int | None, str]:
    """ToR and where it is from: stated, the source's, what the config lends, or this machine's."""
    if settings.slots is not None:
        return settings.slots, f"regions.{owner.region}.hardware.slots"
    if server.slots is not None:
        return server.slots, server.slots_source
    if owner.here:
        return os.cpu_count() or 1, "logical CPUs of this machine"
    return owner.slots, f"regions.{owner.region}.slots"


def _unstated(owner: Owner, key: str) -> str:
    return (
        f"{owner.region} is not this machine, and its hardware says nothing of {key}, so there is "
        f"no embodied carbon: set regions.{owner.region}.hardware.{key}"
    )


def _by_parts(parts: CcfServer) -> EmbodiedServer:
    from providers.hardware import ccf
    from providers.meters.model import memory_gb

    board = parts.gpu_kg
    return ccf.ccf_server(
        memory_gb=parts.memory_gb or memory_gb(),
        cpus=parts.cpus,
        gpus=parts.gpus,
        ssds=parts.ssds,
        hdds=parts.hdds,
        gpu=parts.gpu or "",
        gpu_kg=None if board is None else bounded(board),
        gpu_source="" if board is None else board.source,
    )


def _declared(settings: HardwareSettings) -> EmbodiedServer:
    from providers.hardware.ccf import EmbodiedServer

    stated, source = settings.embodied_kg, settings.source or ""
    assert stated is not None  # validated: one of the ways is set
    assert settings.lifespan is not None
    total = Triple.exact(stated) if isinstance(stated, float) else bounded(stated)
    lifespan_source = settings.lifespan_source or source
    return EmbodiedServer(total, settings.lifespan / 3600, lifespan_source, None, "", source)


def bounded(figure: Bounds) -> Triple:
    """A declared figure; a bound that was not given is the figure itself."""
    low = figure.value if figure.low is None else figure.low
    return Triple(low, figure.value, figure.value if figure.high is None else figure.high)


# --- what a Boavizta server tells ----------------------------------------------------------


def _told(asked: BoaviztaSettings, here: Surroundings) -> EmbodiedServer:
    from providers.hardware.boavizta import Boavizta

    door = Boavizta(asked.url, here)
    if asked.server is not None:
        parts: Mapping[str, Any] = asked.server.model_dump(mode="json", exclude_none=True)
        return door.server(parts)
    return door.instance(asked.provider or "", asked.instance or "")


def _stand_in(asked: BoaviztaSettings, error: ProviderError) -> EmbodiedServer:
    """Cloud Carbon Footprint's figure for the same machine, marked as what it is."""
    from providers.hardware import ccf

    if asked.server is None:
        server = ccf.instance(asked.provider or "", asked.instance or "")
    else:
        parts = asked.server
        server = ccf.ccf_server(
            memory_gb=float(sum(r.units * r.capacity for r in parts.ram)),
            cpus=parts.cpu.units,
            gpus=parts.gpu.units if parts.gpu else 0,
            ssds=sum(d.units for d in parts.disk if d.type == "ssd"),
            hdds=sum(d.units for d in parts.disk if d.type == "hdd"),
        )
    return replace(server, source=f"{server.source}; fallback, for Boavizta {_in_short(error)}")


def _in_short(error: ProviderError) -> str:
    """What is wrong with the server, in the same words whenever it is asked."""
    if isinstance(error, Unavailable):
        return "does not answer"
    return "does not know the machine" if isinstance(error, NoData) else "tells no figure"


def _silence(error: ProviderError, owner: Owner, asked: BoaviztaSettings) -> str:
    """Why there is no M, without the time at which it is asked again: that is another one each
    time, and would make another settlement of the same.
    """
    said, start = str(error), ""
    if isinstance(error, Unavailable) and not isinstance(error, NotAsked):
        said = f"the Boavizta API at {asked.url} does not answer"
        start = "start it, or "
    return (
        f"{said}, so there is no embodied carbon: {start}set "
        f"regions.{owner.region}.hardware.boavizta.fallback: ccf"
    )
