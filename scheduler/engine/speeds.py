"""How long the same work takes on each instance type: said by the user, or learned by a group."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.base import Triple
from scheduler.engine.learning import NEWEST
from scheduler.errors import UsageError
from scheduler.instances import Runtime
from scheduler.quantities import significant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.config import Config
    from scheduler.engine.context import Context


@dataclass(frozen=True, slots=True)
class Work:
    """The same work on any type.

    ``duration_s`` is how long it takes on the first type (None: as the group's runs tell);
    ``speeds`` is work per hour relative to each other, the first type being 1 where nothing is
    said of it. ``equal``: a type of which nothing is known is taken to be as fast as the first.
    """

    duration_s: float | None
    speeds: Mapping[str, float] = field(default_factory=dict)
    group: str | None = None
    equal: bool = False


# The work of somebody who says nothing of its duration.
DEFAULT_S = 3600.0


def instance_of(config: Config, region: str) -> str | None:
    """The instance type that a region of the config stands on; None where it says none."""
    settings = config.settings.regions.get(region)
    hardware = settings.hardware if settings is not None else None
    if hardware is None:
        return None
    if hardware.boavizta is not None and hardware.boavizta.instance is not None:
        return f"{hardware.boavizta.provider}/{hardware.boavizta.instance}"
    return hardware.instance


def runtimes(
    ctx: Context, types: Sequence[str], work: Work, user: str
) -> tuple[dict[str, Runtime], dict[str, str]]:
    """The runtime on each type, the first the reference; and why there is none for the others."""
    strange = [name for name in work.speeds if name not in types]
    if strange:
        raise UsageError(
            f"--speed {strange[0]}: it is not compared; --instances names {', '.join(types)}"
        )
    past = _past(ctx, user, work.group)
    first = types[0]
    reference = _reference(first, work, past)
    found, unknown = {first: reference}, {}
    for name in types[1:]:
        known = _against(name, first, reference, work, past)
        if known is None:
            unknown[name] = _not_known(name, work)
        else:
            found[name] = known
    return found, unknown


def _reference(first: str, work: Work, past: Mapping[str, Triple]) -> Runtime:
    if work.duration_s is not None:
        return Runtime(Triple.exact(work.duration_s), "--duration")
    if first in past:
        return Runtime(past[first], _learned(work))
    return Runtime(Triple.exact(DEFAULT_S), "1 h, where no --duration is given")


def _against(
    name: str, first: str, reference: Runtime, work: Work, past: Mapping[str, Triple]
) -> Runtime | None:
    if name in work.speeds:
        times = work.speeds[name] / work.speeds.get(first, 1.0)
        source = (
            f"{significant(times)} times as fast as {first} (--speed); there: {reference.source}"
        )
        return Runtime(reference.seconds.scaled(1 / times), source)
    if name in past:
        learned = past[name]
        if work.duration_s is not None and first in past:
            # Other work of the same kind: only the ratio of the group's runs is taken over.
            learned = learned.scaled(work.duration_s / past[first].value)
        return Runtime(learned, _learned(work))
    if work.equal:
        return Runtime(reference.seconds, f"taken to be as fast as {first} (--speed-equal)")
    return None


def _learned(work: Work) -> str:
    return f"median of the runs of group {work.group} there, bounded by the shortest and longest"


def _not_known(name: str, work: Work) -> str:
    runs = f", and no run of group {work.group} was there" if work.group else ""
    return (
        f"its speed is not known{runs}: give --speed {name}=..., or --speed-equal to take it as "
        "equal"
    )


def _past(ctx: Context, user: str, group: str | None) -> dict[str, Triple]:
    """Run times of the group by the instance type of the region they ran in."""
    if group is None:
        return {}
    spans: dict[str, list[float]] = {}
    for job in ctx.store.jobs.succeeded(user, group, NEWEST):
        kind = None if job.region is None else instance_of(ctx.config, job.region)
        if kind is not None and job.ran_s:
            spans.setdefault(kind, []).append(job.ran_s)
    return {
        kind: Triple(min(seen), statistics.median(seen), max(seen)) for kind, seen in spans.items()
    }
