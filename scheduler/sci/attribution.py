"""How an attempt's CPU seconds were counted, in one line: what its share of a device rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from providers.base import Journal

HOW = {
    "cgroup": "cgroup cpu.stat",
    "wait4": "wait4 of all descendants",
    "rusage": "getrusage of the process and its children",
}


def describe(journal: Journal, *, ended: bool) -> str:
    """The way, and how much of the final sum the samples before the end had seen."""
    told = journal.meta.get("attribution")
    how = HOW.get(str(told.get("counted_by"))) if isinstance(told, dict) else None
    if how is None or not isinstance(told, dict):
        return "not recorded"
    seen, final, unseen = (told.get(name) for name in ("seen_cpu_s", "cpu_s", "unseen_cpu_s"))
    if isinstance(seen, float) and isinstance(final, float):
        if isinstance(unseen, float) and unseen > 0:
            return (
                f"{how}: {final:.1f} CPU seconds, and up to {unseen:.1f} more of processes that "
                "ended unseen, which nobody waited for"
            )
        exact = f"{how}, exact for the process tree"
        if final <= 0:
            return exact
        return f"{exact}; {100 * seen / final:.0f} % of {final:.1f} CPU seconds seen by samples"
    if ended:
        return f"{how}, cut off: what came after the last sample is not counted"
    return f"{how}, so far"


def suspended_s(journal: Journal) -> float:
    """For how long the machine slept, as far as the record says: nothing was drawn then."""
    found = journal.meta.get("suspended_s")
    return found if isinstance(found, float) and found > 0 else 0.0
