"""CPU and memory by model, for machines whose counters cannot be read.

CPU: Cloud Carbon Footprint's watts per vCPU at idle and at full load by microarchitecture
(from SPECpower, so whole servers at the wall). Active energy is the range between both times
the tree's CPU seconds; idle energy is the lower end for the job's part of the machine: what it
holds, and what it uses of what no run holds. Bounds of the sum: that part at idle, and all that it
holds or may have used at full load; of the active part: zero, and the widest range (lowest idle to
highest full load).

Memory: 0.392 W per GB (CCF methodology: mean of Crucial 0.375 and Micron 0.4083 W/GB); active
is the resident memory of the tree, held its part of the machine's memory: by its slots, and what
is resident beyond that of what no run holds.
The lower bound is zero, because SPECpower's servers already hold memory of their own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from providers.base import Component, Probe, Reading, Triple
from providers.meters import microarchitecture

if TYPE_CHECKING:
    from providers.base import Scope, Usage

DRAM_W_PER_GB = Triple(0.0, 0.392, 0.4083)
DRAM_SOURCE = "Cloud Carbon Footprint: 0.392 W/GB (Crucial 0.375, Micron 0.4083)"


def memory_gb() -> float:
    """This machine's memory, GB (10^9 bytes)."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def memory_gb_per_cpu() -> float:
    """This machine's memory per logical CPU, GB (10^9 bytes)."""
    return memory_gb() / (os.cpu_count() or 1)


class ModelMeter:
    """The model, opened for one job."""

    def __init__(self, scope: Scope) -> None:
        self._cpus = os.cpu_count() or 1
        self._slots = min(scope.slots, self._cpus)
        self._watts = microarchitecture.here()

    def components(self) -> tuple[Component, ...]:
        """Modelled ``cpu`` and ``dram``."""
        cpu_w = self._watts.full.high * self._slots
        dram_w = DRAM_W_PER_GB.high * self._slots * memory_gb_per_cpu()
        return (
            Component("cpu", "modelled", self._watts.source, cpu_w),
            Component("dram", "modelled", DRAM_SOURCE, dram_w),
        )

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Energies so far; both grow with time, so they never fall."""
        return (self._cpu(usage), self._dram(usage))

    def _cpu(self, usage: Usage) -> Reading:
        idle, full = self._watts.idle, self._watts.full
        held_s, most_s = self._cpus * usage.cpu_share_s, usage.cpu_s + usage.unseen_cpu_s
        active = (full.value - idle.value) * usage.cpu_s
        energy = active + idle.value * held_s
        # Only rounding can put the value outside these.
        low, high = min(idle.low * held_s, energy), max(full.high * max(held_s, most_s), energy)
        return Reading(
            "cpu",
            Triple(0.0, active, (full.high - idle.low) * most_s),
            Triple(low, energy, high),
            usage.elapsed_s,
        )

    def _dram(self, usage: Usage) -> Reading:
        held = memory_gb() * usage.memory_share_s
        # Pages shared between processes count in each: no job has more than falls to it.
        return Reading(
            "dram",
            DRAM_W_PER_GB.scaled(min(usage.rss_gb_s, held)),
            DRAM_W_PER_GB.scaled(held),
            usage.elapsed_s,
        )

    def notes(self) -> tuple[str, ...]:
        """All is said in the source."""
        return ()

    def close(self) -> None:
        """Nothing is held."""


class _Kind:
    def probe(self) -> Probe:
        """It works everywhere; the detail says on what."""
        return Probe(True, microarchitecture.here().source)

    def open(self, scope: Scope) -> ModelMeter:
        """The model for what the job holds."""
        return ModelMeter(scope)


KIND = _Kind()
