"""Package and memory energy by RAPL, read through Linux's powercap tree.

Package domains are summed over sockets, ``dram`` apart; what a counter may have lost is a gap
(:mod:`providers.meters.powercap`). RAPL does not tell idle from active: idle power is taken
from the model, and the bounds span every split. Counter error: +-5 %.

The job's part of what is above idle (active) is its CPU seconds over the machine's busy CPU
seconds; its part of idle is what falls to it of the machine (:attr:`Usage.cpu_share_s`). Over all
jobs and the rest of the machine both add up to the device.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import ZERO, Component, Probe, Reading, Scope, Triple, Usage
from providers.host import PROC_STAT, TICKS_PER_S
from providers.host import busy_cpu_s as _busy_s
from providers.meters import microarchitecture
from providers.meters.powercap import (
    PLAUSIBLE_W,
    POWERCAP,
    Counter,
    Moment,
    counters,
    moves,
    remedy,
    why_none,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# A stated rule, no published figure: makers give no error for RAPL, and comparisons with wall
# meters differ by more than this between machines, mostly by what lies outside the package.
COUNTER_ERROR = 0.05


@dataclass(frozen=True, slots=True)
class _Split:
    """How one span of a device falls to the job; ``most`` bounds ``active`` from above."""

    span_s: float
    active: float
    most: float
    idle: float


@dataclass(slots=True)
class _Device:
    """All counters of one component, and what came of them so far.

    ``idle_w`` None: not known, as for memory, so all of it is idle and goes by what is held.
    """

    counters: list[Counter]
    idle_w: float | None
    by_socket_j: list[float]
    active: Triple = ZERO
    energy: Triple = ZERO
    covered_s: float = 0.0
    gaps: int = 0

    def account(self, now: Moment, split: _Split | None) -> None:
        """Add the span until now; one in which any socket was not read is a gap."""
        deltas = [counter.delta_j(now) for counter in self.counters]
        known = [d for d in deltas if d is not None]
        if split is None or len(known) < len(deltas):
            self.gaps += 1
            return
        joules = sum(known)
        for socket, delta in enumerate(known):
            self.by_socket_j[socket] += delta
        idle = joules if self.idle_w is None else min(joules, self.idle_w * split.span_s)
        active = (joules - idle) * split.active
        energy = active + idle * split.idle
        low = joules * min(split.active, split.idle)
        high = joules * max(split.most, split.idle)
        below, above = 1 - COUNTER_ERROR, 1 + COUNTER_ERROR
        self.active += Triple(0.0, active, joules * split.most * above)
        self.energy += Triple(min(low, energy) * below, energy, max(high, energy) * above)
        self.covered_s += split.span_s

    def reading(self, name: str) -> Reading:
        """``device_j`` is the whole of it over the covered time, whoever drew it."""
        facts = {"device_j": sum(self.by_socket_j), "gap_count": float(self.gaps)}
        if len(self.by_socket_j) > 1:
            facts |= {f"socket_{i}_j": joules for i, joules in enumerate(self.by_socket_j)}
        return Reading(name, self.active, self.energy, self.covered_s, facts)


STANDS = "the energy counter stands still, as on some virtual machines: it measures nothing"


class RaplMeter:
    """The counters, opened for one job; ``without`` names components that are left to others."""

    def __init__(
        self,
        scope: Scope,
        root: Path = POWERCAP,
        proc_stat: Path = PROC_STAT,
        clock: Callable[[], Moment] = Moment.now,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self._scope, self._root, self._proc_stat, self._clock = scope, root, proc_stat, clock
        self._cpus = os.cpu_count() or 1
        found = counters(root)
        if not found:
            raise OSError(why_none(root))
        idle_w = microarchitecture.here().idle.value * self._cpus
        self._devices = {
            name: _Device(each, idle_w if name == "cpu" else None, [0.0] * len(each))
            for name, each in found.items()
            if name not in without
        }
        self._notes: dict[str, str] = {}
        self._last, self._usage = clock(), Usage(0.0, 0.0, 0.0)
        self._last_busy_s = _busy_s(proc_stat)
        for counter in self._counters():
            counter.delta_j(self._last)

    def _counters(self) -> list[Counter]:
        return [counter for device in self._devices.values() for counter in device.counters]

    def components(self) -> tuple[Component, ...]:
        """``cpu`` (all packages), and ``dram`` where the machine has the domain."""
        sockets = len(self._devices["cpu"].counters)
        held = min(1.0, self._scope.slots / self._cpus)
        return tuple(
            Component(
                name,
                "measured",
                f"RAPL by powercap, {sockets} socket(s), shared out by CPU seconds",
                PLAUSIBLE_W * sockets * held,
                min(counter.poll_s for counter in device.counters),
            )
            for name, device in self._devices.items()
        )

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Energies so far."""
        now, busy_s = self._clock(), _busy_s(self._proc_stat)
        span, _ = now.since(self._last)
        before = self._usage
        cpu_s = max(0.0, usage.cpu_s - before.cpu_s)
        split = None
        if busy_s is not None and self._last_busy_s is not None and span > 0:
            # Busy time is told in whole ticks: one more of them there may have been. Without it,
            # each of several jobs that do next to nothing would be taken for all that is done.
            told = max(busy_s - self._last_busy_s, cpu_s)
            busy = told + 1 / TICKS_PER_S
            most_s = cpu_s + max(0.0, usage.unseen_cpu_s - before.unseen_cpu_s)
            most = min(1.0, most_s / told) if told > 0 else 0.0
            idle = min(1.0, (usage.cpu_share_s - before.cpu_share_s) / span)
            split = _Split(span, cpu_s / busy, most, idle)
        self._last, self._last_busy_s, self._usage = now, busy_s, usage
        for device in self._devices.values():
            device.account(now, split)
        for counter in self._counters():
            self._note(counter)
        return tuple(device.reading(name) for name, device in self._devices.items())

    def _note(self, counter: Counter) -> None:
        """Say once what cannot be read any more."""
        if isinstance(counter.fault, PermissionError):
            said = f"RAPL may no longer be read, its energy is a gap: {remedy(self._root)}"
            self._notes.setdefault("permission", said)
        elif counter.fault is not None:
            zone = counter.zone.name
            said = f"RAPL {zone} cannot be read, its energy is a gap: {counter.fault.strerror}"
            self._notes.setdefault(zone, said)
        elif counter.still:
            said = f"RAPL {counter.zone.name}: the counter stood still, its energy is a gap"
            self._notes.setdefault(f"{counter.zone.name} still", said)

    def notes(self) -> tuple[str, ...]:
        """Counters that could not be read, each once; gaps show as coverage."""
        return tuple(self._notes.values())

    def close(self) -> None:
        """Nothing is held open."""


class _Kind:
    def probe(self) -> Probe:
        """Whether a package counter can be read."""
        found = counters(POWERCAP)
        if found and not moves(found["cpu"]):
            return Probe(False, f"package in {POWERCAP}: {STANDS}")
        if found:
            sockets = f"{len(found['cpu'])} socket(s)"
            memory = "with dram" if "dram" in found else "without a dram domain"
            return Probe(True, f"package counters in {POWERCAP}: {sockets}, {memory}")
        return Probe(False, why_none(POWERCAP))

    def open(self, scope: Scope) -> RaplMeter:
        """The counters of this machine that count; :class:`OSError` where there are none."""
        found = counters(POWERCAP)
        standing = frozenset(name for name, each in found.items() if not moves(each))
        if "cpu" in standing:
            raise OSError(f"package in {POWERCAP}: {STANDS}")
        return RaplMeter(scope, POWERCAP, without=standing)


KIND = _Kind()
