"""The whole queue at once, where jobs compete for slots.

Each job is first planned for itself, exactly. Where those plans together hold more than a region
has, or not each is the best there is (something was cancelled or ended early), they are planned
jointly: first the jobs that are new or whose forecast changed are put beside the others; then all
are planned again, and that is taken where it saves enough or makes a late job punctual. Of a queue
longer than :data:`JOINT` only so many move at once, beside what the others hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.errors import LowtideError
from providers.series import from_unix
from scheduler.engine.promises import Promised, host
from scheduler.engine.scene import Held, Member, Scene, boards_of, capacity
from scheduler.engine.submission import iso
from scheduler.engine.turns import expected_end
from scheduler.errors import UsageError
from scheduler.models import HOLDING, LOOKED_AHEAD, QueuePlan
from scheduler.planner import fleet
from scheduler.planner.board import TIE
from scheduler.planner.punctual import EFFORT, better, lateness
from scheduler.planner.task import INSTANT_S

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from scheduler.engine.context import Context
    from scheduler.models import Job, Plan
    from scheduler.planner.task import Placed
    from scheduler.store import Reservation

# So many jobs are planned jointly at once: those that changed, and the next to start. A look at
# them takes some seconds (tests/benchmarks/test_long_queue.py).
JOINT = 1000
# A job of unknown length is taken to hold its slots so much longer (s), at every look.
UNKNOWN_REST_S = 3600.0


# Said where not every order of the queue was looked at.
LIMIT = f" (not every order of the queue was tried: the search ends after {EFFORT} looks)"
# Who may be planned anew, and what all others hold; only where that is needed.
Others = Callable[[], tuple[list[Member], Promised]]


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
        place = host(ctx, job.spec, region)
        if job.holds and (places is None or (region, place) in places):
            found.append(Held(region, place, job.spec.slots, job.spec.gpus, _rest_s(job, now)))
    return found


def _scene(ctx: Context, members: Sequence[Member], now: datetime, beside: Promised) -> Scene:
    """Members on what is left of the places where they may run."""
    spots = {spot for member in members for spot in _places(ctx, member)}
    return Scene(ctx, members, held(ctx, now, spots), now, beside.of(spots))


def _rest_s(job: Job, now: datetime) -> float:
    if job.spec.duration_s is None:
        return now.timestamp() + UNKNOWN_REST_S
    return expected_end(job, now).timestamp()


def crowded(ctx: Context, now: datetime) -> bool:
    """Whether what has started and what is planned hold more than there is anywhere."""
    promised = Promised.now(ctx)
    return any(_over(ctx, promised, spot, now)[1].any() for spot in sorted(promised.spots))


def overtaken(ctx: Context, booked: Sequence[Reservation], before: Promised, now: datetime) -> bool:
    """Whether others have taken, since ``before`` was read, what a job has just booked."""
    alone, after = before.beside(booked), Promised.now(ctx)
    return not is_full(ctx, alone, booked, now) and is_full(ctx, after, booked, now)


def is_full(ctx: Context, promised: Promised, booked: Sequence[Reservation], now: datetime) -> bool:
    """Whether more is held than there is, anywhere where something was ``booked``."""
    over: dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
    for part in booked:
        spot = part.region, part.host
        over[spot] = over[spot] if spot in over else _over(ctx, promised, spot, now)
        times, too_much = over[spot]
        low = max(0, int(np.searchsorted(times, part.begins, side="right")) - 1)
        if too_much[low : np.searchsorted(times, part.ends)].any():
            return True
    return False


def _over(
    ctx: Context, promised: Promised, spot: tuple[str, str], now: datetime
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """From each of some moments on (Unix seconds, in order): whether a place holds too much."""
    region, first = spot[0], now.timestamp()
    levels, holds = promised.of({spot}).levels(region), held(ctx, now, {spot})
    until = min(max(first, promised.end_s), first + LOOKED_AHEAD.total_seconds())
    hours = np.arange(first // 3600 + 1, until // 3600 + 1) * 3600.0
    times = np.unique([first, *levels[:, 0], *hours, *(hold.end_s for hold in holds)])
    times = times[(times >= first) & (times <= until)]
    at = np.searchsorted(levels[:, 0], times, side="right")
    slots, gpus = np.vstack(([0, 0], levels[:, 1:]))[at].T.copy()
    for hold in holds:
        slots[times < hold.end_s] += hold.slots
        gpus[times < hold.end_s] += hold.gpus
    try:
        boards = boards_of(ctx, region, holds) if gpus.any() else 0
        return times, (slots > capacity(ctx, region, times)) | (gpus > boards)
    except LowtideError:
        # It left the config, or its engine is silent: its jobs are told so one by one.
        return times, np.zeros(len(times), np.bool_)


def plan(
    ctx: Context,
    members: Sequence[Member],
    now: datetime,
    *,
    hysteresis_percent: float,
    beside: Promised = Promised(),  # noqa: B008 -- frozen
) -> Joint:
    """Plan all members jointly; nothing changes where each has the best plan there is.

    What stands ``beside`` them keeps its place.
    """
    groups = _rivals(ctx, [m for m in members if _known(m)])
    made = [_together(ctx, group, now, hysteresis_percent, beside) for group in groups]
    return made[0] if len(made) == 1 else _sum(made, now)


def _together(
    ctx: Context,
    able: Sequence[Member],
    now: datetime,
    hysteresis_percent: float,
    beside: Promised,
) -> Joint:
    """The joint plan of members that may be in each other's way."""
    scene = _scene(ctx, able, now, beside)
    crowded = scene.crowded()
    if not crowded and scene.at_their_best():
        return _alone(able, now, bounded=scene.is_whole)
    made = scene.beside()
    bound = scene.bound(made)
    start = made
    if crowded or bound is None or scene.cost(made) > bound + TIE * abs(bound):
        margin = max(abs(start.cost), 1e-12) * hysteresis_percent / 100
        made = fleet.plan(scene.tasks, scene.board(), now_s=now.timestamp(), start=start)
        late, before = lateness(made.placed), lateness(start.placed)
        if not better(late, before) and made.cost > start.cost - margin:
            made = start
    made = scene.settled(made, now.timestamp(), hysteresis_percent)
    bound = bound if made.placed == start.placed else scene.bound(made)
    cost: float | None = scene.cost(made)
    assert cost is not None
    best = bound is not None and cost <= bound + TIE * abs(bound)
    bound = cost if best else bound
    if any(m.plan.window.grams is None for m in able):
        cost = bound = None  # without the power of each the sum has no unit
    whole = QueuePlan(now, len(able), crowded or not best, cost, bound, made.late)
    return Joint(scene.plans(made), whole)


