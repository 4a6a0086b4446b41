"""A machine with RAPL counters, as files of a folder, and what can go wrong with them.

It moves only when it is told to. As a kind of meter it moves itself to the time of each sample,
so whatever tests a meter tests the real RAPL meter on it, with a fault on the way if wanted.
"""

from __future__ import annotations

import codecs
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.base import Probe
from providers.host import TICKS_PER_S
from providers.meters.powercap import Moment
from providers.meters.rapl import RaplMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from providers.base import Component, Reading, Scope, Usage

# What the kernel tells for a 32-bit counter of 2^-14 J (Intel).
RANGE_UJ = 262_143_328_850
BOOTED = Moment(1000.0, 1000.0)
NOBODY = 65534


@dataclass
class FakePowercap:
    """One package with a memory domain below ``root``, and the clocks of the machine.

    Each draws ``watts`` and ``dram_w``, all CPUs busy. ``drawn_j`` is what the package really
    drew. With ``fault`` (of :data:`FAULTS`), a meter opened on it meets that once ``fault_at_s``
    has passed.
    """

    root: Path
    watts: float = 100.0
    dram_w: float = 10.0
    uj: int = 0
    range_uj: int = RANGE_UJ
    fault: str | None = None
    fault_at_s: float = 0.5
    now: Moment = BOOTED
    wall_s: float = 1.7e9
    busy_s: float = 0.0
    drawn_j: float = 0.0
    _forbidden: bool = False
    _zones: dict[str, Path] = field(default_factory=dict)
    _uj: dict[str, int] = field(default_factory=dict)

    @property
    def powercap(self) -> Path:
        """In place of ``/sys/class/powercap``."""
        return self.root / "powercap"

    @property
    def stat(self) -> Path:
        """In place of ``/proc/stat``."""
        return self.root / "stat"

    def zone(self, folder: str, name: str, uj: int = 0, range_uj: int | None = RANGE_UJ) -> Path:
        """A zone of one counter; returns the counter's file."""
        path = self.powercap / folder
        path.mkdir(parents=True)
        (path / "name").write_text(name + "\n")
        if range_uj is not None:
            (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
        put(path / "energy_uj", uj)
        return path / "energy_uj"

    def build(self) -> None:
        """The zones of package and memory, unless they are there."""
        if not self._zones:
            if self.fault == "wrap":
                self.uj = self.range_uj - round(self.watts * self.fault_at_s * 1e6)
            for name, folder in (("package-0", "intel-rapl:0"), ("dram", "intel-rapl:0:0")):
                self._zones[name] = self.zone(folder, name, self.uj, self.range_uj)
                self._uj[name] = self.uj
        self.advance(0.0)

    def advance(self, span_s: float, busy_s: float = 0.0) -> None:
        """Awake time and busy CPU seconds pass, and the machine draws its watts meanwhile."""
        self.now = Moment(self.now.awake_s + span_s, self.now.boot_s + span_s)
        self.wall_s += span_s
        self.busy_s += busy_s
        self.stat.parent.mkdir(parents=True, exist_ok=True)
        self.stat.write_text(f"cpu {round(self.busy_s * TICKS_PER_S)} 0 0 777 7 0 0 9 0 0\n")
        self.drawn_j += self.watts * span_s
        for name, watts in (("package-0", self.watts), ("dram", self.dram_w)):
            self.count(name, watts * span_s)

    def count(self, name: str, joules: float) -> None:
        """Move a counter on, round its range where it is full; nothing where it is gone."""
        counter = self._zones.get(name)
        if counter is not None:
            self._uj[name] = round(self._uj[name] + joules * 1e6) % self.range_uj
            if counter.exists() and not self._forbidden:
                put(counter, self._uj[name])

    def reset(self) -> None:
        """The counters start again at zero, as after a reload of their driver."""
        for name in self._zones:
            self._uj[name] = 0
            self.count(name, 0.0)

    def tear(self) -> None:
        """The next read gets but a part of the number."""
        counter = self._zones["package-0"]
        counter.write_text(counter.read_text()[:2].strip())

    def vanish(self) -> None:
        """The device is gone."""
        for counter in self._zones.values():
            counter.unlink()

    def sleep(self, span_s: float = 3600.0) -> None:
        """The machine is suspended; its counters go on a little meanwhile."""
        self.now = Moment(self.now.awake_s, self.now.boot_s + span_s)
        self.wall_s += span_s
        for name in self._zones:
            self.count(name, 0.1 * span_s)

    def step(self, by_s: float = -86400.0) -> None:
        """Somebody sets the time of day."""
        self.wall_s += by_s

    def freeze(self) -> None:
        """The counters stand still from now on, though the machine draws its watts."""
        self._zones.clear()

    def forbid(self) -> None:
        """From now on :meth:`reader` may not read the counters."""
        self._forbidden = True
        for counter in self._zones.values():
            counter.chmod(0)

    def late(self) -> None:
        """Nobody looked for so long that the counter went round its range, and once more."""
        span_s = 2.2 * self.range_uj / 1e6 / self.watts
        self.advance(span_s, span_s)

    @contextmanager
    def reader(self) -> Iterator[None]:
        """The rights of one who reads: not root's, once they are forbidden."""
        if not self._forbidden or os.geteuid() != 0:
            yield
            return
        # Python's own folder may be root's alone: what is looked up in it first by one who may not
        # see it counts as absent ever after.
        codecs.lookup("ascii")
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    def meter(self, scope: Scope) -> RaplMeter:
        """The real RAPL meter on this machine."""
        return RaplMeter(scope, self.powercap, self.stat, lambda: self.now)

    def probe(self) -> Probe:
        """It has counters."""
        return Probe(True, f"counters in {self.powercap}")

    def open(self, scope: Scope) -> FakeRapl:
        """The real RAPL meter, that moves this machine."""
        self.build()
        return FakeRapl(self, self.meter(scope))


@dataclass
class FakeRapl:
    """The RAPL meter on a :class:`FakePowercap`, which it moves to the time of each sample."""

    machine: FakePowercap
    real: RaplMeter
    _at: float = 0.0
    _cpu_s: float = 0.0

    def components(self) -> tuple[Component, ...]:
        """Those of the real one."""
        return self.real.components()

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Those of the real one, once the machine has got there."""
        machine, fault = self.machine, self.machine.fault
        at, self._at = self._at, usage.elapsed_s
        cpu_s, self._cpu_s = self._cpu_s, usage.cpu_s
        before = at < machine.fault_at_s <= usage.elapsed_s
        act = ACTIONS.get(fault or "") if before else None
        if act is not None and fault not in AFTER:
            act(machine)
        machine.advance(usage.elapsed_s - at, usage.cpu_s - cpu_s)
        if act is not None and fault in AFTER:
            act(machine)
        with machine.reader():
            return self.real.sample(usage)

    def notes(self) -> tuple[str, ...]:
        """Those of the real one."""
        return self.real.notes()

    def close(self) -> None:
        """Nothing is held."""
        self.real.close()


# What befalls a machine. A wrap needs no doing: its counter starts near the end of its range.
ACTIONS: Mapping[str, Callable[[FakePowercap], None]] = {
    "double wrap": FakePowercap.late,
    "reset": FakePowercap.reset,
    "torn read": FakePowercap.tear,
    "vanishing device": FakePowercap.vanish,
    "suspended machine": FakePowercap.sleep,
    "clock step": FakePowercap.step,
    "permission lost": FakePowercap.forbid,
    "frozen counter": FakePowercap.freeze,
}
# These happen at the end of a span; the others on its way.
AFTER = frozenset({"torn read"})
FAULTS = ("wrap", *ACTIONS)


def put(counter: Path, uj: int) -> None:
    """Write a counter as the kernel does, with a line feed, and whole to whoever reads it."""
    new = counter.with_name("new")
    new.write_text(f"{uj}\n")
    new.replace(counter)
