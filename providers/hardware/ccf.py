"""Embodied carbon of machines, from Cloud Carbon Footprint's coefficients (vendored).

Bounds: sources disagree by a factor of 1.3 to 2.8 on the same instance (CCF against
Boavizta, c5.large, p3.2xlarge, p4d.24xlarge), so a CCF figure is taken as times or divided by
two.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from providers.base import Triple
from providers.errors import SettingsError

COMMIT = "b0032d9"
SPREAD = 2.0
# ccfcoef/constants.py: a base server of 1000 kg (Dell R740 without memory and disks beyond the
# base), used for 4 years; parts beyond the base in kgCO2e each.
BASE_KG = 1000.0
LIFESPAN_H = 4 * 365 * 24.0
LIFESPAN_SOURCE = f"Cloud Carbon Footprint @ {COMMIT}"
BASE_MEMORY_GB = 16.0
KG_PER_GB = 533.0 / 384.0
KG_PER_CPU, KG_PER_SSD, KG_PER_HDD, KG_PER_GPU = 100.0, 100.0, 50.0, 150.0


@dataclass(frozen=True, slots=True)
class EmbodiedServer:
    """TE of a machine, its expected lifespan EL and its resources ToR, each with its source.

    ``slots`` are vCPUs, None where the source knows of none.
    """

    total_kg: Triple
    lifespan_h: float
    lifespan_source: str
    slots: int | None
    slots_source: str
    source: str


def instance(provider: str, kind: str) -> EmbodiedServer:
    """The platform behind a cloud instance type, e.g. ``instance("aws", "c5.large")``."""
    known = _instances()
    if (provider, kind) not in known:
        names = [f"{p}/{k}" for p, k in known]
        near = difflib.get_close_matches(f"{provider}/{kind}", names, n=3, cutoff=0.4)
        raise SettingsError(
            f"no instance type {provider}/{kind} in Cloud Carbon Footprint's table: nearest are "
            f"{', '.join(near) or 'none (write aws/..., gcp/... or azure/...)'}"
        )
    total, slots = known[provider, kind]
    source = f"Cloud Carbon Footprint @ {COMMIT}, {provider} {kind}"
    platform = f"vCPUs of the platform of {provider}/{kind}, Cloud Carbon Footprint @ {COMMIT}"
    return EmbodiedServer(_spread(total), LIFESPAN_H, LIFESPAN_SOURCE, slots, platform, source)


def has(provider: str, kind: str) -> bool:
    """Whether the table has the platform of an instance type."""
    return (provider, kind) in _instances()


def ccf_server(
    *,
    memory_gb: float,
    cpus: int = 1,
    gpus: int = 0,
    ssds: int = 0,
    hdds: int = 0,
    gpu_kg: Triple | None = None,
    gpu_source: str = "",
) -> EmbodiedServer:
    """A server by its parts under CCF's rule.

    ``gpu_kg`` is what one board embodies, from ``gpu_source``, in place of CCF's 150 kg; its
    bounds are its own.
    """
    total = _spread(
        BASE_KG
        + KG_PER_GB * max(0.0, memory_gb - BASE_MEMORY_GB)
        + KG_PER_CPU * (cpus - 1)
        + KG_PER_SSD * ssds
        + KG_PER_HDD * hdds
    ) + (gpu_kg or _spread(KG_PER_GPU)).scaled(gpus)
    parts = f"{memory_gb:.0f} GB, {cpus} CPU, {gpus} GPU, {ssds} SSD, {hdds} HDD"
    source = f"Cloud Carbon Footprint's rule @ {COMMIT}: {parts}"
    if gpu_kg is not None:
        source += f"; {gpu_kg.value:g} kg a GPU: {gpu_source}"
    return EmbodiedServer(total, LIFESPAN_H, LIFESPAN_SOURCE, None, "", source)


def _spread(kg: float) -> Triple:
    return Triple(kg / SPREAD, kg, kg * SPREAD)


@cache
def _instances() -> dict[tuple[str, str], tuple[float, int]]:
    text = (files("providers") / "data/ccf/embodied.csv").read_text(encoding="utf-8")
    return {
        (row["provider"], row["type"]): (float(row["platform_kg"]), int(row["platform_vcpus"]))
        for row in csv.DictReader(text.splitlines())
    }
