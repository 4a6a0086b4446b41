"""The replay: jobs arrive, forecasts are issued, plans are made and carried out.

At each moment only what had arrived and had been issued is known. Where jobs cannot meet (no
capacity) and the intensity is known beforehand, later events change nothing, so that each job
is planned once, exactly.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.planner import fleet
from scheduler.planner.board import TIE, Board
from scheduler.planner.exchange import exchange
from scheduler.planner.relaxed import Relaxed
from scheduler.planner.segments import cheapest
from scheduler.planner.task import INSTANT_S, Task, World, refine
from scheduler.simulate.admission import admit, tasks_of
from scheduler.simulate.outcome import Outcome, bound_of, peak_of, rows_of, tally
from scheduler.simulate.reserve import DAY_S, Reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from scheduler.planner.segments import Spans
    from scheduler.planner.task import Placed
    from scheduler.simulate.admission import Rules
    from scheduler.simulate.knowledge import Knowledge
    from scheduler.simulate.log import LogJob
    from scheduler.simulate.reserve import Kept


def simulate(
    log: Sequence[LogJob],
    knowledge: Knowledge,
    rules: Rules,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Outcome:
    """Replay ``log``; ``progress`` is told how many of all events are done."""
    jobs, refused = admit(log, knowledge, rules)
    # The oracle and first come, first served are of the log, whatever the policy.
    logged = tasks_of(jobs, knowledge, replace(rules, policy="oracle"))
    tasks = tasks_of(jobs, knowledge, rules)
    world = _world(knowledge, tasks, rules)
    begun = time.perf_counter()
    placed = schedule(tasks, world, knowledge, rules, progress)
    planning_s = time.perf_counter() - begun
    oracle, first_come = (
        placed
        if rules.policy == policy
        else schedule(logged, world, knowledge, replace(rules, policy=policy))
        for policy in ("oracle", "run-now")
    )
    made, best = tally(tasks, placed, world), tally(logged, oracle, world)
    reserve_cost_g = None
    if rules.keeps_free:
        without = placed
        if tasks and tasks[-1].release_s >= tasks[0].release_s + DAY_S:
            without = schedule(tasks, world, knowledge, replace(rules, reserve=False))
        reserve_cost_g = made.grams - tally(tasks, without, world).grams
    rows = rows_of(jobs, tasks, placed, knowledge, world)
    if made.unplaced:
        refused = {**refused, "no_room_before_the_end": made.unplaced}
    return Outcome(
        policy=rules.policy,
        made=made,
        run_now_g=tally(logged, at_once(logged, world), world).grams,
        oracle=best,
        first_come=tally(logged, first_come, world),
        lower_bound_g=bound_of(
            tasks,
            placed,
            knowledge,
            rules.capacity,
            known_g=made.grams,
            iterations=rules.iterations,
        ),
        reserve_cost_g=reserve_cost_g,
        more_pausing=rules.policy == "segments" and any(job.pausable is None for job in jobs),
        peak_slots=peak_of(rows),
        planning_s=planning_s,
        refused=refused,
        notes=knowledge.notes,
        schedule=rows,
    )


def schedule(
    tasks: Sequence[Task],
    world: World,
    knowledge: Knowledge,
    rules: Rules,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Placed | None]:
    """Where each task runs under the policy of ``rules``."""
    if rules.capacity is None and rules.policy == "run-now":
        return at_once(tasks, world)
    if rules.policy == "oracle" or not (rules.capacity or knowledge.issued):
        if rules.capacity is None:
            return alone(tasks, world, knowledge)
        board = Board(world)
        made = fleet.plan(tasks, board, rounds=fleet.ROUNDS)
        progress(len(tasks), len(tasks))
        return exchange(tasks, board, made.placed)
    return Replay(tasks, world, knowledge, rules).run(progress)


def _world(knowledge: Knowledge, tasks: Sequence[Task], rules: Rules) -> World:
    """Actual intensity and capacity on the planner's lattice."""
    moments: set[float] = set()
    for task in tasks:
        release, deadline = task.release_s, task.deadline_s
        moments |= {release - knowledge.start_s, deadline - knowledge.start_s, task.duration_s}
    step = refine(knowledge.step_s, list(moments))
    return _on(knowledge.actual, knowledge, step, rules)


