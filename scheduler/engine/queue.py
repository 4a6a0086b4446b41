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
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Job, Plan
    from scheduler.planner.task import Placed

# A job of unknown length is taken to hold its slots so much longer (s), at every look.
UNKNOWN_REST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Joint:
    """The plans that changed, and how near the whole is to the best possible."""

    plans: Mapping[str, Plan]
    whole: QueuePlan


def held(ctx: Context, now: datetime) -> list[Held]:
    """What started jobs hold; a paused one holds nothing, unless it is only stopped."""
    found = []
    for job in ctx.store.jobs.find(HOLDING):
        if job.holds:
            region = job.region or job.spec.home
            found.append(Held(region, job.spec.slots, job.spec.gpus, _rest_s(job, now)))
    return found


def _rest_s(job: Job, now: datetime) -> float:
    if job.spec.duration_s is None:
        return now.timestamp() + UNKNOWN_REST_S
    return expected_end(job, now).timestamp()


def plan(
    ctx: Context, members: Sequence[Member], now: datetime, *, hysteresis_percent: float
) -> Joint:
    """Plan all members jointly; nothing changes where nobody is in anybody's way."""
    able = [m for m in members if _known(m)]
    alone = _alone(able, now)
    if not able:
        return alone
    scene = Scene(ctx, able, held(ctx, now), now)
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
    scene = Scene(ctx, members, held(ctx, now), now)
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
