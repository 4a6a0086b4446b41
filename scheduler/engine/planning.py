"""From what is known to a plan: candidates, power, embodied carbon, and the reason in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from providers.errors import NoData
from providers.series import from_unix
from scheduler import sci
from scheduler.engine import power as powers
from scheduler.models import GIVEN, Plan, Window
from scheduler.planner import window as planner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Triple
    from scheduler.engine.outlook import Known
    from scheduler.models import Basis, JobSpec, Power
    from scheduler.regions import Region


@dataclass(frozen=True, slots=True)
class Option:
    """A region with what is known of it."""

    region: Region
    known: Known


@dataclass(frozen=True, slots=True)
class Field:
    """Who takes part in a plan: who may be chosen, who is only compared, and the home."""

    candidates: tuple[Option, ...]
    compared: tuple[Option, ...]
    home: Option


def make(spec: JobSpec, field: Field, now: datetime, previous: Plan | None = None) -> Plan:
    """Plan one job on what is known; never asks anybody.

    With no usable series the job starts at its earliest time and every gram is None, named
    with its reason. Raises :class:`providers.errors.NoData` where series are there, but a
    hole lies in every possible window.
    """
    power = powers.expected(spec)
    earliest = max(spec.release, now)
    if spec.duration_s is None:
        return _without_duration(spec, field, earliest, now, power)
    bound = spec.latest_start or earliest
    latest = max(bound, earliest)
    request = planner.Request(
        duration_s=spec.duration_s,
        earliest_s=earliest.timestamp(),
        latest_s=latest.timestamp(),
        power_w=power.watts,
        min_saving_percent=spec.min_saving_percent,
    )
    everyone = (*field.candidates, field.home, *field.compared)
    basis = _basis(everyone)
    places = [_place(spec, o, basis) for o in field.candidates]
    decision = planner.decide(places, request)
    run_now = _run_now(spec, field.home, request, basis, previous)
    nulls = _nulls(field, power, decision.chosen is not None, run_now)
    if decision.chosen is None:
        _refuse_holes(spec, field)
        region = field.candidates[0].region
        chosen = Window(
            region.name,
            earliest,
            earliest + timedelta(seconds=spec.duration_s),
            None,
            None,
            dispatchable=region.executor is not None,
        )
        source = issued = signal = None
    else:
        option = next(o for o in field.candidates if o.region.name == decision.chosen.region)
        chosen = _window(decision.chosen, option.region)
        assert option.known.series is not None  # the planner chose it
        series = option.known.series.clip(decision.chosen.start_s, decision.chosen.end_s)
        source, issued, signal = series.source, series.issued_at, series.signal
    rows = {o.known.row_id for o in (*field.candidates, field.home)} - {None}
    return Plan(
        made_at=now,
        window=chosen,
        run_now=run_now,
        basis=basis,
        signal=signal,
        power=power,
        forecast_source=source,
        forecast_issued_at=issued,
        latest_safe_start=spec.latest_start,
        reason=_reason(spec, field, decision, chosen, earliest > bound),
        alternatives=_alternatives(spec, field, decision, request, basis, chosen),
        nulls=nulls,
        forecast_ids=tuple(sorted(r for r in rows if r is not None)),
        duration_source=spec.duration_source,
    )


def moved(plan: Plan, shift: timedelta, reason: str) -> Plan:
    """The same plan, later by ``shift``, for the stated reason."""
    end = plan.window.end
    window = replace(
        plan.window, start=plan.window.start + shift, end=None if end is None else end + shift
    )
    return replace(plan, window=window, reason=reason)


def blind(field: Field) -> Field:
    """The same regions as if nothing were known of them."""
    return Field(
        candidates=tuple(replace(o, known=replace(o.known, series=None)) for o in field.candidates),
        compared=(),
        home=replace(field.home, known=replace(field.home.known, series=None)),
    )


def _basis(everyone: Sequence[Option]) -> Basis:
    known = all(o.region.hardware is not None for o in everyone)
    return "total" if known else "operational"


def _place(spec: JobSpec, option: Option, basis: Basis) -> planner.Place:
    embodied = None
    if basis == "total" and option.region.hardware is not None:
        embodied = sci.embodied_g(option.region.hardware, 1 / 3600, spec.slots, spec.gpus)
    return planner.Place(option.region.name, option.known.series, option.region.pue, embodied)


def _window(choice: planner.Choice, region: Region) -> Window:
    return Window(
        region.name,
        from_unix(choice.start_s),
        from_unix(choice.end_s),
        choice.grams,
        choice.g_per_kwh,
        dispatchable=region.executor is not None,
    )


def _run_now(
    spec: JobSpec, home: Option, request: planner.Request, basis: Basis, previous: Plan | None
) -> Window:
    """Start at release in the home region; a later plan keeps what the first one expected."""
    if previous is not None and previous.run_now.grams is not None and previous.basis == basis:
        return previous.run_now
    end = spec.release + timedelta(seconds=request.duration_s)
    place = _place(spec, home, basis)
    found = planner.at(place, spec.release.timestamp(), request, basis)
    if found is None:
        return Window(home.region.name, spec.release, end, None, None)
    return _window(found, home.region)


def _alternatives(
    spec: JobSpec,
    field: Field,
    decision: planner.Decision,
    request: planner.Request,
    basis: Basis,
    chosen: Window,
) -> tuple[Window, ...]:
    others = planner.decide([_place(spec, o, basis) for o in field.compared], request)
    pairs = (
        *zip(decision.per_place, field.candidates, strict=True),
        *zip(others.per_place, field.compared, strict=True),
    )
    found = [
        _window(choice, option.region)
        for choice, option in pairs
        if choice is not None and option.region.name != chosen.region
    ]

    def rank(w: Window) -> tuple[float, datetime, str]:
        figure: Triple | None = w.grams or w.g_per_kwh
        return (figure.value if figure else 0.0, w.start, w.region)

    return tuple(sorted(found, key=rank))


def _refuse_holes(spec: JobSpec, field: Field) -> None:
    """Series are there, but no window of the job's length is free of holes."""
    for option in field.candidates:
        if option.known.series is not None and spec.duration_s is not None:
            start = spec.release.timestamp()
            end = start + spec.duration_s
            if spec.latest_start is not None:
                end = max(end, spec.latest_start.timestamp() + spec.duration_s)
            holes = ", ".join(
                f"{from_unix(a):%Y-%m-%dT%H:%MZ} to {from_unix(b):%Y-%m-%dT%H:%MZ}"
                for a, b in option.known.series.gaps(start, end)[:3]
            )
            raise NoData(
                f"no window of {spec.duration_s:g} s without a hole in {option.region.zone} "
                f"({option.known.series.source}; missing {holes}): add a provider to fill it"
            )


