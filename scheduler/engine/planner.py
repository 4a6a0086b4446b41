"""Plans made and renewed: one job at submission, the whole queue at each pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.errors import ExecutorError, ProviderError
from providers.series import from_unix
from scheduler.engine import (
    dependencies,
    free,
    pareto,
    planning,
    promises,
    queue,
    reasons,
    rest,
    submission,
)
from scheduler.engine.context import alone
from scheduler.engine.field import Blind, Sight, field_of, told_of
from scheduler.engine.outlook import PATIENCE
from scheduler.engine.promises import Promised
from scheduler.engine.scene import Member
from scheduler.errors import PendingError, StoreError, UsageError, fault
from scheduler.models import UNKNOWN_S, JobState, QueuePlan
from scheduler.store import Planned

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.engine.field import Looks
    from scheduler.engine.places import Field
    from scheduler.engine.planning import Case
    from scheduler.models import Job, JobSpec, Plan, Window
    from scheduler.planner.segments import Spans
    from scheduler.store import Group, Reservation

# A job that waits for slots past its start is planned anew this often.
STILL_DUE = timedelta(minutes=10)
# So many passes after its planned start a job that still waits is planned anew.
MISSED = 3
# A long queue, which takes seconds to plan, is not planned again for slots that are free for less.
SOON_S = 300.0
# So many jobs of a kind are looked at in one pass, which takes a few seconds then.
AT_ONCE = 500


def plan(
    ctx: Context,
    spec: JobSpec,
    now: datetime,
    *,
    to_run: bool,
    sight: Looks | None = None,
    compare: bool = False,
) -> Plan:
    """The plan that a job would get; ``sight`` is shared with whoever else looks.

    ``to_run``: only regions that can run it may be chosen, and it must fit beside the queue.
    ``compare``: its alternatives are all regions of the catalogue, for people to see.
    A zone that no source covers, or a key that is missing, is an error here (exit code 4); where
    a source that covers it gave too little the outage policy decides. :class:`UsageError` where
    deadlines cannot all be met.
    """
    spec = spec.model_copy(update={"release": dependencies.ready_at(ctx, spec, now)})
    field = field_of(ctx, spec, now, to_run=to_run, sight=sight, compare=compare)
    if all(option.known.series is None for option in field.candidates):
        for option in field.candidates:
            error = option.known.error
            if error is not None and not option.known.outage:
                raise error
    made = _make(ctx, spec, field, now)
    if not to_run or spec.duration_s is None:
        return made
    newcomer = Member("", _case(ctx, spec, field, now), made, fresh=True, after=spec.after)
    return queue.admit(ctx, newcomer, lambda: _some(ctx, now), now)


def preview(
    ctx: Context, spec: JobSpec, environ: Mapping[str, str], now: datetime
) -> tuple[Plan, str | None]:
    """The plan that a submission would get beside the queue; where that would be refused, the
    plan of the job alone, and why.
    """
    try:
        if spec.argv:
            submission.check_command(spec, environ)
        return plan(ctx, spec, now, to_run=True, compare=True), None
    except UsageError as e:
        return plan(ctx, spec, now, to_run=False, compare=True), str(e)


def trade_offs(ctx: Context, spec: JobSpec, now: datetime) -> tuple[Window, ...]:
    """The plans that no other beats in grams, finish and money at once, the earliest first."""
    spec = spec.model_copy(update={"release": dependencies.ready_at(ctx, spec, now)})
    field = field_of(ctx, spec, now, to_run=False)
    return pareto.front(spec, field, now, currency=ctx.config.settings.currency)


def replan(ctx: Context, now: datetime, *, leads: bool = True) -> None:
    """Plan queued jobs; plan anew those whose forecast changed or whose start was missed.

    At most :data:`AT_ONCE` of each kind: of a longer queue the others follow at the next passes.
    Where jobs are in each other's way, all are planned together. What is left of a paused job only
    the lowtide that sees its run folders knows, and plans it also where another one ``leads``.
    """
    groups = ctx.store.waiting.groups()
    look = _to_look_at(ctx, now, leads=leads)
    sight = _sight(ctx, groups, look, now)
    due: dict[str, tuple[Job, str | None]] = {job.id: (job, None) for job in look}
    due |= _told_anew(ctx, groups, sight) if leads else {}
    made, seen = [], {}
    for job, told in due.values():
        with alone(ctx, job.id, now):
            plan = _anew(ctx, job, sight, now)
            if plan is not None:
                made.append(_planned(ctx, job, plan, now, told))
            elif job.plan is not None and told is not None:
                seen[job.id] = told, _planned(ctx, job, job.plan, now).held
    changed = ctx.store.jobs.plan_all(made, now)
    ctx.store.waiting.looked_at(seen, now)
    if not leads or not groups:
        return
    last, whole = ctx.store.queue_plans.latest(), ctx.store.reservations.whole()
    submitted = (
        last is None
        or last.made_at > now  # by a clock that has been set back since
        or (whole.made_at is not None and whole.made_at > last.made_at)
    )
    is_long = whole.jobs > queue.JOINT
    freed = _freed(ctx, now, SOON_S if is_long else 0.0)
    if not (changed or submitted or freed):
        return
    if is_long and not freed and not queue.crowded(ctx, now):
        planned = QueuePlan(now, whole.jobs, False, None, None, whole.late)
    else:
        planned = _together(ctx, now, changed)
    ctx.store.queue_plans.remember(planned, free.dumped(free.at(ctx, now)))


def _together(ctx: Context, now: datetime, changed: Collection[str]) -> QueuePlan:
    """Plan the next jobs jointly and store that."""
    members, beside = _some(ctx, now, changed)
    percent = ctx.config.settings.hysteresis
    joint = queue.plan(ctx, members, now, hysteresis_percent=percent, beside=beside)
    together = []
    for job_id, plan in joint.plans.items():
        with alone(ctx, job_id, now):
            together.append(_planned(ctx, ctx.store.jobs.get(job_id), plan, now))
    ctx.store.jobs.plan_all(together, now)
    return joint.whole


def _freed(ctx: Context, now: datetime, after_s: float) -> bool:
    """Whether more is free, so long after now, than when the queue was last planned."""
    before = free.loaded(ctx.store.queue_plans.free())
    return free.grown(before, free.at(ctx, now, before), now.timestamp() + after_s)


def refresh(ctx: Context, now: datetime) -> None:
    """Ask the sources of all places where a waiting job may run, unless what they said is young."""
    groups = ctx.store.waiting.groups()
    sight = _sight(ctx, groups, _to_look_at(ctx, now, leads=True), now)
    for home, regions in dict.fromkeys((group.home, group.regions) for group in groups):
        _told(ctx, home, regions, sight)


def _told(ctx: Context, home: str, regions: Sequence[str], sight: Sight) -> str | None:
    """What is known of a job's places; None where that fails: planning the job says why."""
    try:
        return told_of(ctx, home, regions, sight)
    except StoreError:
        raise
    except Exception:  # noqa: BLE001 -- of a plugin, or of ours: one place keeps no other waiting
        return None