def _on(
    g_per_kwh: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    knowledge: Knowledge,
    step_s: float,
    rules: Rules,
) -> World:
    fine = np.repeat(g_per_kwh, round(knowledge.step_s / step_s), axis=1)
    slots = None if rules.capacity is None else np.full(fine.shape, rules.capacity, np.int32)
    return World(knowledge.start_s, step_s, fine, slots)


def alone(tasks: Sequence[Task], world: World, knowledge: Knowledge) -> list[Placed | None]:
    """Each task for itself on the actual intensity: the exact optimum where none is limited."""
    board = Board(world)
    g_per_kwh = knowledge.actual
    best = Relaxed(
        [replace(t, pausing=None) for t in tasks], knowledge.start_s, knowledge.step_s, g_per_kwh
    ).best(np.zeros_like(g_per_kwh), len(tasks))
    moments = world.start_s + world.step_s * np.arange(world.cells + 1, dtype=np.float64)
    rates = np.where(world.holes, np.inf, world.g_per_kwh)
    placed: list[Placed | None] = []
    for task, region, start in zip(tasks, best[0].tolist(), best[1].tolist(), strict=True):
        window = board.priced(task, region, ((start, start + task.duration_s),))
        found = None if task.pausing is None else _in_segments(task, board, moments, rates)
        better = found is not None and found.cost < window.cost - TIE * abs(window.cost)
        placed.append(found if better else window)
    return placed


def _in_segments(
    task: Task, board: Board, moments: NDArray[np.float64], rates: NDArray[np.float64]
) -> Placed | None:
    """The cheapest segments of a task that no other meets, whose power is its only cost.

    ``rates`` are the intensity, infinite in holes, between the ``moments`` of the lattice.
    """
    world, pausing = board.world, task.pausing
    assert pausing is not None
    low = max(0, world.at_or_before(task.release_s))
    high = min(world.cells, world.at_or_after(task.deadline_s))
    edges = moments[low : high + 1].copy()
    edges[0], edges[-1] = task.release_s, task.deadline_s
    found = [
        board.priced(task, region, spans)
        for region in (range(world.regions) if task.regions is None else task.regions)
        if (spans := cheapest(edges, rates[region, low:high], task.duration_s, pausing))
    ]
    return min(found, key=lambda placed: placed.cost, default=None)


def at_once(tasks: Sequence[Task], world: World) -> list[Placed | None]:
    """Each at its submission, in its home region, whatever is free."""
    board = Board(world)
    return [
        board.priced(
            task,
            0 if task.regions is None else task.regions[0],
            ((task.release_s, task.release_s + task.duration_s),),
        )
        for task in tasks
    ]


