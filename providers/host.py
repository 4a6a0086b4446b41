"""What the kernel counts of the whole machine."""

from __future__ import annotations

import os
from pathlib import Path

PROC_STAT = Path("/proc/stat")
MEMINFO = Path("/proc/meminfo")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def busy_cpu_s(proc_stat: Path = PROC_STAT) -> float | None:
    """Seconds that all CPUs together were busy since boot (proc(5), first line); None unknown.

    Busy is user, nice, system, irq and softirq; not idle, iowait and steal.
    """
    try:
        text = proc_stat.read_text(encoding="ascii")
        fields = [int(x) for x in text.split("\n", 1)[0].split()[1:8]]
    except (OSError, ValueError):
        return None
    return (sum(fields) - fields[3] - fields[4]) / TICKS_PER_S if len(fields) == 7 else None


def memory_bytes(meminfo: Path = MEMINFO) -> tuple[int, int]:
    """The machine's memory, and how much of it is in use; all of it where that is not known."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        text = meminfo.read_text(encoding="ascii")
        available = 1024 * int(text.partition("MemAvailable:")[2].split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        return there, there
    return there, max(0, there - available)