def keep(ctx: Context, job: Job, made: Plan, now: datetime) -> Sequence[Reservation]:
    """Store the plan of a job that was just submitted, with what it holds, which is returned."""
    planned = _planned(ctx, job, made, now)
    ctx.store.jobs.plan_all([planned], now)
    return planned.held


def _planned(ctx: Context, job: Job, made: Plan, now: datetime, told: str | None = None) -> Planned:
    left = replace(job, spec=rest.of(ctx, job, now).spec)
    return Planned(job, made, promises.reservations(ctx, left, made), told)


def _sight(ctx: Context, groups: Sequence[Group], look: Sequence[Job], now: datetime) -> Sight:
    """As far as any waiting job may run, overdue ones among them; a baseline starts at release."""
    starts = [now, *(from_unix(group.release_s) for group in groups)]
    ends = [now, *(from_unix(group.until_s) for group in groups)]
    ends += [now + timedelta(seconds=job.spec.duration_s or UNKNOWN_S) for job in look]
    return Sight(ctx, min(starts), max(ends), now)


def _to_look_at(ctx: Context, now: datetime, *, leads: bool) -> list[Job]:
    """Jobs that may need another plan whatever the forecast: new, paused, late, after others, or
    in a region that has left the config.
    """
    waiting = ctx.store.waiting
    found = [job for job in waiting.paused() if ctx.here.has_folders(job.spec.origin)]
    if leads:
        missed = now - timedelta(seconds=MISSED * ctx.config.settings.tick)
        found += waiting.queued(AT_ONCE)
        found += [job for job in waiting.dependent() if job.state is JobState.PLANNED]
        found += waiting.missed(missed, AT_ONCE)
        gone = {region for region, _ in Promised.now(ctx).spots if not _runs_jobs(ctx, region)}
        # One that names its regions waits for a pass that knows them.
        found += [j for j in waiting.planned_in(gone, AT_ONCE) if not j.spec.regions]
    return list({job.id: job for job in found}.values())