class Replay:
    """The state of the world while events pass by."""

    def __init__(
        self, tasks: Sequence[Task], world: World, knowledge: Knowledge, rules: Rules
    ) -> None:
        self._tasks, self._actual, self._knowledge, self._rules = tasks, world, knowledge, rules
        self._board = Board(world)
        self._placed: list[Placed | None] = [None] * len(tasks)
        self._waiting: dict[int, Placed] = {}
        # What a pausable task has run so far, and what it still needs (s).
        self._run: dict[int, tuple[tuple[float, float], ...]] = {}
        self._reserve = Reserve(world, rules)

    def run(self, progress: Callable[[int, int], None]) -> list[Placed | None]:
        """All events in order; the schedule that came of them."""
        arrivals = [(task.release_s, 1, i) for i, task in enumerate(self._tasks)]
        looks = [(at, 0, -1) for at in self._looks()]
        events = sorted(looks + arrivals)
        issued = 0
        for n, (at, _, i) in enumerate(events):
            if i < 0:
                known = self._knowledge.moments
                fresh = issued < len(known) and known[issued] <= at
                while issued < len(known) and known[issued] <= at:
                    issued += 1
                self._look(at, fresh)
            else:
                self._arrive(i, at)
            if n % 256 == 0:
                progress(n, len(events))
        progress(len(events), len(events))
        for i, placed in self._waiting.items():
            self._placed[i] = self._whole(i, placed)
        return self._placed

    def _looks(self) -> set[float]:
        """When plans are looked at again: at each refresh, and when a forecast is issued.

        Between two values of the trace a refresh knows nothing new: arrivals are placed as they
        come.
        """
        if self._rules.policy == "run-now":
            return set()
        looks = set(self._knowledge.moments)
        if self._rules.policy == "fleet" and self._tasks:
            first = self._knowledge.start_s
            step = max(self._rules.refresh_s, self._knowledge.step_s)
            last = max(task.release_s for task in self._tasks)
            looks |= {first + step * n for n in range(int((last - first) // step) + 2)}
        return looks

    def _arrive(self, i: int, now_s: float) -> None:
        """Where it is cheapest; one that would be late is planned together with all that wait."""
        self._begin(now_s)
        task = self._tasks[i]
        if self._rules.policy == "run-now":
            placed = self._board.soonest(task, now_s)
        else:
            self._reserve.learn(task, now_s)
            placed = self._cheapest(task, now_s) or self._board.soonest(task, now_s)
        if placed is not None:
            self._board.hold(task, placed)
            self._waiting[i] = placed
        if (placed is None or placed.late) and self._rules.replans and self._may_help(i, now_s):
            self._plan_anew(now_s, i)

    def _cheapest(self, task: Task, now_s: float) -> Placed | None:
        """The cheapest place that ends in time and leaves free what can be left free."""
        kept = self._reserve.ahead(now_s)
        for count in range(len(kept), -1, -1):
            with self._keeping(kept[:count]):
                found = self._board.cheapest(task, now_s, task.deadline_s)
            if found is not None:
                return found
        return None

    @contextmanager
    def _keeping(self, kept: Sequence[Kept]) -> Iterator[None]:
        for task, placed in kept:
            self._board.hold(task, placed)
        yield
        for task, placed in kept:
            self._board.release(task, placed)

    def _may_help(self, i: int, now_s: float) -> bool:
        """Whether what waits is in the way of an arrival, and not only what runs."""
        if self._rules.policy == "run-now":
            return False
        waiting = [
            (self._tasks[j], p) for j, p in self._waiting.items() if p.start_s > now_s - INSTANT_S
        ]
        for task, placed in waiting:
            self._board.release(task, placed)
        task = self._tasks[i]
        found = self._board.cheapest(task, now_s, task.deadline_s)
        for other, placed in waiting:
            self._board.hold(other, placed)
        return found is not None

    def _begin(self, now_s: float) -> None:
        """What has started is no longer planned; of a pausable task only what is left is."""
        for i, placed in list(self._waiting.items()):
            if placed.start_s > now_s - INSTANT_S:
                continue
            if self._tasks[i].pausing is None or placed.end_s <= now_s:
                self._placed[i] = self._whole(i, placed)
                del self._waiting[i]

    def _whole(self, i: int, ahead: Placed) -> Placed:
        """A task's run so far and ahead, joined where it did not pause."""
        spans = list(self._run.get(i, ()))
        for a, b in ahead.spans:
            if spans and a - spans[-1][1] <= INSTANT_S:
                spans[-1] = (spans[-1][0], b)
            else:
                spans.append((a, b))
        return replace(ahead, spans=tuple(spans))

    def _look(self, now_s: float, fresh: bool) -> None:
        self._begin(now_s)
        if fresh:
            known = self._knowledge.believed(now_s)
            self._board.see(_on(known, self._knowledge, self._actual.step_s, self._rules))
        if self._waiting and self._rules.replans and (fresh or self._rules.capacity is not None):
            self._plan_anew(now_s)

    def _plan_anew(self, now_s: float, arrived: int | None = None) -> None:
        """All that wait, together under capacity; a task that paused goes on with the rest.

        ``arrived`` is one that would be late otherwise: it may have no place yet, and slots are
        kept free for no one.
        """
        rests = {i: rest for i in self._waiting if (rest := self._left(i, now_s)) is not None}
        for i, rest in rests.items():
            self._board.release(rest.task, self._waiting[i])
        if arrived is not None and arrived not in self._waiting:
            rests[arrived] = _Rest(self._tasks[arrived], None)
        kept = self._reserve.ahead(now_s) if arrived is None else []
        with self._keeping(kept):
            inside = self._that_leave_it_free(rests) if kept else rests
            start = fleet.FleetPlan(tuple(self._priced(rest) for rest in inside.values()))
            tasks = [rest.task for rest in inside.values()]
            made = fleet.plan(tasks, self._board, now_s=now_s, start=start, passes=1)
        for (i, rest), placed in zip(inside.items(), made.placed, strict=True):
            self._take(i, rest, placed)
        for i in rests.keys() - inside.keys():
            self._once_more(i, rests[i], now_s)

    def _priced(self, rest: _Rest) -> Placed | None:
        """Where it was to go, at what that costs now."""
        if rest.ahead is None:
            return None
        return self._board.priced(rest.task, rest.ahead.region, rest.ahead.spans)

    def _that_leave_it_free(self, rests: dict[int, _Rest]) -> dict[int, _Rest]:
        """Those whose place does not need what is kept free; the others are held where they are."""
        inside = {}
        for i, rest in rests.items():
            assert rest.ahead is not None
            if self._board.fits(rest.task, rest.ahead):
                inside[i] = rest
            self._board.hold(rest.task, rest.ahead)
        for rest in inside.values():
            assert rest.ahead is not None
            self._board.release(rest.task, rest.ahead)
        return inside

    def _once_more(self, i: int, rest: _Rest, now_s: float) -> None:
        """One that needs what is kept free, where it is cheapest now."""
        here = self._priced(rest)
        assert here is not None
        self._board.release(rest.task, here)
        there = self._cheapest(rest.task, now_s)
        if there is None or (not here.late and there.cost > here.cost):
            there = here
        self._board.hold(rest.task, there)
        self._take(i, rest, there)

    def _take(self, i: int, rest: _Rest, placed: Placed | None) -> None:
        if placed is not None:  # else it had no place, and there is none
            self._waiting[i] = self._gone_on(rest, placed)
            if rest.ran:
                self._run[i] = rest.ran

    def _left(self, i: int, now_s: float) -> _Rest | None:
        """What is left of a task from now on; None where it can only go on as it was to.

        One that has started stays in its region. It is planned as if it paused now, with the
        resume that this would cost.
        """
        task, placed = self._tasks[i], self._waiting[i]
        if task.pausing is None or (i not in self._run and placed.start_s > now_s - INSTANT_S):
            return _Rest(task, placed)
        past = tuple((a, min(b, now_s)) for a, b in placed.spans if a < now_s - INSTANT_S)
        ran = self._whole(i, replace(placed, spans=past)).spans
        ahead = replace(
            placed, spans=tuple((max(a, now_s), b) for a, b in placed.spans if b > now_s)
        )
        rules = task.pausing
        runs = ran[-1][1] > now_s - INSTANT_S and ahead.start_s < now_s + INSTANT_S
        need_s = sum(b - a for a, b in ahead.spans)
        need_s -= rules.resume_s * (len(ahead.spans) - (1 if runs else 0))
        again_s = need_s + rules.resume_s
        pieces = None if rules.max_segments is None else rules.max_segments - len(ran)
        if runs and (
            pieces == 0
            or need_s <= INSTANT_S
            or min(now_s - ran[-1][0], again_s) < rules.min_run_s - INSTANT_S
            or (rules.resume_s and now_s + again_s > task.deadline_s + INSTANT_S)
        ):
            return None
        rest = replace(
            task,
            duration_s=again_s,
            release_s=now_s,
            regions=(ahead.region,),
            pausing=replace(rules, max_segments=pieces),
        )
        return _Rest(rest, ahead, ran, need_s)

    def _gone_on(self, rest: _Rest, placed: Placed) -> Placed:
        """The place without the resume where the task goes on at once; the board follows."""
        if not rest.ran or placed.start_s > rest.ran[-1][1] + INSTANT_S:
            return placed
        assert rest.task.pausing is not None
        spare = sum(b - a for a, b in placed.spans) - rest.need_s
        spare -= rest.task.pausing.resume_s * (len(placed.spans) - 1)
        if spare <= INSTANT_S:
            return placed
        (begun, ended), *others = placed.spans
        first = ((begun, ended - spare),) if ended - spare > begun + INSTANT_S else ()
        shorter = replace(placed, spans=(*first, *others))
        self._board.release(rest.task, placed)
        self._board.hold(rest.task, shorter)
        return shorter


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left of a task that may have ``ran``, and where it was to go.

    ``need_s`` is what it needs where it goes on at once; ``task`` has a resume more.
    """

    task: Task
    ahead: Placed | None
    ran: Spans = ()
    need_s: float = 0.0
