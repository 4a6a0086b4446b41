"""How an attempt's CPU seconds were counted, in one line: what its share of a device rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from providers.base import Journal

HOW = {"cgroup": "cgroup cpu.stat", "wait4": "wait4 of all descendants"}


def describe(journal: Journal, *, ended: bool) -> str:
    """The way, and how much of the final sum the samples before the end had seen."""
    told = journal.meta.get("attribution")
    if not isinstance(told, dict) or told.get("counted_by") not in HOW:
        return "not recorded"
    how = HOW[told["counted_by"]]
    seen, final = told.get("seen_cpu_s"), told.get("cpu_s")
    if isinstance(seen, float) and isinstance(final, float):
        share = f"; {100 * seen / final:.0f} % of {final:.1f} CPU seconds seen by samples"
        return f"{how}, exact{share if final > 0 else ''}"
    if ended:
        return f"{how}, cut off: what came after the last sample is not counted"
    return f"{how}, so far"