def _nulls(field: Field, power: Power, planned: bool, run_now: Window) -> dict[str, str]:
    nulls: dict[str, str] = {}
    if power.watts is None:
        nulls |= dict.fromkeys(("power.value_w", "expected_g", "run_now_g"), power.detail)
    if not planned:
        reason = field.candidates[0].known.reason
        for key in ("expected_g", "signal", "forecast.source", "forecast.issued_at"):
            nulls.setdefault(key, reason)
    if run_now.grams is None:
        nulls.setdefault("run_now_g", field.home.known.reason or "the forecast has a hole there")
    if "expected_g" in nulls or "run_now_g" in nulls:
        nulls["saving_percent"] = nulls.get("run_now_g") or nulls["expected_g"]
    return nulls


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


def _reason(
    spec: JobSpec, field: Field, decision: planner.Decision, chosen: Window, late: bool
) -> str:
    if late:
        said = "the latest safe start has passed, so it starts at once"
    elif decision.chosen is None:
        said = f"it starts at its earliest time: {field.candidates[0].known.reason}"
    elif decision.rule == "min_saving":
        said = (
            f"no delay is worth it: the best window saves less than {spec.min_saving_percent:g} % "
            "against a start at release"
        )
    elif chosen.start <= max(spec.release, chosen.start) and decision.at_release == decision.chosen:
        said = "no later window is lower, so it starts at its earliest time"
    else:
        said = "the lowest forecast carbon within its slack"
    if chosen.g_per_kwh is not None:
        said += f" ({chosen.g_per_kwh.value:.0f} g/kWh in {chosen.region}"
        if decision.at_release is not None and decision.at_release != decision.chosen:
            said += f", {decision.at_release.g_per_kwh.value:.0f} at the earliest start"
        said += ")"
    if spec.duration_source != GIVEN:
        said += f"; its duration is learned from group {spec.group}"
    if spec.deadline_assumed and spec.deadline is not None:
        said += (
            "; no deadline was given, so release + duration + the default slack is taken: "
            f"{spec.deadline:%Y-%m-%dT%H:%MZ}"
        )
    notes = dict.fromkeys(n for o in field.candidates for n in o.known.notes)
    notes |= {
        f"{o.region.name}: {o.known.reason}": None
        for o in field.candidates
        if o.known.series is None and decision.chosen is not None
    }
    only_compared = [o.region.name for o in field.compared if o.region.name in spec.regions]
    if only_compared:
        notes[f"{', '.join(only_compared)}: no executor, compared only"] = None
    return "; ".join([said, *notes])
