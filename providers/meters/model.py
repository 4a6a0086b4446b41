"""CPU and memory by model, for machines whose counters cannot be read.

CPU: Cloud Carbon Footprint's watts per vCPU at idle and at full load by microarchitecture
(from SPECpower, so whole servers at the wall). Active energy is the range between both times
the tree's CPU seconds; idle energy is the lower end for what is held: the larger of slots and
CPUs used. Bounds of the sum: everything held at idle, and everything held at full load; of the
active part: zero, and the widest range (lowest idle to highest full load).

Memory: 0.392 W per GB (CCF methodology: mean of Crucial 0.375 and Micron 0.4083 W/GB); active
is the resident memory of the tree, held is the slots' share of the machine or, if larger, what
is resident. The lower bound is zero, because SPECpower's servers already hold memory of their
own.
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
        self._slots = scope.slots
        self._watts = microarchitecture.here()
        self._held_gb = scope.slots * memory_gb_per_cpu()

    def components(self) -> tuple[Component, ...]:
        """Modelled ``cpu`` and ``dram``."""
        return (
            Component("cpu", "modelled", self._watts.source, self._watts.full.high * self._slots),
            Component("dram", "modelled", DRAM_SOURCE, DRAM_W_PER_GB.high * self._held_gb),
        )

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Energies so far; both grow with time, so they never fall."""
        return (self._cpu(usage), self._dram(usage))

    def _cpu(self, usage: Usage) -> Reading:
        idle, full = self._watts.idle, self._watts.full
        held_s = max(self._slots * usage.elapsed_s, usage.cpu_s)
        active = (full.value - idle.value) * usage.cpu_s
        energy = active + idle.value * held_s
        # Only rounding can put the value outside these.
        low, high = min(idle.low * held_s, energy), max(full.high * held_s, energy)
        return Reading(
            "cpu",
            Triple(0.0, active, (full.high - idle.low) * usage.cpu_s),
            Triple(low, energy, high),
            usage.elapsed_s,
        )

    def _dram(self, usage: Usage) -> Reading:
        # Pages shared between processes count in each: no job holds more than there is.
        resident = min(usage.rss_gb_s, memory_gb() * usage.elapsed_s)
        held = max(self._held_gb * usage.elapsed_s, resident)
        return Reading(
            "dram",
            DRAM_W_PER_GB.scaled(resident),
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
