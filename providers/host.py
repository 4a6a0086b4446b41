"""What the kernel counts of the whole machine."""

from __future__ import annotations

import os
from pathlib import Path

PROC_STAT = Path("/proc/stat")
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
