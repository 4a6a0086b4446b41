"""How good forecasts and plans were, from what was stored of them and what really happened."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.base import Triple
from providers.errors import LowtideError
from scheduler.engine import places
from scheduler.engine.field import field_of
from scheduler.engine.outlook import Known
from scheduler.engine.places import Option
from scheduler.engine.sources import SOURCE
from scheduler.errors import StoreError
from scheduler.models import JobState
from scheduler.planner import choice, window
from scheduler.scores import LeadScore, PlanScore, SourceScore

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from providers.series import Series
    from scheduler.engine.context import Context
    from scheduler.models import Job
    from scheduler.regions import Region

HOUR_S = 3600.0
# Bounds of the lead times (h) by which forecasts are judged: the first hours, then days.
LEADS_H = (0, 6, 24, 48, 72, 96, 120, 168)
# A plan is left out where nothing could have been gained: under 0.1 % of a start at release.
LEAST_GAIN = 0.001
# Of one kilowatt an hour is a kilowatt-hour: scores are g/kWh, PUE included.
ONE_KW = Triple.exact(1000.0)
# Sources are compared over four weeks, once a day.
LATELY, DAY, BEAT = timedelta(days=28), timedelta(days=1), "accuracy"


def of_sources(ctx: Context, since: datetime, now: datetime) -> list[SourceScore]:
    """Every source's forecasts received since then, against stored actuals.

    A forecast is judged from when it was received, however old it says to be.
    """
    sums: dict[tuple[str, str], _Sums] = defaultdict(_Sums)
    actuals: dict[tuple[str, str], list[Series]] = {}
    received = ctx.store.forecasts.received(since.timestamp(), now.timestamp(), chains=SOURCE)
    for _, chain, told, known_at in received:
        key = (chain.removeprefix(SOURCE), told.zone)
        if key not in actuals:
            actuals[key] = _actuals(ctx, *key, since, now)
        basis = (told.signal, told.factors, told.flow)
        same = (a for a in actuals[key] if (a.signal, a.factors, a.flow) == basis)
        actual = next(same, None)
        if actual is not None:
            sums[key].add(told, known_at.timestamp(), actual)
    return [
        SourceScore(source, zone, found.issues, found.scores())
        for (source, zone), found in sorted(sums.items())
        if found.scores()
    ]


def judge(ctx: Context, now: datetime) -> None:
    """Once a day, note how good each source was lately, where the chain is ordered by that."""
    last = ctx.store.beats.last(BEAT)
    judged = last is not None and timedelta() <= now - last < DAY
    if ctx.config.settings.order == "stated" or judged:
        return
    for score in of_sources(ctx, now - LATELY, now):
        day = [lead for lead in score.leads if lead.to_h <= 24 and lead.mape_percent is not None]
        hours = sum(lead.hours for lead in day)
        if hours:
            mape = sum(lead.hours * (lead.mape_percent or 0.0) for lead in day) / hours
            ctx.store.accuracies.remember(score.zone, score.source, mape, hours, now)
    ctx.store.beats.beat(BEAT, now)


def of_plans(ctx: Context, since: datetime, now: datetime) -> PlanScore:
    """The plans of jobs that ended since then, against a start at release and the best one."""
    totals, left_out = np.zeros(3), defaultdict[str, int](int)
    jobs = 0
    ended = {s for s in JobState if s.ended}
    for job in ctx.store.jobs.find(ended, since=since):
        try:
            row, why = _judged(ctx, job, now)
        except StoreError:
            raise
        except LowtideError as e:
            row, why = None, str(e)
        if row is None:
            left_out[why] += 1
        else:
            totals += row
            jobs += 1
    if not jobs:
        return PlanScore(0, None, None, None, None, dict(left_out))
    run_now, planned, perfect = (totals / jobs).tolist()
    gain, captured = run_now - perfect, None
    if gain >= LEAST_GAIN * run_now and gain > 0:
        captured = 100 * (run_now - planned) / gain
    return PlanScore(jobs, captured, run_now, planned, perfect, dict(left_out))


class _Sums:
    """Weighted sums of errors by lead time."""

    def __init__(self) -> None:
        self.issues = 0
        self._hour: float | None = None
        # Rows: hours, hours with an actual above zero, relative errors, errors, zeros.
        self._sums = np.zeros((5, len(LEADS_H) - 1))

    def add(self, told: Series, known_s: float, actual: Series) -> None:
        """Count one forecast, known since ``known_s`` (Unix seconds).

        A second one within the hour says little new and is left out.
        """
        if self._hour == known_s // HOUR_S:
            return
        ahead = told.clip(known_s, float(told.ends[-1]))
        edges = (ahead.starts, ahead.ends)
        width = ahead.ends - ahead.starts
        covered = np.subtract(*(actual.covered(e) for e in reversed(edges)))
        known = covered >= width * (1 - 1e-9)
        if not known.any():
            return
        self._hour, self.issues = known_s // HOUR_S, self.issues + 1
        area = np.subtract(*(actual.integral(e) for e in reversed(edges)))
        was, said = area[known] / width[known], ahead.g_per_kwh[known]
        hours = width[known] / HOUR_S
        lead = (ahead.starts[known] - known_s) / HOUR_S
        above = was > 0
        relative = np.abs(said - was) / np.where(above, was, 1.0)
        rows = (hours, hours * above, hours * relative * above, hours * (said - was), ~above)
        for i, row in enumerate(rows):
            self._sums[i] += np.histogram(lead, LEADS_H, weights=row.astype(np.float64))[0]

    def scores(self) -> tuple[LeadScore, ...]:
        """What was found, for lead times of which anything was."""
        return tuple(
            LeadScore(
                from_h=LEADS_H[i],
                to_h=LEADS_H[i + 1],
                hours=float(hours),
                mape_percent=float(100 * relative / above) if above > 0 else None,
                bias_g_per_kwh=float(bias / hours),
                zeros=int(zeros),
            )
            for i, (hours, above, relative, bias, zeros) in enumerate(self._sums.T)
            if hours > 0
        )


def _actuals(ctx: Context, source: str, zone: str, since: datetime, now: datetime) -> list[Series]:
    """Stored actuals of a zone, those of the source itself first."""
    names = [s.source for s in ctx.store.actuals.stored(zone)]
    names.sort(key=lambda name: name != source)
    spans = since.timestamp(), now.timestamp()
    found = (ctx.store.actuals.known(zone, name, *spans) for name in names)
    return [series for series in found if series is not None]


class _Hindsight:
    """What really was, in place of what was known."""

    def __init__(self, ctx: Context, start: datetime, end: datetime, now: datetime) -> None:
        self._ctx, self._span, self._now = ctx, (start, end), now

    def option(self, region: Region, *, remember: bool, quiet: bool = False) -> Option:
        found = self._ctx.outlook.realized(region, *self._span, self._now)
        actual = found.series is not None and found.series.kind == "actual"
        return Option(region, Known(found.series if actual else None, found.reason))


def _judged(ctx: Context, job: Job, now: datetime) -> tuple[NDArray[np.float64] | None, str]:
    """Scores of a start at release, the plan, and the best there was; or why there are none."""
    plan, spec = job.plan, job.spec
    if plan is None or plan.window.g_per_kwh is None or spec.duration_s is None:
        return None, "planned without a forecast"
    release = plan.run_now.start
    spec = spec.model_copy(update={"release": release})
    last = plan.last_moment
    if last is None or last > now:
        return None, "its slack has not passed yet"
    sight = _Hindsight(ctx, release, last, now)
    field = field_of(ctx, spec, release, to_run=True, sight=sight)
    # Of a late job the latest safe start had passed when it was released.
    latest = max(spec.latest_start or release, release)
    asked = places.request(spec, release.timestamp(), latest.timestamp(), ONE_KW)
    asked = replace(asked, carbon_share=1.0, min_saving_percent=0.0, cautious=False)
    able = [places.place(spec, o, field, "operational") for o in field.candidates]
    home = places.place(spec, field.home, field, "operational")
    there = next((p for p in able if p.region == plan.window.region), None)
    spans = tuple((a.timestamp(), b.timestamp()) for a, b in plan.window.spans if b is not None)
    planned = None if there is None else choice.price(there, spans, asked, "operational")
    run_now = window.at(home, release.timestamp(), asked, "operational")
    perfect = window.decide(able, asked, "operational").chosen
    if planned is None or run_now is None or perfect is None:
        return None, "actual intensity is not known over all its slack"
    kwh = asked.duration_s / HOUR_S
    return np.array([run_now.score, planned.score, perfect.score]) / kwh, ""
