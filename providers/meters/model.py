"""CPU and memory by model, for machines whose counters cannot be read.

CPU: Cloud Carbon Footprint's watts per vCPU at idle and at full load by microarchitecture
(from SPECpower, so whole servers at the wall). Active energy is the range between both times
the tree's CPU seconds; idle energy is the lower end for the job's part of the machine: what it
holds, and what it uses of what no run holds. Bounds of the sum: that part at idle, and all that it
holds or may have used at full load; of the active part: zero, and the widest range (lowest idle to
highest full load).

Memory: 0.126 W per GB as measured (32.3 W by RAPL for 256 GB in training, Dodge et al. 2022,
table 1); active is the resident memory of the tree, held its part of the machine's memory: by its
slots, and what is resident beyond that of what no run holds. Where the CPU is modelled, its watts
hold the memory of SPECpower's servers: only memory beyond that counts (as CCF subtracts it), and
the lower bound is zero. Where the CPU is measured, all memory counts, and the lower bound is the
idler of that study's two sockets (9.3 W for 128 GB). The upper bound is the highest data sheet
that CCF's methodology names (Micron, 0.4083 W).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from providers.base import Component, Probe, Reading, Triple
from providers.meters import microarchitecture

if TYPE_CHECKING:
    from providers.base import Scope, Usage

DRAM_W_PER_GB = Triple(9.3 / 128, 32.3 / 256, 0.4083)
DRAM_SOURCE = "0.126 W/GB measured (Dodge et al. 2022, table 1), at most 0.4083 (Micron)"


def memory_gb() -> float:
    """This machine's memory, GB (10^9 bytes)."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def memory_gb_per_cpu() -> float:
    """This machine's memory per logical CPU, GB (10^9 bytes)."""
    return memory_gb() / (os.cpu_count() or 1)


def dram_w_per_gb(*, cpu_is_read: bool = False) -> tuple[Triple, str]:
    """Watts of each GB that is held, and the figure's source.

    ``cpu_is_read``: the CPU has a counter, so that no other model holds memory as well.
    """
    if cpu_is_read:
        return DRAM_W_PER_GB, DRAM_SOURCE
    ours = microarchitecture.here().memory_gb
    beyond = max(0.0, 1.0 - ours / memory_gb())
    watts = Triple(0.0, DRAM_W_PER_GB.value * beyond, DRAM_W_PER_GB.high)
    left = f", beyond the {ours:.0f} GB that the watts of the CPU hold" if ours else ""
    return watts, DRAM_SOURCE + left


class ModelMeter:
    """The model, opened for one job."""

    def __init__(self, scope: Scope) -> None:
        self._cpus = os.cpu_count() or 1
        self._slots = min(scope.slots, self._cpus)
        self._watts = microarchitecture.here()
        self._dram_w, self._dram_source = dram_w_per_gb(cpu_is_read="cpu" in scope.read)

    def components(self) -> tuple[Component, ...]:
        """Modelled ``cpu`` and ``dram``."""
        cpu_w = self._watts.full.high * self._slots
        dram_w = self._dram_w.high * self._slots * memory_gb_per_cpu()
        return (
            Component("cpu", "modelled", self._watts.source, cpu_w),
            Component("dram", "modelled", self._dram_source, dram_w),
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
            self._dram_w.scaled(min(usage.rss_gb_s, held)),
            self._dram_w.scaled(held),
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
