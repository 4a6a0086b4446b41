"""``regions.<name>.hardware``: what embodied carbon M is computed from."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scheduler.sections import Bounds, Seconds, Section, Words

# Of a server: no query, and no login, which would end up in messages.
ADDRESS = r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$"
Count = Annotated[int, Field(ge=1)]
Maybe = Annotated[int, Field(ge=0)]


def is_address(url: str) -> bool:
    """Whether a server may be asked there."""
    return re.fullmatch(ADDRESS, url) is not None


class Sourced(Bounds):
    """A figure that stands in for a table's, never without a source."""

    source: Words


class CcfServer(Section):
    """A server by parts, for Cloud Carbon Footprint's rule of embodied carbon.

    ``gpu`` names its boards (``A100-SXM4``), for the table of what one embodies; ``gpu_kg`` is a
    figure of your own in its place.
    """

    memory_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    cpus: Count = 1
    gpus: Maybe = 0
    ssds: Maybe = 0
    hdds: Maybe = 0
    gpu: Words | None = None
    gpu_kg: Sourced | None = None

    @model_validator(mode="after")
    def _of_some_board(self) -> CcfServer:
        if self.gpu is not None and not self.gpus:
            raise ValueError("gpu names the boards: say how many with gpus")
        if self.gpu_kg is not None and not self.gpus:
            raise ValueError("gpu_kg is the figure of one board: say how many with gpus")
        return self


class BoaviztaCpu(Section):
    """Processors, as Boavizta names what it knows of them."""

    units: Count
    name: Words | None = None
    core_units: Count | None = None
    tdp: Count | None = None


class BoaviztaRam(Section):
    """Modules of ``capacity`` GB."""

    units: Count
    capacity: Count
    manufacturer: Words | None = None


class BoaviztaDisk(Section):
    """Disks of ``capacity`` GB."""

    units: Count
    type: Literal["ssd", "hdd"]
    capacity: Count | None = None


class BoaviztaGpu(Section):
    """Boards with ``vram`` GB each."""

    units: Count
    vram: Count | None = None


class BoaviztaServer(Section):
    """A server's parts; a misspelt part would be taken for the default one over there."""

    cpu: BoaviztaCpu
    ram: Annotated[tuple[BoaviztaRam, ...], Field(min_length=1)]
    disk: tuple[BoaviztaDisk, ...] = ()
    gpu: BoaviztaGpu | None = None


class BoaviztaSettings(Section):
    """A Boavizta API that the user runs, asked for an instance type or for a server's parts.

    ``fallback`` says what stands in where it cannot tell.
    """

    url: Annotated[str, Field(pattern=ADDRESS)]
    provider: Words | None = None
    instance: Words | None = None
    server: BoaviztaServer | None = None
    fallback: Literal["ccf"] | None = None

    @model_validator(mode="after")
    def _one_machine(self) -> BoaviztaSettings:
        if (self.provider is None) != (self.instance is None):
            raise ValueError("provider and instance stand together: e.g. aws and c5.large")
        if (self.instance is None) == (self.server is None):
            raise ValueError("boavizta needs one of provider with instance, or server")
        return self


class HardwareSettings(Section):
    """What M is computed from: one of a CCF server, an instance type, Boavizta, your own figure.

    ``lifespan`` stands in for that of the source; ``slots`` and ``gpus`` for its resources.
    """

    ccf_server: CcfServer | None = None
    instance: Words | None = None
    boavizta: BoaviztaSettings | None = None
    embodied_kg: Bounds | Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    lifespan: Seconds | None = None
    lifespan_source: Words | None = None
    slots: Count | None = None
    gpus: Maybe = 0
    source: Words | None = None

    @model_validator(mode="after")
    def _one_way(self) -> HardwareSettings:
        ways = (self.ccf_server, self.instance, self.boavizta, self.embodied_kg)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("hardware needs one of ccf_server, instance, boavizta, embodied_kg")
        if self.embodied_kg is not None:
            if not (self.lifespan and self.source):
                raise ValueError("embodied_kg needs lifespan and source beside it")
        elif self.source is not None:
            raise ValueError(
                "source belongs to embodied_kg: a table has its own (lifespan_source says whose "
                "lifespan it is)"
            )
        elif (self.lifespan is None) != (self.lifespan_source is None):
            raise ValueError("lifespan and lifespan_source stand together: who says so?")
        return self
