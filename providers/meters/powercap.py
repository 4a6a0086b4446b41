"""Energy counters in Linux's powercap tree: which there are, and what each counted since.

A counter is believed only where nothing else can have happened. A span is a gap where the
counter could not be read whole, where it fell without a known range, where the energy is more
than the part can draw, where the time passed is enough for a whole range (a wrap more would
not be seen), where the machine slept (the counter may have been lost with its power), and where
the counter stood still: a part that is on draws something.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

from providers import clocks

POWERCAP = Path("/sys/class/powercap")
# Twice the largest package TDP on sale (AMD EPYC 9965 and Intel Xeon 6980P: 500 W).
PLAUSIBLE_W = 1000.0
# A 32-bit counter of 2^-16 J, the smallest range in use (AMD; Linux intel_rapl_common.c): it
# stands in where the range cannot be read.
SMALLEST_RANGE_J = 65536.0
# A processor asleep for less is not told from two clocks that were read one after the other.
SLEPT_S = 0.5
# Counters are renewed about every millisecond (Intel SDM, volume 3B, RAPL interfaces): one that
# stands for ten times that counts nothing.
STILL_S = 0.01
# How long one may take to move when it is first looked at: a processor's deepest sleep, and ours.
PATIENCE_S = 0.1


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds of a clock that rests while the machine sleeps, and of one that does not.

    Neither is moved by whoever sets the time of day.
    """

    awake_s: float
    boot_s: float

    @classmethod
    def now(cls) -> Moment:
        """This machine's clocks now."""
        return cls(clocks.awake_s(), clocks.since_boot_s())

    def since(self, earlier: Moment) -> tuple[float, bool]:
        """Awake seconds since then, and whether the machine slept meanwhile."""
        awake, boot = self.awake_s - earlier.awake_s, self.boot_s - earlier.boot_s
        return awake, boot - awake > SLEPT_S


@dataclass(slots=True)
class Counter:
    """One energy counter. ``fault`` is why its last read failed; None where it was read.

    ``still``: it has not moved since the read before.
    """

    zone: Path
    range_j: float | None
    fault: OSError | None = None
    still: bool = False
    _last_j: float | None = None
    _last: Moment = Moment(0.0, 0.0)

    @property
    def poll_s(self) -> float:
        """Read at least this often, four times within the shortest time to a wrap."""
        return (self.range_j or SMALLEST_RANGE_J) / (4 * PLAUSIBLE_W)

    def delta_j(self, now: Moment) -> float | None:
        """Joules since the last good read; None over a gap. Every read starts a new span."""
        found, last = self._read(), self._last_j
        span, slept = now.since(self._last)
        self._last_j, self._last = found, now
        most = PLAUSIBLE_W * span
        self.still = found is not None and found == last and span >= STILL_S
        if (
            found is None
            or last is None
            or slept
            or self.still
            or most >= (self.range_j or SMALLEST_RANGE_J)
        ):
            return None
        joules = found - last
        if joules < 0 and self.range_j is not None:
            joules += self.range_j
        return joules if 0 <= joules <= most else None

    def _read(self) -> float | None:
        """Joules; None where the file cannot be read, or not to its end (the line feed)."""
        self.fault = None
        try:
            text = (self.zone / "energy_uj").read_text(encoding="ascii", errors="replace")
        except OSError as e:
            self.fault = e
            return None
        whole = text.endswith("\n") and text.strip().isdigit()
        return int(text) / 1e6 if whole else None


def counters(root: Path) -> dict[str, list[Counter]]:
    """Component (``cpu``, ``dram``) -> its counters, one a socket; empty where none can be read.

    A package may be there twice, by register and memory-mapped: one way is taken, never both,
    and only where all its packages can be read: a socket left out would be a silent zero.
    ``dram`` is offered where every package has it. ``core`` and ``uncore`` lie inside the
    package, ``psys`` around it: they are never added.
    """
    for way in ("intel-rapl", "intel-rapl-mmio"):
        found: dict[str, list[Counter]] = {"cpu": [], "dram": []}
        for zone in _zones(root, f"{way}:*"):
            kind = _component(zone)
            if kind is not None:
                found[kind].append(Counter(zone, _range_j(zone)))
        if not all(_readable(c) for c in found["cpu"]):
            continue
        if len(found["dram"]) != len(found["cpu"]) or not all(map(_readable, found["dram"])):
            del found["dram"]
        if found["cpu"]:
            return found
    return {}


def moves(counters: Sequence[Counter]) -> bool:
    """Whether each is renewed, as it is within a millisecond or two where it counts at all."""
    first, until_s = [counter._read() for counter in counters], time.monotonic() + PATIENCE_S
    while any(counter._read() == seen for counter, seen in zip(counters, first, strict=True)):
        if time.monotonic() > until_s:
            return False
        time.sleep(STILL_S / 10)
    return True


def why_none(root: Path) -> str:
    """Why :func:`counters` found none, in one line, with what to do where that is known."""
    zones = _zones(root, "intel-rapl*:*")
    if not zones:
        return (
            f"no RAPL domains in {root}: a virtual machine, a container that hides them, or a "
            "processor without them"
        )
    packages = [Counter(zone, None) for zone in zones if _component(zone) == "cpu"]
    if not packages:
        return f"RAPL in {root} has no package domain, and psys is not one"
    broken = next((c.fault for c in packages if not _readable(c)), None)
    if isinstance(broken, PermissionError):
        return f"RAPL counters in {root} may not be read: {remedy(root)}"
    return f"RAPL counters in {root} cannot be read: {broken or 'no number in energy_uj'}"


def remedy(root: Path) -> str:
    """What gives this user leave to read the counters."""
    return f"let root run `chmod a+r {root}/intel-rapl*:*/energy_uj` (other ways: docs/metering.md)"


def _zones(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(root.glob(pattern))
    except OSError:
        return []


def _readable(counter: Counter) -> bool:
    return counter._read() is not None


def _component(zone: Path) -> str | None:
    try:
        name = (zone / "name").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return "cpu" if name.startswith("package") else "dram" if name == "dram" else None


def _range_j(zone: Path) -> float | None:
    try:
        found = int((zone / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
    except (OSError, ValueError):
        return None
    return found if found > 0 else None
