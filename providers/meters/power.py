"""What slots of this machine draw at full load, for jobs whose power nobody declared."""

from __future__ import annotations

from providers.base import Triple
from providers.meters import microarchitecture
from providers.meters.model import dram_w_per_gb, memory_gb_per_cpu


def idle_w(slots: int) -> Triple:
    """Watts of ``slots`` CPUs that are held and do nothing, and of their share of memory, as the
    model meters them (:mod:`providers.meters.model`).
    """
    dram = dram_w_per_gb()[0].scaled(slots * memory_gb_per_cpu())
    return microarchitecture.here().idle.scaled(slots) + dram


def full_load_w(slots: int) -> tuple[Triple, str]:
    """Watts of ``slots`` CPUs and their share of memory at full load, and the figures' source.

    The lower bound is the processor at idle without memory: a job may leave it idle.
    """
    watts = microarchitecture.here()
    cpu = Triple(watts.idle.low, watts.full.value, watts.full.high).scaled(slots)
    per_gb, source = dram_w_per_gb()
    dram = per_gb.scaled(slots * memory_gb_per_cpu())
    return cpu + dram, f"{slots} vCPU at full load: {watts.source}; memory: {source}"
