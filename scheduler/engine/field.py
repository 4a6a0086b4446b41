"""Who takes part in a job's plan, and what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from scheduler.engine.outlook import Known
from scheduler.engine.places import Field, Option
from scheduler.errors import UsageError
from scheduler.store import sight as told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import JobSpec
    from scheduler.regions import Region


# Live sources are asked for so many places that a user names; of a longer list, and of places
# that nobody named, what they said before has to do: a source that takes one question in three
# seconds would keep a list of all regions waiting for minutes.
ASKED_AT_MOST = 12


class Looks(Protocol):
    """Whoever says what is known of a region."""

    def option(self, region: Region, *, remember: bool, quiet: bool = False) -> Option:
        """The region with what is known of it.

        ``remember``: it goes into the store; ``quiet``: live sources are not asked for it.
        """
        ...


class Sight:
    """What is known of regions over one span of time: each is asked once."""

    def __init__(self, ctx: Context, start: datetime, end: datetime, now: datetime) -> None:
        self._ctx, self._span, self._now = ctx, (start, end), now
        self._known: dict[tuple[object, ...], Known] = {}

    @classmethod
    def over(cls, ctx: Context, specs: Iterable[JobSpec], now: datetime) -> Sight:
        """As far as any of ``specs`` may run; a baseline starts at release."""
        starts, ends = [now], [now]
        for spec in specs:
            starts.append(spec.release)
            ends.append(spec.looked_until(now))
        return cls(ctx, min(starts), max(ends), now)

    def option(self, region: Region, *, remember: bool, quiet: bool = False) -> Option:
        """The region with what is known of it."""
        # Of a place without a zone nobody is asked; the reason names the place.
        zone = region.zone or (region.name,)
        key = (zone, frozenset(region.zones.items()), region.chain, remember, quiet)
        if key not in self._known:
            if remember:
                found = self._ctx.outlook.refresh(region, *self._span, self._now)
            else:
                found = self._ctx.outlook.ask(region, *self._span, self._now, quiet=quiet)
            self._known[key] = found
        return Option(region, self._known[key])


class Blind:
    """Knows nothing of any region, for the ``reason`` given: for a plan that needs no data."""

    def __init__(self, reason: str) -> None:
        # A later pass may know more: until then nothing is refused for what it weighs.
        self._known = Known(None, reason, outage=True)

    def option(self, region: Region, *, remember: bool, quiet: bool = False) -> Option:
        """The region, of which nothing is known."""
        return Option(region, self._known)


def told_of(ctx: Context, home: str, regions: Sequence[str], sight: Looks) -> str:
    """Names what is told now of all places where a job may run, and of its home.

    A place that left the config stands by its name. Never empty, which is what nobody has looked
    at.
    """
    rows, gone = set(), set()
    many = len(regions) > ASKED_AT_MOST
    own = {home, *(r.name for r in ctx.regions.configured)}
    for name in {home, *(regions or own)}:
        if name not in ctx.regions:
            gone.add(name)
        elif name == home or ctx.regions[name].executor is not None:
            quiet = many and name not in own
            row_id = sight.option(ctx.regions[name], remember=True, quiet=quiet).known.row_id
            rows |= set() if row_id is None else {row_id}
    return " ".join(["-", told(rows), *sorted(gone)])


def field_of(
    ctx: Context,
    spec: JobSpec,
    now: datetime,
    *,
    to_run: bool,
    sight: Looks | None = None,
    compare: bool = False,
) -> Field:
    """Who takes part: named regions, else every configured one that can run the job.

    ``sight`` is shared by many jobs. Of regions that cannot be chosen those that were named are
    looked at as well, and with ``compare`` all that are known.
    """
    named = [ctx.regions[name] for name in spec.regions]
    home = ctx.regions[spec.home]
    able = [r for r in (named or ctx.regions.configured) if _can_run(ctx, r, spec)]
    if to_run:
        if not able:
            raise UsageError(_nothing_runs(ctx, spec, named))
        candidates = able
    else:
        candidates = named or able or [home]
    sight = sight or Sight.over(ctx, [spec], now)
    options = []
    if spec.duration_s:
        chosen = {r.name for r in candidates}
        every = (*ctx.regions.configured, *ctx.regions.every) if compare else ()
        others = named or every
        compared = dict.fromkeys(r.name for r in others if r.name not in chosen)
        options = [sight.option(ctx.regions[n], remember=False, quiet=True) for n in compared]
    many = len(named) > ASKED_AT_MOST
    own = {r.name for r in (*ctx.regions.configured, home)}
    asked = {
        r.name: sight.option(r, remember=to_run, quiet=many and r.name not in own)
        for r in (*candidates, home)
    }
    return Field(
        candidates=tuple(asked[r.name] for r in candidates),
        compared=tuple(o for o in options if o.known.series is not None),
        home=asked[home.name],
        transfer=ctx.config.settings.transfer,
        able=tuple(r for r in ctx.regions.configured if r.executor is not None),
    )


def _can_run(ctx: Context, region: Region, spec: JobSpec) -> bool:
    host = ctx.host_of(spec, region)
    if region.executor is None or not (spec.origin or ctx.here.origin).sees(host):
        return False
    if spec.slots > max(ctx.capacity_by_hour(region.name)):
        return False
    if not spec.gpus or host != ctx.here.origin.host:
        return True  # only the host itself can count its boards
    return _boards(ctx, region) >= spec.gpus


def _boards(ctx: Context, region: Region) -> int:
    """Boards that a job can have, now or once another of our own jobs gives them back."""
    executor = ctx.executor(region.name)
    if executor.capabilities.assigns_gpus:
        return executor.assignable_gpus()[0]
    free = executor.free_gpus(frozenset())
    return len(ctx.store.jobs.held_gpus(region.name).union(free))


def _nothing_runs(ctx: Context, spec: JobSpec, named: list[Region]) -> str:
    whys = []
    for region in named or ctx.regions.configured:
        host = ctx.host_of(spec, region)
        if region.executor is None:
            whys.append(f"{region.name} has no executor")
        elif not (spec.origin or ctx.here.origin).sees(host):
            whys.append(
                f"{region.name} is on host {host}, which sees no run folders of this one "
                "(set shared_runs)"
            )
        elif spec.slots > max(ctx.capacity_by_hour(region.name)):
            whys.append(
                f"{region.name} has {max(ctx.capacity_by_hour(region.name))} of {spec.slots} slots"
            )
        else:
            gpus = _boards(ctx, region)
            whys.append(f"{region.name} has {gpus} of {spec.gpus} GPUs")
    return (
        f"no region can run this job: {', '.join(whys)}; compare places with `lowtide plan`, or "
        f"give a region an executor {ctx.config.edit}"
    )