def _runs_jobs(ctx: Context, region: str) -> bool:
    return region in ctx.regions and ctx.regions[region].executor is not None


def _told_anew(ctx: Context, groups: Sequence[Group], sight: Sight) -> dict[str, tuple[Job, str]]:
    """The next planned jobs whose places are told something else now, with what that is."""
    told: dict[str, str | None] = {}
    stale = []
    for group in groups:
        if group.state is JobState.PLANNED:
            if group.places not in told:
                told[group.places] = _told(ctx, group.home, group.regions, sight)
            known, now_told = set(group.sight.split()), told[group.places]
            if now_told is not None and not (known and set(now_told.split()) <= known):
                stale.append(group)
    seen = ctx.store.waiting.seen_by(stale, AT_ONCE)
    return {job.id: (job, told[places] or "") for places, jobs in seen.items() for job in jobs}


def _anew(ctx: Context, job: Job, sight: Sight, now: datetime) -> Plan | None:
    """A job planned for itself where that is due; None where its plan stands."""
    left = rest.of(ctx, job, now)
    spec = dependencies.released(ctx, replace(job, spec=left.spec), now)
    paused = _paused_since(job.plan, left)
    try:
        field = field_of(ctx, spec, now, to_run=True, sight=sight)
        if job.plan is not None and not _stale(ctx, job, field, spec.release, now) and not paused:
            return None
        made = _make(ctx, spec, field, now, job.plan, left.done)
    except StoreError:
        raise
    except PendingError as e:
        latest = spec.latest_start
        if job.plan is not None or latest is None or latest >= now + PATIENCE:
            raise
        made = _earliest(ctx, spec, now, str(e))  # sources may take their time, and it has none
    except Exception as e:  # noqa: BLE001 -- a job that cannot be planned starts all the same
        if isinstance(e, (ExecutorError, ProviderError, UsageError)):
            ctx.store.jobs.tell(job.id, now, "no plan", str(e))
        else:
            ctx.store.jobs.trouble(job.id, now, fault(e))
        if job.plan is not None and not paused:
            return None
        made = rest.carried_on(job.plan, now) if job.plan else _earliest(ctx, spec, now, fault(e))
    if job.plan is None or paused:
        return made
    # A plan on a forecast outlives an outage.
    lost = job.plan.window.g_per_kwh is not None and made.window.g_per_kwh is None
    kept = lost and job.plan.start > now
    return made if not kept and _moved(job.plan, made, now) else None


def _paused_since(plan: Plan | None, left: rest.Rest) -> bool:
    """Whether the job has paused since the plan was made."""
    return (
        plan is not None
        and left.paused_at_s is not None
        and plan.made_at.timestamp() < left.paused_at_s
    )


def _some(
    ctx: Context, now: datetime, changed: Collection[str] = ()
) -> tuple[list[Member], Promised]:
    """Those that are planned together, and what all others hold."""
    members = _members(ctx, now, changed)
    theirs = ctx.store.reservations.of(m.job_id for m in members)
    return members, Promised.now(ctx).without(theirs)


