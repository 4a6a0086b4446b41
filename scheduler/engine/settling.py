"""After the run: energy from the journals, intensity from the sources, one settlement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner.journal import read_journal, read_pauses
from providers.runner.units import Written, read_units
from providers.series import from_unix
from scheduler import sci
from scheduler.engine import dependencies
from scheduler.engine.context import alone
from scheduler.engine.endings import exit_status
from scheduler.engine.expectation import expectation
from scheduler.engine.first_come import FirstCome
from scheduler.engine.outlook import Realized
from scheduler.engine.reap import BATCH
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.report.versions import difference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.engine.outlook import Outlook
    from scheduler.models import Attempt, Job, Settlement
    from scheduler.planner.first_come import Served
    from scheduler.regions import Region

NOT_PLANNED = "it was not planned, so there is nothing that it is compared with"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Where a job would have run without lowtide, and when: started at release, or in a queue.

    ``first_come``: with all jobs of its home served in order of release on the slots there, or
    why that is not known.
    """

    home: Region
    release: datetime
    first_come: Served | str


def settle(ctx: Context, now: datetime) -> None:
    """Settle every ended job that has no final settlement; an unchanged one adds no version."""
    owed = ctx.store.settlements.owed(now, ctx.config.settings.refresh)
    queues = FirstCome(ctx, now)
    for first in range(0, len(owed), BATCH):
        made = []
        for job_id in owed[first : first + BATCH]:
            with alone(ctx, job_id, now):
                # Who ended it may have been killed before this.
                ctx.runs.forget_environment(job_id)
                made.append((job_id, compute(ctx, ctx.store.jobs.get(job_id), now, queues=queues)))
        with ctx.store.together():
            for job_id, settlement in made:
                if settlement is not None:
                    with alone(ctx, job_id, now):
                        _keep(ctx, job_id, settlement, now)


def _keep(ctx: Context, job_id: str, settlement: Settlement, now: datetime) -> None:
    before = ctx.store.settlements.latest(job_id)
    made = ctx.store.settlements.add(job_id, settlement, now)
    if made is not None and before is not None:
        changed = difference(before, settlement)
        said = f"version {made.number}, {settlement.status}: {changed}"
        ctx.store.jobs.tell(job_id, now, "settled", said)


def _records(job: Job, attempts: Sequence[Attempt]) -> list[sci.AttemptRecord]:
    found: list[sci.AttemptRecord] = []
    reload_s = job.spec.pausable.resume_s if job.spec.pausable is not None else 0.0
    resumed = False
    for a in attempts:
        if a.started_at is not None:
            found.append(
                sci.AttemptRecord(
                    started_at=a.started_at,
                    ended_at=a.ended_at,
                    exit_code=exit_status(a),
                    journal=read_journal(Path(a.run_dir)),
                    stops=read_pauses(Path(a.run_dir)),
                    reload_s=reload_s,
                    resumed=resumed,
                )
            )
        resumed = resumed or a.outcome == str(JobState.PAUSED)
    return found


def compute(
    ctx: Context,
    job: Job,
    now: datetime,
    attempts: Sequence[Attempt] | None = None,
    *,
    queues: FirstCome | None = None,
) -> Settlement | None:
    """What the job has really cost so far; None for a job that never started, or whose run
    folders are not to be read from here. ``attempts``: else as they are stored; ``queues``: of the
    pass, so that each is computed once.

    Provisional while it runs, while a source with actuals still owes some, and while a Boavizta
    server that should tell of its machine does not answer.
    """
    attempts = ctx.store.jobs.attempts(job.id) if attempts is None else attempts
    attempts = [a for a in attempts if a.started_at is not None]
    if not attempts or not ctx.here.has_folders(job.spec.origin):
        return None
    place = attempts[-1].region
    under, records = ctx.settling(job, place), _records(job, attempts)
    release = dependencies.ready_at(ctx, job.spec, now)
    served = (queues or FirstCome(ctx, now)).start(job, release)
    return settle_run(
        under.outlook,
        job,
        under.regions[place],
        records,
        read_units(ctx.runs.units(job.id)),
        now,
        baseline=Baseline(under.regions[job.spec.home], release, served),
        expected=expectation(under, job, attempts),
        within=_outer(ctx, job, records),
    )


def _outer(ctx: Context, job: Job, records: Sequence[sci.AttemptRecord]) -> str | None:
    """The job of this queue that all attempts ran within, and whose energy holds theirs. Boards are
    metered in the job that they were given to alone.
    """
    outer = sci.outer_of(record.journal for record in records)
    if outer is None or job.spec.gpus:
        return None
    try:
        return ctx.store.jobs.get(outer).id
    except UsageError:
        return None  # metered without a queue, or by another one


def settle_run(
    outlook: Outlook,
    job: Job,
    region: Region,
    records: Sequence[sci.AttemptRecord],
    work: Written,
    now: datetime,
    *,
    baseline: Baseline | None,
    expected: sci.Expectation | str = NOT_PLANNED,
    no_zone: str = "",
    within: str | None = None,
) -> Settlement:
    """What the runs of one job in ``region`` have cost; ``records`` is not empty.

    ``baseline`` is where and when it would have run without lowtide; None where nothing was
    planned, and nothing can have been saved. ``work`` is what the job counted, line by line,
    ``expected`` what its plan counted with, or why that is not known. ``no_zone`` is what to do
    about a region without a grid zone, where that is more than the config's affair. ``within`` is
    the job whose energy holds that of this one.
    """
    start = records[0].started_at
    end = max(record.ended_at or now for record in records)
    # A run may end while a pass is under way: what is asked is asked no earlier than that.
    now = max(now, end)
    here = outlook.realized(region, start, end, now)
    first_come: sci.Start | str = NOT_PLANNED
    if baseline is None:
        home, release = region, start
        there = queued = Realized(None, NOT_PLANNED)
    else:
        home, release = baseline.home, baseline.release
        there = outlook.realized(home, release, release + (end - start), now)
        served, queued = baseline.first_come, there
        if isinstance(served, str):
            first_come = served
        else:
            at = from_unix(served.start_s)
            if at != release:
                queued = outlook.realized(home, at, at + (end - start), now)
            first_come = sci.Start(at, queued.series, queued.reason, not served.known)
    home_site = home.site
    if job.plan is not None and job.plan.basis == "operational":
        # The saving stands on the basis of the plan, so that both can be compared.
        home_site = replace(home_site, hardware=None)
    owed = region.machine.for_now or here.provisional or there.provisional or queued.provisional
    return sci.settle(
        attempts=records,
        site=region.site,
        home=home_site,
        release=release,
        intensity=here.series,
        home_intensity=there.series,
        provisional=owed or not job.state.ended,
        slots=job.spec.slots,
        gpus=job.spec.gpus,
        unit=job.spec.unit,
        work=sci.count(work.lines, work.part),
        no_intensity_reason=no_zone if no_zone and region.zone is None else here.reason,
        no_baseline_reason=there.reason,
        expected=expected,
        first_come=first_come,
        step_s=here.step_s,
        unit_rationale=job.spec.unit_rationale or "",
        notes=tuple(dict.fromkeys((*here.notes, *there.notes))),
        within=within,
    )
