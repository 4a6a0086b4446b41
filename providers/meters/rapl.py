"""Package and memory energy by RAPL, read through Linux's powercap tree.

Package domains are summed over sockets, ``dram`` apart; core and uncore lie inside package
and are never added. A failed read is a gap. A counter that fell has wrapped if the energy that
follows from its range is plausible for the time passed; else it is a gap too.

The job's part of a package: of what is above idle, its CPU seconds over the machine's busy CPU
seconds (active); of idle, what it holds over all CPUs. RAPL does not tell idle from active, so
idle power is taken from the model and the bounds span every split. Counter error: +-5 %.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import ZERO, Component, Probe, Reading, Scope, Triple
from providers.meters import microarchitecture

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.base import Usage

POWERCAP = Path("/sys/class/powercap")
PROC_STAT = Path("/proc/stat")
# A stated rule, no published figure: makers give no error for RAPL, and comparisons with wall
# meters differ by more than this between machines, mostly by what lies outside the package.
COUNTER_ERROR = 0.05
# Twice the largest package TDP on sale (AMD EPYC 9965 and Intel Xeon 6980P: 500 W).
PLAUSIBLE_W = 1000.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class _Counter:
    """One energy counter in microjoules."""

    path: Path
    range_uj: int | None
    last_uj: int | None = None
    last_s: float = 0.0

    def delta_j(self, now_s: float) -> float | None:
        """Joules since the last good read; None over a gap. Every read starts a new span."""
        try:
            found = int(self.path.read_text())
        except (OSError, ValueError):
            self.last_uj = None
            return None
        last, span = self.last_uj, now_s - self.last_s
        self.last_uj, self.last_s = found, now_s
        if last is None:
            return None
        joules = (found - last) / 1e6
        if joules < 0 and self.range_uj is not None:
            joules += self.range_uj / 1e6
        return joules if 0 <= joules <= PLAUSIBLE_W * max(span, 1e-3) else None


class RaplMeter:
    """The counters, opened for one job."""

    def __init__(
        self,
        scope: Scope,
        root: Path = POWERCAP,
        proc_stat: Path = PROC_STAT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scope, self._proc_stat, self._clock = scope, proc_stat, clock
        self._cpus = os.cpu_count() or 1
        domains = _domains(root)
        self._counters = {name: [_counter(d) for d in found] for name, found in domains.items()}
        if not self._counters.get("cpu"):
            raise OSError(_unreadable(root))
        self._total: dict[str, Reading] = {
            name: Reading(name, ZERO, ZERO, 0.0) for name in self._counters
        }
        self._last_s = self._clock()
        self._last_busy_s = _busy_s(proc_stat)
        self._last_cpu_s = 0.0
        for counters in self._counters.values():
            for counter in counters:
                counter.delta_j(self._last_s)

    def components(self) -> tuple[Component, ...]:
        """``cpu`` (all packages), and ``dram`` where the machine has the domain."""
        sockets = len(self._counters["cpu"])
        held = min(1.0, self._scope.slots / self._cpus)
        return tuple(
            Component(
                name,
                "measured",
                f"RAPL by powercap, {sockets} socket(s), shared out by CPU seconds",
                PLAUSIBLE_W * sockets * held if name == "cpu" else None,
            )
            for name in self._counters
        )

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Energies so far; a span in which any socket could not be read is not covered."""
        now_s, busy_s = self._clock(), _busy_s(self._proc_stat)
        span = now_s - self._last_s
        cpu_s = max(0.0, usage.cpu_s - self._last_cpu_s)
        busy = None
        if busy_s is not None and self._last_busy_s is not None:
            busy = max(busy_s - self._last_busy_s, cpu_s, 1e-9)
        self._last_s, self._last_busy_s, self._last_cpu_s = now_s, busy_s, usage.cpu_s
        for name, counters in self._counters.items():
            deltas = [counter.delta_j(now_s) for counter in counters]
            known = [d for d in deltas if d is not None]
            if busy is None or span <= 0 or len(known) < len(deltas):
                continue
            share = min(1.0, cpu_s / busy)
            held = min(1.0, max(self._scope.slots, cpu_s / span) / self._cpus)
            idle_w = microarchitecture.here().idle.value * self._cpus if name == "cpu" else None
            self._add(name, sum(known), span, share, held, idle_w)
        return tuple(self._total.values())

    def _add(
        self,
        name: str,
        joules: float,
        span: float,
        share: float,
        held: float,
        idle_w: float | None,
    ) -> None:
        # Without a figure for idle, as for memory, all of it follows what is held.
        idle = joules if idle_w is None else min(joules, idle_w * span)
        active = (joules - idle) * share
        low, high = sorted((joules * share, joules * held))
        energy = active + idle * held
        below, above = 1 - COUNTER_ERROR, 1 + COUNTER_ERROR
        old = self._total[name]
        self._total[name] = Reading(
            name,
            old.active_j + Triple(0.0, active, joules * share * above),
            old.energy_j + Triple(min(low, energy) * below, energy, max(high, energy) * above),
            old.covered_s + span,
        )

    def notes(self) -> tuple[str, ...]:
        """Gaps show as coverage."""
        return ()

    def close(self) -> None:
        """Nothing is held open."""


def _domains(root: Path) -> dict[str, list[Path]]:
    """Component -> folders of its counters, over all sockets.

    A package may be there twice, by register and memory-mapped: one way is taken, never both.
    """
    found: dict[str, list[Path]] = {}
    for way in ("intel-rapl", "intel-rapl-mmio"):
        for zone in sorted(root.glob(f"{way}:*")):
            kind = _component(zone)
            if kind is not None and os.access(zone / "energy_uj", os.R_OK):
                found.setdefault(kind, []).append(zone)
        if "cpu" in found:
            break
    return found


def _component(zone: Path) -> str | None:
    try:
        name = (zone / "name").read_text().strip()
    except OSError:
        return None
    return "cpu" if name.startswith("package") else "dram" if name == "dram" else None


def _counter(zone: Path) -> _Counter:
    try:
        size: int | None = int((zone / "max_energy_range_uj").read_text())
    except (OSError, ValueError):
        size = None
    return _Counter(zone / "energy_uj", size)


def _busy_s(proc_stat: Path) -> float | None:
    """Seconds that all CPUs together were busy since boot (proc(5), first line); None unknown.

    Busy is user, nice, system, irq and softirq; not idle, iowait and steal.
    """
    try:
        fields = [int(x) for x in proc_stat.read_text().split("\n", 1)[0].split()[1:8]]
    except (OSError, ValueError):
        return None
    return (sum(fields) - fields[3] - fields[4]) / TICKS_PER_S if len(fields) == 7 else None


def _unreadable(root: Path) -> str:
    if not any(root.glob("intel-rapl*:*")):
        return f"no RAPL domains in {root}: a virtual machine, or a processor without them"
    return (
        f"RAPL counters in {root} may not be read: let root run "
        f"`chmod a+r {root}/intel-rapl*:*/energy_uj`"
    )


class _Kind:
    def probe(self) -> Probe:
        """Whether a package counter can be read."""
        if _domains(POWERCAP).get("cpu"):
            return Probe(True, f"package counters in {POWERCAP}")
        return Probe(False, _unreadable(POWERCAP))

    def open(self, scope: Scope) -> RaplMeter:
        """The counters of this machine; :class:`OSError` where there are none."""
        return RaplMeter(scope)


KIND = _Kind()
