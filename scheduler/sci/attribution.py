"""How an attempt's CPU seconds were counted, in one line: what its share of a device rests on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.base import Journal
    from scheduler.sci.energy import AttemptRecord

HOW = {
    "cgroup": "cgroup cpu.stat",
    "wait4": "wait4 of all descendants",
    "rusage": "getrusage of the process and its children",
}

# Who worked for a run outside of its tree, and was metered with it.
BESIDE = {
    "steps": "the steps of Slurm on this node",
    "containers": "its containers, by their control groups",
}


def describe(journal: Journal, *, ended: bool) -> str:
    """The way, and how much of the final sum the samples before the end had seen."""
    told = journal.meta.get("attribution")
    how = HOW.get(str(told.get("counted_by"))) if isinstance(told, dict) else None
    if how is None or not isinstance(told, dict):
        return "not recorded"
    seen, final, unseen = (told.get(name) for name in ("seen_cpu_s", "cpu_s", "unseen_cpu_s"))
    beside = told.get("beside_cpu_s")
    for who, what in BESIDE.items():
        used = beside.get(who) if isinstance(beside, dict) else None
        if isinstance(used, float) and used > 0:
            how += f" and, for {used:.1f} CPU seconds, {what}"
    if isinstance(seen, float) and isinstance(final, float):
        if isinstance(unseen, float) and unseen > 0:
            return (
                f"{how}: {final:.1f} CPU seconds, and up to {unseen:.1f} more of processes whose "
                "end no look met"
            )
        beyond = ", ".join(left_out_of(journal))
        exact = f"{how}, exact for the process tree" + (f", not for {beyond}" if beyond else "")
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


def left_out_of(journal: Journal) -> tuple[str, ...]:
    """Work that others did for it, as far as the record says: no meter of its own reached that."""
    found = journal.meta.get("left_out")
    return tuple(x for x in found if isinstance(x, str)) if isinstance(found, list) else ()


def unmetered_of(journal: Journal) -> str:
    """Why a part of its own work was not metered; empty where it was."""
    found = journal.meta.get("unmetered")
    return found if isinstance(found, str) else ""


def outer_of(journals: Iterable[Journal]) -> str | None:
    """The job that all of these ran within, as far as their records say."""
    named = (journal.meta.get("within") for journal in journals)
    found = {outer if isinstance(outer, str) else None for outer in named}
    return found.pop() if len(found) == 1 else None


def held_slot_s(attempt: AttemptRecord, slots: int) -> float:
    """Slot-seconds of the machine that fell to an attempt, as the ledger of its host had it.

    A record without that counts the larger of its slots and the CPUs that it used, of a machine
    with as many; and by its slots what its runner did not see: a suspended machine, its own end.
    """
    samples, cpus = attempt.journal.samples, attempt.journal.meta.get("cpus")
    most = cpus if isinstance(cpus, int) and cpus > 0 else math.inf
    held = min(slots, most)
    if not samples or samples[-1].share_s is None or math.isinf(most):
        return max(held * attempt.run_s, samples[-1].cpu_s if samples else 0.0)
    unseen_s = max(0.0, attempt.end_s - samples[-1].at) + suspended_s(attempt.journal)
    return samples[-1].share_s * most + held * min(unseen_s, attempt.run_s)
