"""The whole queue at once, where jobs compete for slots.

Each job is first planned for itself, exactly. Only where those plans together hold more than a
region has are they planned jointly, on a lattice: first the jobs that are new or whose forecast
changed are put beside the others; then all are planned anew, and that is taken where it saves
enough or makes a late job punctual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.series import from_unix
from scheduler.engine.dispatch import HOLDING, expected_end
from scheduler.engine.scene import Held, Member, Scene
from scheduler.engine.submission import iso
from scheduler.errors import UsageError
from scheduler.models import QueuePlan
from scheduler.planner import fleet
from scheduler.planner.task import INSTANT_S

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Job, JobSpec, Plan
    from scheduler.planner.task import Placed

# A job of unknown length is taken to hold its slots so much longer (s), at every look.
UNKNOWN_REST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Joint:
    """The plans that changed, and how near the whole is to the best possible."""

    plans: Mapping[str, Plan]
    whole: QueuePlan


def held(
    ctx: Context, now: datetime, places: Collection[tuple[str, str]] | None = None
) -> list[Held]:
    """What started jobs hold, of ``places`` (region, host) or of all.

    A paused one holds nothing, unless it is only stopped.
    """
    found = []
    for job in ctx.store.jobs.find(HOLDING):
        region = job.region or job.spec.home
        there = places is None or (region, _host(ctx, job.spec, region)) in places
        if job.holds and there:
            found.append(Held(region, job.spec.slots, job.spec.gpus, _rest_s(job, now)))
    return found


def _held_beside(ctx: Context, members: Sequence[Member], now: datetime) -> list[Held]:
    """What is held of the places where ``members`` may run."""
    return held(ctx, now, {place for member in members for place in _places(ctx, member)})


def _rest_s(job: Job, now: datetime) -> float:
    if job.spec.duration_s is None:
        return now.timestamp() + UNKNOWN_REST_S
    return expected_end(job, now).timestamp()


def plan(
    ctx: Context, members: Sequence[Member], now: datetime, *, hysteresis_percent: float
) -> Joint:
    """Plan all members jointly; nothing changes where nobody is in anybody's way."""
    groups = _rivals(ctx, [m for m in members if _known(m)]) or [[]]
    made = [_together(ctx, group, now, hysteresis_percent) for group in groups]
    return made[0] if len(made) == 1 else _sum(made, now)


def _together(
    ctx: Context, able: Sequence[Member], now: datetime, hysteresis_percent: float
) -> Joint:
    """The joint plan of members that may be in each other's way."""
    alone = _alone(able, now)
    if not able:
        return alone
    scene = Scene(ctx, able, _held_beside(ctx, able, now), now)
    if not scene.crowded():
        return alone
    start = scene.beside()
    made = fleet.plan(scene.tasks, scene.board(), now_s=now.timestamp(), start=start)
    margin = max(abs(start.cost), 1e-12) * hysteresis_percent / 100
    if made.late >= start.late and made.cost > start.cost - margin:
        made = start
    bound = scene.bound(made)
    cost: float | None = made.cost
    if any(m.plan.window.grams is None for m in able):
        cost = bound = None  # without the power of each the sum has no unit
    return Joint(scene.plans(made), QueuePlan(now, len(able), True, cost, bound, made.late))


def _sum(parts: Sequence[Joint], now: datetime) -> Joint:
    """Plans of groups that are in nobody else's way, as one."""
    wholes = [part.whole for part in parts]
    costs, bounds = [w.cost_g for w in wholes], [w.lower_bound_g for w in wholes]
    known = [c for c in costs if c is not None], [b for b in bounds if b is not None]
    whole = QueuePlan(
        now,
        sum(w.jobs for w in wholes),
        any(w.together for w in wholes),
        sum(known[0]) if len(known[0]) == len(costs) else None,
        sum(known[1]) if len(known[1]) == len(bounds) else None,
        sum(w.late for w in wholes),
    )
    return Joint({k: v for part in parts for k, v in part.plans.items()}, whole)


