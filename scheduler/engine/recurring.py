"""Jobs that repeat: a series makes ordinary jobs, each as soon as the one before has ended."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.errors import LowtideError
from scheduler import cron, quantities, zones
from scheduler.engine import dispatch, submission
from scheduler.engine.context import alone
from scheduler.errors import UsageError
from scheduler.models import Recurrence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.engine.request import Request
    from scheduler.models import Damaged, Job, JobSpec

# Ids of jobs are hexadecimal: one letter keeps those of series apart.
PREFIX = "r"
# Each occurrence has its own times, and its predecessor is the one before.
EXCLUDED = ("deadline", "start_by", "earliest", "after")
_INSTANT = timedelta(microseconds=1)
WITHOUT_WITHIN = (
    "--every needs --within: how long after each occurrence the job may end, e.g. --within 6h"
)
# A clock that is set back by less than a pass of cron takes (a minute) loses no more than that:
# what would be made again after such a small step may just have run.
_STEP = timedelta(minutes=1)


def is_series(job_id: str) -> bool:
    """Whether an id that a user wrote is that of a series."""
    return job_id.startswith(PREFIX)


def begin(
    ctx: Context,
    request: Request,
    template: JobSpec,
    environ: Mapping[str, str],
    now: datetime,
) -> tuple[Recurrence, JobSpec]:
    """The series that ``request`` asks for, past its first occurrence, and its first job."""
    for name in EXCLUDED:
        if getattr(request, name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} with --every: each occurrence has its own; use --within")
    if request.within is None:
        raise UsageError("; ".join(filter(None, (_fault(request.every), WITHOUT_WITHIN))))
    within_s = submission.parsed("--within", request.within, quantities.duration_s)
    if template.duration_s is not None and within_s < template.duration_s:
        runs = quantities.duration(template.duration_s)
        raise UsageError(
            f"--within {request.within} is shorter than the job ({runs}): give it at least "
            "--duration"
        )
    rule = submission.parsed("--every", request.every, cron.parse)
    tz = submission.parsed("--tz", request.tz, zones.checked)
    tz = tz or ctx.config.settings.timezone or zones.of_system(environ)
    first = cron.next_after(rule, tz, now)
    series = Recurrence(
        id=PREFIX + secrets.token_hex(4),
        template=template,
        every=rule.text,
        tz=tz,
        within_s=within_s,
        next=cron.next_after(rule, tz, first),
    )
    return series, occurrence(series, first, now)


def _fault(rule: str | None) -> str:
    """What is wrong with a rule, empty where nothing is: both faults are said at once."""
    try:
        cron.parse(rule or "")
    except ValueError as e:
        return f"--every: {e}"
    return ""


def occurrence(series: Recurrence, at: datetime, now: datetime) -> JobSpec:
    """The job of the occurrence ``at``."""
    return series.template.model_copy(
        update={
            "submitted_at": now,
            "release": at,
            "deadline": at + timedelta(seconds=series.within_s),
            "deadline_assumed": False,
            "recurrence": series.id,
        }
    )


def instances(ctx: Context) -> dict[str, Job]:
    """Jobs of series that have not ended, by the id of their series."""
    return ctx.store.waiting.of_series()


def spawn(ctx: Context, now: datetime) -> None:
    """Make the next job of every active series whose last one has ended."""
    active = ctx.store.recurrences.active()
    # Read after the series: one that was submitted in between is not yet seen above.
    living = instances(ctx) if active else {}
    for series in active:
        origin = series.template.origin or ctx.here.origin
        here = ctx.here.has_folders(origin) and origin.host == ctx.here.origin.host
        if not here:
            continue
        with alone(ctx, series.id, now):
            job = living.get(series.id)
            again = _set_back(ctx, series, job, now)
            if job is None or (again is not None and _withdraw(ctx, job, now)):
                _make_next(ctx, series, again or _newest(series, now), now)


def _set_back(ctx: Context, series: Recurrence, job: Job | None, now: datetime) -> datetime | None:
    """The occurrence to go on from where the clock was set back since the last job was made.

    ``job`` is that one, where it has not ended. None where all is as it should be.
    """
    if job is not None and (job.holds or job.spec.submitted_at - now < _STEP):
        return None
    soonest = cron.next_after(cron.parse(series.every), series.tz, now)
    if job is not None:
        return soonest if job.spec.release > soonest else None
    if series.next <= soonest:
        return None
    made_at = ctx.store.recurrences.last_made(series.id)
    return soonest if made_at is not None and made_at - now >= _STEP else None


def _withdraw(ctx: Context, job: Job, now: datetime) -> bool:
    """Cancel a job that was made ahead of its time; False where its engine has to be asked to."""
    said = f"made {quantities.duration((job.spec.submitted_at - now).total_seconds())} ahead"
    ctx.store.jobs.tell(job.id, now, "clock", f"{said}, on a clock that has been set back since")
    if dispatch.cancel_waiting(ctx, job, now):
        return True
    ctx.store.jobs.request_cancel(job.id, now, "the series goes on with an earlier occurrence")
    return False


def _make_next(ctx: Context, series: Recurrence, at: datetime, now: datetime) -> None:
    following = cron.next_after(cron.parse(series.every), series.tz, at)
    job_id = secrets.token_hex(4)
    with ctx.runs.submitting([job_id]):
        _make(ctx, series, at, following, job_id, now)


def _make(
    ctx: Context,
    series: Recurrence,
    at: datetime,
    following: datetime,
    job_id: str,
    now: datetime,
) -> None:
    try:
        ctx.runs.copy_environment(series.id, job_id)
    except (LowtideError, OSError) as e:
        ctx.store.jobs.tell(series.id, now, "trouble", f"its environment cannot be copied: {e}")
        return
    spec = occurrence(series, at, now)
    # Its story goes in with the job: whoever is killed in between has left nothing out unsaid.
    with ctx.store.together():
        made = ctx.store.recurrences.advance(series, following, job_id, spec, now)
        if made:
            _tell_of_gap(ctx, series, at, job_id, now)
    if not made:
        ctx.runs.forget_environment(job_id)


def _tell_of_gap(
    ctx: Context, series: Recurrence, at: datetime, job_id: str, now: datetime
) -> None:
    """Say what was left out where the job is not that of the next occurrence."""
    if at > series.next:
        said = f"occurrences from {submission.iso(series.next)} on, up to this one"
        ctx.store.jobs.tell(job_id, now, "skipped", said)
    elif at < series.next:
        said = f"the clock was set back: the series goes on from {submission.iso(at)}"
        for each in (job_id, series.id):
            ctx.store.jobs.tell(
                each, now, "clock", f"{said}, not from {submission.iso(series.next)}"
            )


def _newest(series: Recurrence, now: datetime) -> datetime:
    """The newest due occurrence that can still end in time, else the next one to come."""
    rule = cron.parse(series.every)
    spare_s = series.within_s - (series.template.duration_s or 0.0)
    oldest = now - timedelta(seconds=spare_s)
    at = series.next
    if at < oldest:
        at = cron.next_after(rule, series.tz, oldest - _INSTANT)
    while (later := cron.next_after(rule, series.tz, at)) <= now:
        at = later
    return at


def stop(ctx: Context, prefix: str, now: datetime) -> Recurrence | Damaged:
    """Make no more jobs of a series; those that it made are left as they are."""
    series = ctx.store.recurrences.get(prefix)
    ctx.store.recurrences.stop(series.id, now)
    ctx.runs.forget_environment(series.id)
    return series
