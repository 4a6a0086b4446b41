"""Two clocks that whoever sets the time of day does not move, in seconds from some start.

Linux keeps both under POSIX names. macOS has no ``CLOCK_BOOTTIME``: its ``CLOCK_MONOTONIC`` goes
on while the machine sleeps, and ``CLOCK_UPTIME_RAW`` rests (clock_gettime(3) there).
"""

from __future__ import annotations

import time


def since_boot_s() -> float:
    """Goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def awake_s() -> float:
    """Rests while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC))
