"""Settlements of one job side by side: what became known, and what it changed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from scheduler.report.units import grams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from scheduler.models import Settlement
    from scheduler.store import Version


def difference(before: Settlement, after: Settlement) -> str:
    """What changed from one settlement to the next, in one line."""
    if before.operational_g is None or after.operational_g is None:
        if before.operational_g is after.operational_g:
            return "operational carbon is still unknown"
        return f"operational carbon is {'no longer ' if after.operational_g is None else ''}known"
    old, new = before.operational_g.value, after.operational_g.value
    said = f"operational {grams(old)} -> {grams(new)}"
    if old > 0 and new != old:
        said += f" ({100 * (new - old) / old:+.1f} %)"
    was, now = (_told(s) for s in (before, after))
    if was != now:
        return f"{said}; intensity: {now}, was {was}"
    return f"{said}; intensity: {now}" + (", revised" if new != old else "")


def _told(settlement: Settlement) -> str:
    used = settlement.intensity
    return "unknown" if used is None else f"{used.kind} of {used.source}"


def changes(versions: Sequence[Version], tz: tzinfo) -> list[str]:
    """A line for each settlement after the first one."""
    return [
        f"version {new.number} of {new.made_at.astimezone(tz):%Y-%m-%d %H:%M}, "
        f"{new.settlement.status}: {difference(old.settlement, new.settlement)}"
        for old, new in pairwise(versions)
    ]
