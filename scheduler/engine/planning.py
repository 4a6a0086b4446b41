"""From what is known to a plan: request, places, decision, and the reason in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.series import from_unix
from scheduler.engine import places, power, reasons
from scheduler.models import Plan, Window
from scheduler.planner import bases, choice, window
from scheduler.planner.segments import INSTANT_S

if TYPE_CHECKING:
    from datetime import datetime

    from providers.base import Triple
    from scheduler.engine.places import Field, Option
    from scheduler.models import Basis, JobSpec, Power
    from scheduler.planner.choice import Choice, Decision, Place, Request, Rule
    from scheduler.planner.segments import Spans


@dataclass(frozen=True, slots=True)
class Case:
    """One job as the planner is asked about it: everything weighed, nothing decided."""

    spec: JobSpec
    field: Field
    power: Power
    request: Request
    places: tuple[Place, ...]
    basis: Basis
    run_now: Window
    late: bool
    now: datetime
    done: Spans = ()
    currency: str = ""


def make(
    spec: JobSpec,
    field: Field,
    now: datetime,
    previous: Plan | None = None,
    *,
    done: Spans = (),
    currency: str = "",
    hysteresis_percent: float = 0.0,
) -> Plan:
    """Plan one job on what is known; never asks anybody.

    ``spec`` is what is left of a job that was done in part over ``done``. With no series, or a
    hole in every possible window, the job starts at its earliest time and every gram is None,
    named with its reason. A ``previous`` plan is kept where moving saves less than
    ``hysteresis_percent`` of a start at release.
    """
    expected = power.expected(spec)
    if spec.duration_s is None:
        return _without_duration(spec, field, max(spec.release, now), now, expected)
    case = prepare(spec, field, now, previous, done=done, currency=currency)
    decision = window.decide(case.places, case.request, case.basis)
    if previous is not None:
        decision = _kept(case, decision, previous, hysteresis_percent)
    return plan_of(case, decision)


def prepare(
    spec: JobSpec,
    field: Field,
    now: datetime,
    previous: Plan | None = None,
    *,
    done: Spans = (),
    currency: str = "",
) -> Case:
    """Weigh what is asked; the job has a duration."""
    expected = power.expected(spec)
    earliest = max(spec.release, now)
    bound = spec.latest_start or earliest
    latest = max(bound, earliest)
    # Without power grams are not known, and seconds of hardware cannot be weighed against them.
    basis = field.basis if expected.watts is not None else "operational"
    able = places.affordable(spec, field.candidates, expected.watts, currency)
    field = replace(field, candidates=able)
    stopped = bool(done) and spec.stops
    asked = places.request(
        spec, earliest.timestamp(), latest.timestamp(), expected.watts, stopped=stopped
    )
    run_now = _run_now(spec, field, asked, basis, previous)
    known = field.home.known
    outage = known.outage or known.series is not None  # too short a forecast is one, too
    asked, tolls = places.weigh(spec, asked, field.candidates, run_now, outage=outage)
    weighed = tuple(
        places.place(spec, o, field, basis, tolls.get(o.region.name, 0.0)) for o in field.candidates
    )
    kept = bases.comparable(weighed, asked, basis)
    if len(kept) < len(weighed):
        apart = tuple(o for i, o in enumerate(field.candidates) if i not in kept)
        field = replace(field, candidates=tuple(field.candidates[i] for i in kept), apart=apart)
        weighed = tuple(weighed[i] for i in kept)
    late = earliest > bound
    return Case(spec, field, expected, asked, weighed, basis, run_now, late, now, done, currency)


def together(case: Case, region: str, spans: Spans) -> Plan | None:
    """The plan where the whole queue was planned at once; None where nothing is known there."""
    place = next(p for p in case.places if p.region == region)
    chosen = choice.price(place, spans, case.request, case.basis)
    if chosen is None:
        return None
    own = window.decide(case.places, case.request, case.basis)
    rule: Rule = "lowest" if own.chosen == chosen else "together"
    return plan_of(case, replace(own, chosen=chosen, rule=rule))


def plan_of(case: Case, decision: Decision) -> Plan:
    """The decision with everything that people and the store want to know of it."""
    spec, field = case.spec, case.field
    nulls = reasons.nulls_of(spec, field, case.power, decision.chosen is not None, case.run_now)
    if decision.chosen is None:
        region = field.candidates[0].region
        start = from_unix(case.request.earliest_s)
        chosen = Window(
            region.name,
            start,
            start + timedelta(seconds=case.request.duration_s),
            None,
            None,
            dispatchable=region.executor is not None,
        )
        source = issued = signal = used = None
    else:
        option = next(o for o in field.candidates if o.region.name == decision.chosen.region)
        chosen = window_of(case, decision.chosen, option)
        assert option.known.series is not None  # the planner chose it
        series = option.known.series.clip(decision.chosen.start_s, decision.chosen.end_s)
        source, issued, signal = series.source, series.issued_at, series.signal
        used = option.known.row_id
        if not chosen.calibrated:
            nulls["band_percent"] = reasons.not_calibrated(series)
    if case.done and chosen.grams is None and case.power.watts is not None:
        nulls.setdefault("expected_g", "no forecast is left of the time before its pause")
        nulls.setdefault("saving_percent", nulls["expected_g"])
    if case.run_now.other_accounting(chosen):
        nulls.setdefault("saving_percent", case.run_now.other_accounting(chosen))
    rows = {o.known.row_id for o in (*field.candidates, *field.apart, field.home)} - {None}
    return Plan(
        made_at=case.now,
        window=chosen,
        run_now=case.run_now,
        basis=case.basis,
        signal=signal,
        power=case.power,
        forecast_source=source,
        forecast_issued_at=issued,
        latest_safe_start=spec.latest_start,
        reason=reasons.reason(spec, field, decision, chosen, case.late),
        alternatives=() if case.done else _alternatives(case, decision, chosen),
        nulls=nulls,
        forecast_ids=tuple(sorted(r for r in rows if r is not None)),
        forecast_id=used,
        duration_source=spec.duration_source,
        goes_on_at=from_unix(_begins(case, decision)) if case.done else None,
        currency=case.currency,
    )


def _begins(case: Case, decision: Decision) -> float:
    return case.request.earliest_s if decision.chosen is None else decision.chosen.start_s


def moved(plan: Plan, shift: timedelta, reason: str) -> Plan:
    """The same plan, in one piece, later by ``shift``, for the stated reason."""
    end = plan.window.end
    window = replace(
        plan.window,
        start=plan.window.start + shift,
        end=None if end is None else end + shift,
        segments=(),
    )
    return replace(plan, window=window, reason=reason)


def _kept(case: Case, decision: Decision, previous: Plan, percent: float) -> Decision:
    """The decision, or the window that the job had, where moving it is not worth it."""
    held = previous.window
    place = next((p for p in case.places if p.region == held.region), None)
    if decision.chosen is None or place is None or held.end is None:
        return decision
    spans = tuple((a.timestamp(), b.timestamp()) for a, b in previous.ahead if b is not None)
    fits = case.request.earliest_s <= spans[0][0] and spans[-1][1] <= case.request.deadline_s
    run_s = sum(b - a for a, b in spans)
    reload_s = case.request.pausing.resume_s if case.request.pausing is not None else 0.0
    fits = fits and run_s >= case.request.duration_s + reload_s * (len(spans) - 1) - INSTANT_S
    kept = choice.price(place, spans, case.request, case.basis) if fits else None
    # To end earlier at no more carbon is always worth it.
    if kept is None or decision.chosen.end_s <= kept.end_s:
        return decision
    unit = decision.at_release.score if decision.at_release is not None else kept.score
    if kept.score - decision.chosen.score >= unit * percent / 100:
        return decision
    return replace(decision, chosen=kept, rule="kept")


def window_of(case: Case, chosen: Choice, option: Option) -> Window:
    """A choice as people see it, with what was done before and what it costs."""
    if case.done and chosen.region == case.spec.regions[0]:
        chosen = _whole(case, chosen)
    segments = tuple((from_unix(a), from_unix(b)) for a, b in chosen.spans)
    run_s = sum(b - a for a, b in chosen.spans)
    return Window(
        option.region.name,
        segments[0][0],
        segments[-1][1],
        chosen.grams,
        chosen.g_per_kwh,
        dispatchable=option.region.executor is not None,
        segments=segments if len(segments) > 1 else (),
        cost=places.cost(case.spec, option.region, run_s, case.power.watts),
        told="" if option.known.series is None else option.known.series.accounting,
        calibrated=chosen.calibrated,
    )


def _whole(case: Case, chosen: Choice) -> Choice:
    """The choice with what was done before it; grams only where a forecast of that is left."""
    place = next(p for p in case.places if p.region == chosen.region)
    spans = (*case.done, *chosen.spans)
    found = choice.price(place, spans, case.request, case.basis)
    return found or replace(chosen, spans=spans, grams=None, calibrated=False)


def _run_now(
    spec: JobSpec, field: Field, request: Request, basis: Basis, previous: Plan | None
) -> Window:
    """Start at release in the home region; a later plan keeps what the first one expected."""
    if previous is not None and previous.run_now.grams is not None and previous.basis == basis:
        return previous.run_now
    region, start = field.home.region, spec.release
    end = start + timedelta(seconds=request.duration_s)
    place = places.place(spec, field.home, field, basis)
    # Nothing is picked here: the errors of a start that could be put off are not its errors.
    at_once = replace(request, latest_s=request.earliest_s)
    found = window.at(place, start.timestamp(), at_once, basis)
    cost = places.cost(spec, region, request.duration_s, request.power_w)
    able = region.executor is not None
    if found is None or place.series is None:
        return Window(region.name, start, end, None, None, cost=cost)
    return Window(
        region.name,
        start,
        end,
        found.grams,
        found.g_per_kwh,
        able,
        cost=cost,
        told=place.series.accounting,
        calibrated=found.calibrated,
    )


def _alternatives(case: Case, decision: Decision, chosen: Window) -> tuple[Window, ...]:
    field = case.field
    listed = (*field.compared, *field.apart)
    compared = [places.place(case.spec, o, field, case.basis) for o in listed]
    others = window.decide(compared, replace(case.request, pausing=None))
    pairs = (
        *zip(decision.per_place, field.candidates, strict=True),
        *zip(others.per_place, listed, strict=True),
    )
    found = [
        window_of(case, one, option)
        for one, option in pairs
        if one is not None and option.region.name != chosen.region
    ]

    def rank(w: Window) -> tuple[bool, float, datetime, str]:
        figure: Triple | None = w.grams or w.g_per_kwh
        return (w.grams is None, figure.value if figure else 0.0, w.start, w.region)

    return tuple(sorted(found, key=rank))


def _without_duration(
    spec: JobSpec, field: Field, earliest: datetime, now: datetime, power: Power
) -> Plan:
    region, reason = field.candidates[0].region, "no duration was given"
    return Plan(
        made_at=now,
        window=Window(region.name, earliest, None, None, None),
        run_now=Window(field.home.region.name, spec.release, None, None, None),
        basis="operational",
        signal=None,
        power=power,
        forecast_source=None,
        forecast_issued_at=None,
        latest_safe_start=spec.latest_start,
        reason="no duration was given, so nothing is shifted: it starts at its earliest time",
        nulls=dict.fromkeys(
            (
                "end",
                "expected_g",
                "run_now_g",
                "saving_percent",
                "signal",
                "forecast.source",
                "forecast.issued_at",
                "latest_safe_start",
                "power.value_w",
            ),
            reason,
        ),
        forecast_ids=tuple(r for r in {o.known.row_id for o in field.candidates} if r is not None),
    )