def _members(ctx: Context, now: datetime, changed: Collection[str] = ()) -> list[Member]:
    """Planned jobs as the joint plan sees them: those that changed and the next to start."""
    found = []
    waiting = ctx.store.waiting.nearest(queue.JOINT, also=changed)
    ids = {job.id for job in waiting}
    sight = Sight.over(ctx, (job.spec for job in waiting), now)
    for job in waiting:
        if job.plan is None or job.plan.window.g_per_kwh is None or job.spec.duration_s is None:
            continue
        if job.holds or _fits_with_pauses(ctx, job, now):
            continue  # its slots stay held: it is in nobody's way but theirs
        with alone(ctx, job.id, now):
            try:
                left = rest.of(ctx, job, now)
                spec = _after_started(ctx, left.spec, ids, now)
                field = field_of(ctx, spec, now, to_run=True, sight=sight)
                case = _case(ctx, spec, field, now, job.plan, left.done)
            except (ExecutorError, ProviderError, UsageError):
                continue  # its own plan stands, and its story says why
            found.append(Member(job.id, case, job.plan, job.id in changed, job.spec.after))
    return found


def _fits_with_pauses(ctx: Context, job: Job, now: datetime) -> bool:
    """Whether it is planned with pauses in which it keeps its slots, and these are free for it."""
    if job.plan is None or not job.spec.stops or len(job.plan.ahead) < 2:
        return False
    return not queue.is_full(ctx, Promised.now(ctx), ctx.store.reservations.of([job.id]), now)


def _after_started(ctx: Context, spec: JobSpec, waiting: set[str], now: datetime) -> JobSpec:
    """Released when those before it that no longer wait have ended; the plan orders the rest."""
    begun = tuple(job_id for job_id in spec.after if job_id not in waiting)
    ready = dependencies.ready_at(ctx, spec.model_copy(update={"after": begun}), now)
    return spec.model_copy(update={"release": ready})


def _make(
    ctx: Context,
    spec: JobSpec,
    field: Field,
    now: datetime,
    previous: Plan | None = None,
    done: Spans = (),
) -> Plan:
    settings = ctx.config.settings
    made = planning.make(
        spec,
        field,
        now,
        previous,
        done=done,
        currency=settings.currency,
        hysteresis_percent=settings.hysteresis,
    )
    return _with_outage_policy(ctx, spec, field, made, now)


def _case(
    ctx: Context,
    spec: JobSpec,
    field: Field,
    now: datetime,
    previous: Plan | None = None,
    done: Spans = (),
) -> Case:
    currency = ctx.config.settings.currency
    return planning.prepare(spec, field, now, previous, done=done, currency=currency)


def _stale(ctx: Context, job: Job, field: Field, ready: datetime, now: datetime) -> bool:
    assert job.plan is not None
    rows = {o.known.row_id for o in (*field.candidates, field.home)} - {None}
    missed = now - job.plan.start > timedelta(seconds=MISSED * ctx.config.settings.tick)
    told_anew = not rows <= set(job.plan.forecast_ids)
    gone = not _runs_jobs(ctx, job.plan.window.region)
    return missed or told_anew or gone or dependencies.changed(ctx, job, ready)


def _moved(old: Plan, new: Plan, now: datetime) -> bool:
    """Whether a new plan is worth a line in the story: one that is still due says it rarely."""
    same_place = old.window.region == new.window.region
    if same_place and old.start <= now and new.start <= now:
        return abs(now - old.made_at) > STILL_DUE
    same_start = old.ahead == new.ahead
    return not (same_place and same_start) or old.forecast_ids != new.forecast_ids


def _with_outage_policy(
    ctx: Context, spec: JobSpec, field: Field, made: Plan, now: datetime
) -> Plan:
    """Without a forecast for any window: hold until the latest safe start where the policy says so.

    A forecast that is known stays the plan's, whatever else (the job's power) is unknown.
    """
    known = [o.known for o in field.candidates]
    silent = any(k.outage or k.series is not None for k in known)
    if (
        ctx.config.settings.outage.policy != "hold"
        or made.window.g_per_kwh is not None
        or not silent
    ):
        return made
    latest = spec.latest_start
    if latest is None or latest <= made.window.start or made.window.end is None:
        return made
    shift = latest - made.window.start
    return planning.moved(
        made,
        shift,
        f"no forecast covers a window: held until the latest safe start (outage.policy: hold); "
        f"{reasons.unknown(spec, field)}",
    )


def _earliest(ctx: Context, spec: JobSpec, now: datetime, why: str) -> Plan:
    """A plan that needs no data: the earliest time in the first region that can run the job."""
    field = field_of(ctx, spec, now, to_run=True, sight=Blind(why))
    return planning.make(spec, field, now)
