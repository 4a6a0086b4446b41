"""Waiting jobs, regions and capacities on one lattice: what the joint plan is made on.

``beside`` is what other waiting jobs hold, which are not planned with the members.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.engine import planning, promises, rest
from scheduler.engine.promises import Promised
from scheduler.models import LOOKED_AHEAD
from scheduler.planner import choice, fleet, window
from scheduler.planner.board import TIE, Board
from scheduler.planner.bound import lower_bound
from scheduler.planner.order import due, followers, in_order
from scheduler.planner.task import COARSEST_S, INSTANT_S, Placed, Task, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from providers.series import Series
    from scheduler.engine.context import Context
    from scheduler.engine.planning import Case
    from scheduler.models import Plan
    from scheduler.planner.choice import Choice, Place
    from scheduler.planner.segments import Spans

# Prices of slots are sought this often for the bound, which is only for people to see, and less
# often in a long queue: a look at so many candidate starts takes about 2 s in all.
ITERATIONS = 200
CANDIDATES = 50_000_000


# So far past the last deadline a place is sought for a job that cannot be in time.
LOOK_PAST_S = 14 * 86400.0
# More boards than any host has: of what cannot be counted from here nothing is forbidden.
UNCOUNTED = 4096
# Why no delay is worth it for a job.
NO_DELAY = frozenset({"min_saving", "cautious", "forecast_error"})


@dataclass(frozen=True, slots=True)
class Member:
    """A waiting job in the joint plan. ``fresh``: its own plan was made just now."""

    job_id: str
    case: Case
    plan: Plan
    fresh: bool
    after: tuple[str, ...] = ()

    @property
    def stands(self) -> bool:
        """Whether its plan may be kept: it was not made just now, nor has its region left the
        config since.
        """
        return not self.fresh and self.is_there

    @property
    def is_there(self) -> bool:
        """Whether it is planned where it may run."""
        return any(place.region == self.plan.window.region for place in self.case.places)

    @property
    def spans(self) -> Spans:
        """When it is to run (Unix seconds)."""
        return tuple((a.timestamp(), b.timestamp()) for a, b in self.plan.ahead if b is not None)

    @property
    def held(self) -> Spans:
        """When it is to hold its slots, pauses included that only stop it."""
        kept = promises.kept(self.case.spec, self.plan.ahead)
        return tuple((a.timestamp(), b.timestamp()) for a, b in kept)

    @property
    def end_s(self) -> float:
        """When it is to be done; 0 where nobody knows."""
        return max((b for _, b in self.spans), default=0.0)


@dataclass(frozen=True, slots=True)
class Held:
    """What a job that has started holds of a host until it is expected to end (Unix seconds)."""

    region: str
    host: str
    slots: int
    gpus: int
    end_s: float


class Scene:
    """Members, regions and capacities on one lattice."""

    def __init__(
        self,
        ctx: Context,
        members: Sequence[Member],
        holds: Sequence[Held],
        now: datetime,
        beside: Promised = Promised(),  # noqa: B008 -- frozen
    ) -> None:
        self._members = members
        self._margin_s = rest.PASSES * ctx.config.settings.tick
        series: dict[str, Series | None] = {}
        for member in members:
            for place in member.case.places:
                series.setdefault(place.region, place.series)
        self._regions = tuple(series)
        step = COARSEST_S
        first = now.timestamp() // step * step
        # A deadline may lie decades ahead; nothing is chosen beyond what is known.
        known_s = max((float(s.ends[-1]) for s in series.values() if s is not None), default=first)
        ends = [max(m.end_s, min(m.case.request.deadline_s, known_s)) for m in members]
        # One after the other they end by then: where one cannot be in time, that says when it can.
        taken_s = max([hold.end_s for hold in holds] + [beside.end_s])
        last = max([*ends, min(taken_s, first + LOOKED_AHEAD.total_seconds())], default=first)
        ends.append(last + min(LOOK_PAST_S, sum(m.case.request.duration_s for m in members)))
        cells = int((max(ends) - first) / step) + 2
        grid = first + step * np.arange(cells + 1, dtype=np.float64)
        slots = np.array([capacity(ctx, name, grid[:-1]) for name in self._regions])
        boards = np.array([[boards_of(ctx, name, holds)] * cells for name in self._regions])
        g_per_kwh = np.array([_cells(series[name], grid) for name in self._regions])
        self._world = World(first, step, g_per_kwh, slots, boards)
        # What others hold: region, from when to when (Unix seconds), slots and GPUs.
        self._held = [
            (self._regions.index(hold.region), first, hold.end_s, hold.slots, hold.gpus)
            for hold in holds
            if hold.region in series
        ]
        for row, name in enumerate(self._regions):
            levels = beside.levels(name)
            for (a, slots_, gpus), b in zip(levels.tolist(), levels[1:, 0].tolist(), strict=False):
                if (slots_ or gpus) and b > first:
                    self._held.append((row, max(float(a), first), float(b), slots_, gpus))
        # Those beside the members are not planned with them, and no bound is known for them.
        self.is_whole = not any(beside.levels(name)[:, 1:].any() for name in self._regions)

    @cached_property
    def tasks(self) -> list[Task]:
        """The members as the joint planner sees them: not needed where nobody is in the way."""
        index = {member.job_id: i for i, member in enumerate(self._members)}
        return [self._task(m, index) for m in self._members]

    def board(self) -> Board:
        """Empty but for what others hold."""
        board = Board(self._world)
        for row, a, b, slots, gpus in self._held:
            board.take(row, ((a, b),), slots, gpus)
        return board

    def crowded(self) -> bool:
        """Whether the plans as they stand hold more than there is, or lie where nothing is."""
        if not all(member.is_there for member in self._members):
            return True
        board = self.board()
        before = board.lacking()
        rows = {name: row for row, name in enumerate(self._regions)}
        for member in self._members:
            spec = member.case.spec
            board.take(rows[member.plan.window.region], member.held, spec.slots, spec.gpus)
        return bool((board.lacking() > before).any())

    def beside(self) -> fleet.FleetPlan:
        """Plans that stand keep their place, in order of their start; the rest go beside them."""
        board, placed = self.board(), [None] * len(self.tasks)
        standing = [i for i, m in enumerate(self._members) if m.stands]
        fresh = [i for i, m in enumerate(self._members) if not m.stands]
        found: list[Placed | None] = list(placed)
        for i in sorted(standing, key=lambda i: self._members[i].plan.start):
            member, task = self._members[i], self.tasks[i]
            row = self._regions.index(member.plan.window.region)
            there = board.priced(task, row, member.spans)
            if board.fits(task, there):
                board.hold(task, there)
                found[i] = there
            else:
                fresh.append(i)
        fresh.sort(key=lambda i: (-self.tasks[i].priority, -self.tasks[i].area, i))
        rest, ends = set(fresh), due(self.tasks)
        for i in in_order(self.tasks, fresh):
            if i not in rest:
                continue
            task = self.tasks[i]
            waits = [p.end_s for j in task.after if (p := found[j]) is not None]
            earliest = max([task.release_s, *waits])
            place = self._lowest(i, board, earliest, ends[i])
            found[i] = place = place or board.first_done(task, earliest)
            if place is not None:
                board.hold(task, place)
        return fleet.FleetPlan(tuple(found))

    def at_their_best(self) -> bool:
        """Whether no member has a better plan of its own, were it alone, nor waits for another."""
        return all(not m.after and _is_best(m) for m in self._members)

    def settled(self, made: fleet.FleetPlan, now_s: float, least_percent: float) -> fleet.FleetPlan:
        """``made``, where jobs move one by one into what is free beside the others.

        A job moves where it saves at least ``least_percent`` of its own cost, where it ends
        earlier at no more carbon, and where its delay is not worth it (minimal saving, the
        forecast's error) though it could start earlier.
        """
        board, placed = self.board(), list(made.placed)
        for task, there in zip(self.tasks, placed, strict=True):
            if there is not None:
                board.hold(task, there)
        order = sorted(range(len(placed)), key=lambda i: self._members[i].plan.start)
        behind = followers(self.tasks)
        for _ in range(fleet.PASSES):
            before = list(placed)
            for i in order:
                here, task = placed[i], self.tasks[i]
                if here is None:
                    continue
                waits = [p.end_s for j in task.after if (p := placed[j]) is not None]
                ends = [p.start_s for j in behind[i] if (p := placed[j]) is not None]
                latest = min([max(task.deadline_s, here.end_s), *ends])
                board.release(task, here)
                there = self._lowest(i, board, max([task.release_s, now_s, *waits]), latest)
                if there is not None and self._moves(i, here, there, least_percent):
                    placed[i] = here = there
                board.hold(task, here)
            if placed == before:
                break
        return replace(made, placed=tuple(placed))

    def _moves(self, i: int, here: Placed, there: Placed, least_percent: float) -> bool:
        gain, small = here.cost - there.cost, TIE * abs(here.cost)
        if there.end_s < here.end_s - INSTANT_S:
            return gain >= -small or self._refused(i, here, there)
        return gain > small and gain >= abs(here.cost) * least_percent / 100

    def _lowest(
        self, i: int, board: Board, earliest_s: float, latest_end_s: float
    ) -> Placed | None:
        """The cheapest place left that is worth its delay, else the soonest; None: no room."""
        task = self.tasks[i]
        best = board.cheapest(task, earliest_s, latest_end_s)
        if best is None or not _has_rules(self._members[i].case):
            return best
        soonest = board.first_done(task, earliest_s)
        if soonest is None or soonest.end_s > latest_end_s + INSTANT_S:
            return best
        return soonest if self._refused(i, best, soonest) else best

    def _refused(self, i: int, best: Placed, soonest: Placed) -> bool:
        """Whether a member's rules forbid the delay from ``soonest`` to ``best``."""
        case = self._members[i].case
        by_name = {place.region: place for place in case.places}

        def priced(there: Placed) -> Choice | None:
            place = by_name[self._regions[there.region]]
            return choice.price(place, there.spans, case.request, case.basis)

        later, sooner = priced(best), priced(soonest)
        if later is None or sooner is None:
            return False
        return window.refusal(case.places, later, sooner, case.request) is not None

    def cost(self, made: fleet.FleetPlan) -> float:
        """What a plan costs in grams, with what else is weighed converted to grams."""
        board = Board(self._world)
        return sum(
            board.priced(self._as_asked(i, p), p.region, p.spans).cost
            for i, p in enumerate(made.placed)
            if p is not None
        )

    def bound(self, made: fleet.FleetPlan) -> float | None:
        """No plan of the members that is punctual where this one is costs less.

        What runs holds its slots until it is expected to end. None beside jobs that are planned
        apart from these, and for a queue too long to weigh all its starts at every look.
        """
        if not self.is_whole:
            return None
        assert self._world.slots is not None
        loose = [self._as_asked(i, p) for i, p in enumerate(made.placed) if p is not None]
        iterations = min(ITERATIONS, CANDIDATES // max(1, self._candidates(loose)))
        if iterations == 0:
            return None
        cost = self.cost(made)
        found = lower_bound(
            loose,
            self._world.start_s,
            self._world.step_s,
            self._world.g_per_kwh,
            self._spare(),
            known_cost=cost,
            iterations=iterations,
        )
        return min(found, cost)

    def _as_asked(self, i: int, place: Placed) -> Task:
        """A task with no more than its owner asked for: no margin, no rule against a delay.

        One that is late, or whose rule allows no other delay, may go no later than it does.
        """
        member, task = self._members[i], self.tasks[i]
        asked = member.case.request
        own_delay = task.delay > asked.delay_g_per_s
        ready = min(p.ready_s for p in member.case.places if p.series is not None)
        return replace(
            task,
            release_s=asked.earliest_s + ready,
            deadline_s=place.end_s if own_delay else max(asked.deadline_s, place.end_s),
            delay=asked.delay_g_per_s,
        )

    def _spare(self) -> NDArray[np.float64]:
        """The mean of the slots that others leave in each cell."""
        assert self._world.slots is not None
        spare = self._world.slots.astype(np.float64)
        edges = self._world.start_s + self._world.step_s * np.arange(self._world.cells + 1)
        for row, a, b, slots, _ in self._held:
            low, high = np.searchsorted(edges, [a, b], side="right") - 1
            part = slice(max(0, int(low)), int(high) + 1)
            inside = np.clip(edges[part.start : int(high) + 2], a, b)
            spare[row, part][: len(inside) - 1] -= slots * np.diff(inside) / self._world.step_s
        return np.maximum(spare, 0.0)

    def _candidates(self, tasks: Sequence[Task]) -> int:
        """How many starts one look at all prices has to weigh."""
        step, end_s = self._world.step_s, self._world.end_s
        return sum(
            len(t.regions or self._regions)
            * int(2 + 2 * max(0.0, min(t.deadline_s, end_s) - t.release_s - t.duration_s) / step)
            for t in tasks
        )

    def plans(self, made: fleet.FleetPlan) -> dict[str, Plan]:
        """Plans of the members whose place changed."""
        found = {}
        for i, place in enumerate(made.placed):
            plan = None if place is None else self.plan_at(i, place)
            if plan is not None:
                found[self._members[i].job_id] = plan
        return found

    def plan_at(self, i: int, place: Placed) -> Plan | None:
        """A member's plan there; None where that is where it was."""
        member = self._members[i]
        region = self._regions[place.region]
        if member.plan.window.region == region and member.spans == place.spans:
            return None
        return planning.together(member.case, region, place.spans)

    def _task(self, member: Member, index: Mapping[str, int]) -> Task:
        case, asked = member.case, member.case.request
        known = [p for p in case.places if p.series is not None]
        release = asked.earliest_s + max(p.ready_s for p in known)
        # One that starts when another ends starts a pass or two later than planned; that is no
        # reason to move a plan that stands.
        spare = asked.deadline_s - asked.duration_s - release
        early = asked.deadline_s - min(self._margin_s, max(0.0, spare))
        own = member.end_s
        return Task(
            # Where data must be brought first, the longest way counts for all regions.
            release_s=release,
            deadline_s=max(early, own) if own <= asked.deadline_s else early,
            duration_s=asked.duration_s,
            slots=case.spec.slots,
            gpus=case.spec.gpus,
            kw=tuple(choice.area_weight(p, asked) * 3600.0 for p in known),
            flat=tuple(choice.toll(p, asked, case.basis) for p in known),
            once=tuple(p.once_g * asked.carbon_share for p in known),
            delay=asked.delay_g_per_s + _haste(case, known),
            regions=tuple(self._regions.index(p.region) for p in known),
            priority=case.spec.priority,
            after=tuple(index[name] for name in member.after if name in index),
            # One that keeps its slots in its pauses is placed in one piece beside others.
            pausing=None if case.spec.stops else asked.pausing,
        )


def _is_best(member: Member) -> bool:
    case = member.case
    own = window.decide(case.places, case.request, case.basis).chosen
    if own is None or member.plan.start <= case.now:
        return True
    at = next((p for p in case.places if p.region == member.plan.window.region), None)
    has = None if at is None else choice.price(at, member.spans, case.request, case.basis)
    return (
        has is not None
        and has.score <= own.score + TIE * abs(own.score)
        and has.end_s <= own.end_s + INSTANT_S
    )


def _has_rules(case: Case) -> bool:
    """Whether some delays may not be worth it for a job."""
    asked = case.request
    return bool(asked.min_saving_percent) or any(map(_unsure, case.places))


def _haste(case: Case, known: Sequence[Place]) -> float:
    """What a second of delay weighs for a job that no delay is worth it for: more than any gain.

    It still waits for slots.
    """
    asked = case.request
    if not _has_rules(case):
        return 0.0
    if window.decide(case.places, asked, case.basis).rule not in NO_DELAY:
        return 0.0
    spread = [float(np.ptp(p.series.g_per_kwh)) for p in known if p.series is not None]
    return max(choice.area_weight(p, asked) for p in known) * max(spread)


def _unsure(place: Place) -> bool:
    """Whether its forecast has a band; what has none is never too unsure to wait for."""
    return place.series is not None and bool((place.series.high > place.series.g_per_kwh).any())


def capacity(ctx: Context, region: str, times: NDArray[np.float64]) -> NDArray[np.int32]:
    """Slots of a region at each of ``times`` (Unix seconds)."""
    by_hour = np.array(ctx.capacity_by_hour(region), dtype=np.int32)
    return by_hour[(times // 3600).astype(np.int64) % 24]


def boards_of(ctx: Context, region: str, holds: Sequence[Held]) -> int:
    """Boards that are idle or held by our own jobs; those of another host it counts itself."""
    if ctx.regions[region].host not in {None, ctx.here.origin.host}:
        return UNCOUNTED
    own = sum(hold.gpus for hold in holds if hold.region == region)
    executor = ctx.executor(region)
    if executor.capabilities.assigns_gpus:
        return executor.assignable_gpus()[1]
    return own + len(executor.free_gpus(ctx.store.jobs.held_gpus()))


def _cells(series: Series | None, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each cell; NaN where it is not all known."""
    if series is None:
        return np.full(len(grid) - 1, np.nan)
    widths = np.diff(grid)
    known = np.diff(series.covered(grid)) >= widths - 1e-3
    # The first cell began before now: what is left of it stands for all of it.
    partly = np.diff(series.covered(grid))
    means = np.diff(series.integral(grid)) / np.maximum(partly, 1e-9)
    known[0] = partly[0] > 0
    return np.where(known, means, np.nan)
