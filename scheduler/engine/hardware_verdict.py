"""Hardware, place or time: what each alone would save, on one footing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.instances import HardwareVerdict, Saving
from scheduler.planner import bases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.engine.instances import Meeting
    from scheduler.models import Basis


def verdict(
    meetings: Sequence[Meeting], first: str, home: str, basis: Basis, equal_percent: float
) -> HardwareVerdict:
    """Savings of each lever against the ``first`` type at home, started now.

    Hardware: another type, at home and now. Place: another region on home's basis, now. Time: the
    best window at home. Middle values, whole instances at full load.
    """
    there = [m for m in meetings if m.option.region.name == home]
    base = next((m for m in there if m.contender.type.name == first), None)
    if base is None:
        return HardwareVerdict((), f"{first} could not be ranked at home ({home})")
    if base.now is None:
        return HardwareVerdict((), f"the forecast of {home} does not tell what a start now emits")
    start = base.grams(base.now, basis)
    if start <= 0:
        return HardwareVerdict((), f"a start now in {home} would emit nothing")

    def saves(grams: float) -> float:
        return 100.0 * (start - grams) / start

    others = [
        (m.grams(m.now, basis), m.contender.type.name)
        for m in there
        if m is not base and m.now is not None
    ]
    away = [
        (m.grams(m.now, basis), m.option.region.name)
        for m in meetings
        if m.contender.type.name == first
        and m is not base
        and m.now is not None
        and _basis(m) == _basis(base)
    ]
    found = [Saving("time", saves(base.grams(base.best, basis)), home)]
    if others:
        grams, name = min(others)
        found.append(Saving("hardware", saves(grams), name))
    if away:
        grams, name = min(away)
        found.append(Saving("place", saves(grams), name))
    found.sort(key=lambda s: -s.percent)
    close = len(found) > 1 and found[0].percent - found[1].percent < equal_percent
    return HardwareVerdict(tuple(found), "", equal=close)


def _basis(met: Meeting) -> object:
    series = met.option.known.series
    return None if series is None else bases.told(series)