def _alone(members: Sequence[Member], now: datetime, *, bounded: bool) -> Joint:
    """Each has the best plan of its own, to the second, and none is in another's way.

    No plan of the whole costs less, where the whole is looked at (``bounded``).
    """
    grams = [m.plan.window.grams for m in members]
    cost = sum(g.value for g in grams if g is not None) if None not in grams else None
    late = sum(m.end_s > m.case.request.deadline_s + INSTANT_S for m in members)
    return Joint({}, QueuePlan(now, len(members), False, cost, cost if bounded else None, late))


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


def _places(ctx: Context, member: Member) -> set[tuple[str, str]]:
    """Regions, with the hosts there, where a member may run."""
    spec = member.case.spec
    return {(place.region, host(ctx, spec, place.region)) for place in member.case.places}


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


def admit(
    ctx: Context,
    newcomer: Member,
    others: Callable[[], tuple[list[Member], Promised]],
    now: datetime,
) -> Plan:
    """The newcomer's plan beside the queue; :class:`UsageError` where deadlines cannot all hold.

    The rule: who was there first keeps its deadline. The newcomer is put beside the plans that
    stand; only where it would be late there are ``others`` looked at: all of them are planned anew
    beside what is fixed, and where one is late even then (that was not before), the newcomer is
    refused, with what would make it fit.
    """
    if not _known(newcomer):
        return newcomer.plan
    scene = _scene(ctx, [newcomer], now, Promised.now(ctx))
    if not scene.crowded():
        return newcomer.plan
    (place,) = scene.beside().placed
    if place is None or place.late:
        scene, place = _make_room(ctx, newcomer, others, now)
    changed = scene.plan_at(len(scene.tasks) - 1, place)
    return changed or newcomer.plan


def _make_room(
    ctx: Context,
    newcomer: Member,
    others: Callable[[], tuple[list[Member], Promised]],
    now: datetime,
) -> tuple[Scene, Placed]:
    """Where the newcomer is punctual once others give way; refused where none is."""
    known, fixed = others()
    members = [*(m for m in known if _known(m)), newcomer]
    members = next(group for group in _rivals(ctx, members) if group[-1] is newcomer)
    scene = _scene(ctx, members, now, fixed)
    start, now_s, board = scene.beside(), now.timestamp(), scene.board()
    place = start.placed[-1]
    if start.late:
        made = fleet.plan(scene.tasks, scene.board(), now_s=now_s, start=start)
        place = made.placed[-1]
        if made.late:
            rest_of_it = fleet.FleetPlan(start.placed[:-1])
            without = fleet.plan(scene.tasks[:-1], board, now_s=now_s, start=rest_of_it)
            if made.late > without.late:
                place = fleet.place(scene.tasks[-1], board, now_s)
                if place is None or place.late:
                    _refuse(newcomer, place, len(members) - 1, complete=made.complete)
    assert place is not None
    return scene, place


def _refuse(newcomer: Member, place: Placed | None, others: int, *, complete: bool) -> None:
    spec = newcomer.case.spec
    limit = "" if complete else LIMIT
    asked = f"its {spec.slots} slot(s)" + (f" and {spec.gpus} GPU(s)" if spec.gpus else "")
    if place is None:
        raise UsageError(
            f"beside what runs and {others} queued job(s), {asked} are not free before the end of "
            f"what is planned{limit}: ask for fewer slots, or allow another --region"
        )
    raise UsageError(
        f"the deadline {iso(from_unix(newcomer.case.request.deadline_s))} cannot be met beside "
        f"what runs and {others} queued job(s): {asked} are free for it so that it ends at "
        f"{iso(from_unix(place.end_s))} at the earliest{limit}; move the deadline "
        "there, ask for fewer slots, or allow another --region"
    )


def _known(member: Member) -> bool:
    """Whether it can be placed on the lattice: it has a length, a forecast where it lies, and one
    now: its plan may be older than an outage.
    """
    window, last = member.plan.window, member.case.now + LOOKED_AHEAD
    has_forecast = any(place.series is not None for place in member.case.places)
    known = window.g_per_kwh is not None
    return has_forecast and known and window.end is not None and window.end <= last
