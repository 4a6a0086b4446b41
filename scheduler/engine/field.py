"""Who takes part in a job's plan, and what is known of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from scheduler.engine.places import Field, Option
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import JobSpec
    from scheduler.regions import Region


def field_of(ctx: Context, spec: JobSpec, now: datetime, *, to_run: bool) -> Field:
    """Who takes part: named regions, else every configured one that can run the job."""
    named = [ctx.regions[name] for name in spec.regions]
    home = ctx.regions[spec.home]
    able = [r for r in (named or ctx.regions.configured) if _can_run(ctx, r, spec)]
    if to_run:
        if not able:
            raise UsageError(_nothing_runs(ctx, spec, named))
        candidates = able
    else:
        candidates = named or able or [home]
    start = min(now, spec.release)
    length = timedelta(seconds=spec.duration_s or 3600.0)
    # A baseline that started at release needs the forecast from there on as well.
    end = max((spec.latest_start or spec.release), spec.release, now) + length
    chosen = {r.name for r in candidates}
    others = named or (*ctx.regions.configured, *ctx.regions.every)
    compared = dict.fromkeys(r.name for r in others if r.name not in chosen)
    shared: dict[tuple[str | None, tuple[str, ...]], Option] = {}

    def peek(region: Region) -> Option:
        key = (region.zone, region.chain)
        if key not in shared:
            shared[key] = Option(region, ctx.outlook.ask(region, start, end, now))
        return Option(region, shared[key].known)

    def ask(region: Region) -> Option:
        if to_run:
            return Option(region, ctx.outlook.refresh(region, start, end, now))
        return peek(region)

    options = [peek(ctx.regions[name]) for name in compared] if spec.duration_s else []
    asked = {region.name: ask(region) for region in (*candidates, home)}
    return Field(
        candidates=tuple(asked[r.name] for r in candidates),
        compared=tuple(o for o in options if o.known.series is not None),
        home=asked[home.name],
        transfer=ctx.config.settings.transfer,
    )


def _can_run(ctx: Context, region: Region, spec: JobSpec) -> bool:
    if region.executor is None:
        return False
    if spec.slots > max(ctx.capacity_by_hour(region.name)):
        return False
    if not spec.gpus:
        return True
    return len(ctx.executor(region.name).free_gpus(frozenset())) >= spec.gpus


def _nothing_runs(ctx: Context, spec: JobSpec, named: list[Region]) -> str:
    whys = []
    for region in named or ctx.regions.configured:
        if region.executor is None:
            whys.append(f"{region.name} has no executor")
        elif spec.slots > max(ctx.capacity_by_hour(region.name)):
            whys.append(
                f"{region.name} has {max(ctx.capacity_by_hour(region.name))} of {spec.slots} slots"
            )
        else:
            gpus = len(ctx.executor(region.name).free_gpus(frozenset()))
            whys.append(f"{region.name} has {gpus} of {spec.gpus} GPUs")
    return (
        f"no region can run this job: {', '.join(whys)}; compare places with `lowtide plan`, or "
        f"give a region an executor in {ctx.config.path}"
    )