def _host(ctx: Context, spec: JobSpec, region: str) -> str:
    """Where a job runs in a region; of one that left the config: where it came from."""
    try:
        return ctx.host_of(spec, ctx.regions[region])
    except UsageError:
        return (spec.origin or ctx.here.origin).host


def _places(ctx: Context, member: Member) -> set[tuple[str, str]]:
    """Regions, with the hosts there, where a member may run."""
    spec = member.case.spec
    return {(place.region, _host(ctx, spec, place.region)) for place in member.case.places}


def _rivals(ctx: Context, members: Sequence[Member]) -> list[list[Member]]:
    """Members by groups: those of different groups share no place, and none waits for another."""
    groups: list[tuple[set[object], list[Member]]] = []
    for member in members:
        keys: set[object] = {*_places(ctx, member), member.job_id, *member.after}
        near = [group for group in groups if not group[0].isdisjoint(keys)]
        if not near:
            groups.append((keys, [member]))
            continue
        (known, together), *others = near
        known |= keys
        for its_keys, its_members in others:
            known |= its_keys
            together += its_members
        groups = [group for group in groups if not any(group is other for other in others)]
        together.append(member)
    return [group for _, group in groups]


def _alone(members: Sequence[Member], now: datetime) -> Joint:
    """Each has the best plan of its own."""
    figures = [m.plan.window.grams for m in members]
    known = [g.value for g in figures if g is not None]
    cost = sum(known) if len(known) == len(figures) else None
    late = sum(m.end_s > m.case.request.deadline_s + INSTANT_S for m in members)
    return Joint({}, QueuePlan(now, len(members), False, cost, cost, late))


def admit(ctx: Context, newcomer: Member, others: Sequence[Member], now: datetime) -> Plan:
    """The newcomer's plan beside the queue; :class:`UsageError` where deadlines cannot all hold.

    The rule: who was there first keeps its deadline. The newcomer is put beside the plans that
    stand; where it would be late there, all are planned anew, and where one is late even then
    (that was not before), it is refused, with what would make it fit.
    """
    if not _known(newcomer):
        return newcomer.plan
    members = [*(m for m in others if _known(m)), newcomer]
    members = next(group for group in _rivals(ctx, members) if group[-1] is newcomer)
    scene = Scene(ctx, members, _held_beside(ctx, members, now), now)
    if not scene.crowded():
        return newcomer.plan
    start = scene.beside()
    place = start.placed[-1]
    if start.late:
        now_s, board = now.timestamp(), scene.board()
        made = fleet.plan(scene.tasks, scene.board(), now_s=now_s, start=start)
        place = made.placed[-1]
        if made.late:
            rest_of_it = fleet.FleetPlan(start.placed[:-1])
            without = fleet.plan(scene.tasks[:-1], board, now_s=now_s, start=rest_of_it)
            if made.late > without.late:
                place = fleet.place(scene.tasks[-1], board, now_s)
                if place is None or place.late:
                    _refuse(newcomer, place, len(members) - 1)
    assert place is not None
    changed = scene.plan_at(len(members) - 1, place)
    return changed or newcomer.plan


def _refuse(newcomer: Member, place: Placed | None, others: int) -> None:
    spec = newcomer.case.spec
    asked = f"its {spec.slots} slot(s)" + (f" and {spec.gpus} GPU(s)" if spec.gpus else "")
    if place is None:
        raise UsageError(
            f"beside what runs and {others} queued job(s), {asked} are not free before the end of "
            "what is planned: ask for fewer slots, or allow another --region"
        )
    raise UsageError(
        f"the deadline {iso(from_unix(newcomer.case.request.deadline_s))} cannot be met beside "
        f"what runs and {others} queued job(s): {asked} are free for it so that it ends at "
        f"{iso(from_unix(place.end_s))} at the earliest; move the deadline there, ask for fewer "
        "slots, or allow another --region"
    )


def _known(member: Member) -> bool:
    """Whether it can be placed on the lattice: it has a length, and a forecast somewhere."""
    window = member.plan.window
    return window.end is not None and window.g_per_kwh is not None
