"""Embodied carbon of machines, from Cloud Carbon Footprint's coefficients (vendored).

Instance types that CCF's coefficients do not have are composed by CCF's rule from their parts
(``composed_instances.csv``). Boards are counted apart, by :mod:`providers.hardware.boards`.

Bounds: sources disagree by a factor of 1.3 to 2.8 on the same instance (CCF against
Boavizta, c5.large, p3.2xlarge, p4d.24xlarge), so a CCF figure is taken as times or divided by
two.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from providers.base import Triple
from providers.errors import SettingsError
from providers.hardware.boards import FLAT_KG, Board, board

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMIT = "b0032d9"
# Of the commit.
YEAR = 2026
SPREAD = 2.0
# ccfcoef/constants.py: a base server of 1000 kg (Dell R740 without memory and disks beyond the
# base), used for 4 years; parts beyond the base in kgCO2e each.
BASE_KG = 1000.0
LIFESPAN_H = 4 * 365 * 24.0
LIFESPAN_SOURCE = f"Cloud Carbon Footprint @ {COMMIT}"
BASE_MEMORY_GB = 16.0
KG_PER_GB = 533.0 / 384.0
KG_PER_CPU, KG_PER_SSD, KG_PER_HDD = 100.0, 100.0, 50.0


@dataclass(frozen=True, slots=True)
class EmbodiedServer:
    """TE of a machine, its expected lifespan EL and its resources ToR, each with its source.

    ``slots`` are vCPUs, None where the source knows of none. ``boards_kg`` is the part of TE that
    its ``gpus`` boards are, None where the source does not tell them apart.
    """

    total_kg: Triple
    lifespan_h: float
    lifespan_source: str
    slots: int | None
    slots_source: str
    source: str
    gpus: int = 0
    boards_kg: Triple | None = None


def instance(provider: str, kind: str) -> EmbodiedServer:
    """The platform behind a cloud instance type, e.g. ``instance("aws", "c5.large")``."""
    if not has(provider, kind):
        names = [f"{p}/{k}" for p, k in _platforms() | _composed()]
        near = difflib.get_close_matches(f"{provider}/{kind}", names, n=3, cutoff=0.4)
        raise SettingsError(
            f"no instance type {provider}/{kind} in Cloud Carbon Footprint's table: nearest are "
            f"{', '.join(near) or 'none (write aws/..., gcp/... or azure/...)'}"
        )
    name = _plain(kind)
    if (row := _platforms().get((provider, name))) is not None:
        gpus = int(row["gpus"])
        rest = _spread(float(row["platform_kg"]) - FLAT_KG * gpus)
        source = f"Cloud Carbon Footprint @ {COMMIT}, {provider} {kind}"
        sized = f"Cloud Carbon Footprint @ {COMMIT}"
    else:
        row = _composed()[provider, name]
        gpus, memory_gb = int(row["gpus"]), float(row["platform_memory_gb"])
        cpus, ssds = int(row["cpus"]), int(row["ssds"])
        rest = _parts(memory_gb, cpus, ssds, 0)
        source = (
            f"{provider} {kind}, composed by Cloud Carbon Footprint's rule @ {COMMIT}: "
            f"{memory_gb:.0f} GB, {cpus} CPU, {gpus} GPU, {ssds} SSD"
        )
        sized = "the largest size of its family"
    slots_source = f"vCPUs of the platform of {provider}/{kind}, {sized}"
    bare = EmbodiedServer(
        rest, LIFESPAN_H, LIFESPAN_SOURCE, int(row["platform_vcpus"]), slots_source, source
    )
    return _with_boards(bare, gpus, board(row["gpu"]))


def has(provider: str, kind: str) -> bool:
    """Whether the tables have the platform of an instance type."""
    return (provider, _plain(kind)) in _platforms() | _composed()


def ccf_server(
    *,
    memory_gb: float,
    cpus: int = 1,
    gpus: int = 0,
    ssds: int = 0,
    hdds: int = 0,
    gpu: str = "",
    gpu_kg: Triple | None = None,
    gpu_source: str = "",
) -> EmbodiedServer:
    """A server by its parts under CCF's rule.

    ``gpu`` names its boards; ``gpu_kg`` is what one of them embodies, from ``gpu_source``, in
    place of the table's figure; its bounds are its own.
    """
    parts = f"{memory_gb:.0f} GB, {cpus} CPU, {gpus} GPU, {ssds} SSD, {hdds} HDD"
    source = f"Cloud Carbon Footprint's rule @ {COMMIT}: {parts}"
    bare = EmbodiedServer(
        _parts(memory_gb, cpus, ssds, hdds), LIFESPAN_H, LIFESPAN_SOURCE, None, "", source
    )
    return _with_boards(bare, gpus, board(gpu) if gpu_kg is None else Board(gpu_kg, gpu_source))


def _parts(memory_gb: float, cpus: int, ssds: int, hdds: int) -> Triple:
    return _spread(
        BASE_KG
        + KG_PER_GB * max(0.0, memory_gb - BASE_MEMORY_GB)
        + KG_PER_CPU * (cpus - 1)
        + KG_PER_SSD * ssds
        + KG_PER_HDD * hdds
    )


def _with_boards(bare: EmbodiedServer, gpus: int, each: Board) -> EmbodiedServer:
    if not gpus:
        return bare
    boards = each.kg.scaled(gpus)
    return replace(
        bare,
        total_kg=bare.total_kg + boards,
        gpus=gpus,
        boards_kg=boards,
        source=f"{bare.source}; {each.kg.value:g} kg a GPU: {each.source}",
    )


def _spread(kg: float) -> Triple:
    return Triple(kg / SPREAD, kg, kg * SPREAD)


def _plain(kind: str) -> str:
    """``Standard_ND96isr_H100_v5`` as Azure's lists of sizes write it: ``ND96isr H100 v5``."""
    return kind.removeprefix("Standard_").replace("_", " ")


@cache
def _platforms() -> dict[tuple[str, str], Mapping[str, str]]:
    return _rows("data/ccf/embodied.csv")


@cache
def _composed() -> dict[tuple[str, str], Mapping[str, str]]:
    return _rows("data/composed_instances.csv")


def _rows(name: str) -> dict[tuple[str, str], Mapping[str, str]]:
    text = (files("providers") / name).read_text(encoding="utf-8")
    return {(row["provider"], row["type"]): row for row in csv.DictReader(text.splitlines())}
