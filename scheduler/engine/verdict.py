"""Whether to move a job or to let it wait: place against time, on one plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.comparison import PlaceOrTime
from scheduler.engine import places
from scheduler.planner import bases, window
from scheduler.planner.bases import SAFE_GAP

if TYPE_CHECKING:
    from scheduler.engine.places import Field, Option
    from scheduler.engine.planning import Case
    from scheduler.planner.choice import Choice


def place_or_time(case: Case, field: Field, equal_percent: float) -> PlaceOrTime:
    """What waiting at home saves, and what moving at once does, against a start at home now.

    Savings nearer to each other than ``equal_percent`` are equal. Regions told on another basis
    than home count only where they are lower by more than :data:`SAFE_GAP` than anything on
    home's; those of another signal never do.
    """
    home, request = field.home, case.request
    name = home.region.name
    if home.known.series is None:
        return PlaceOrTime(name, None, None, None, None, home.known.reason)
    here = places.place(case.spec, home, field, case.basis)
    start = window.at(here, request.earliest_s, request, case.basis)
    waited = window.decide([here], request, case.basis).chosen
    if start is None or waited is None or start.score <= 0:
        why = f"the forecast of {name} does not tell what a start now would emit"
        return PlaceOrTime(name, None, None, None, None, why)
    wait = _saves(start, waited)
    if case.spec.data_gb and request.power_w is None:
        why = "the power of the job is not known, so its data cannot be weighed against it"
        return PlaceOrTime(name, wait, None, None, None, why)
    same, other = _movers(case, field)
    if same is None and other is None:
        why = f"no other region on the signal of {name} has a forecast for a start now"
        return PlaceOrTime(name, wait, None, None, None, why)
    floor = min(c.score for c in (start, waited, same) if c is not None)
    best = same
    if other is not None and other.score < floor * (1 - SAFE_GAP):
        best = other
    if best is None:
        assert other is not None  # one of both is there
        why = (
            f"{other.region} is told on another basis than {name}, where a gap below "
            f"{100 * SAFE_GAP:.0f} % says nothing"
        )
        return PlaceOrTime(name, wait, None, other.region, None, why)
    if best is other:
        why = (
            f"{best.region} is lower than {name} by more than accounting methods differ "
            f"({100 * SAFE_GAP:.0f} %); by how much is not said, as its intensity is of another one"
        )
        return PlaceOrTime(name, wait, None, best.region, "place", why)
    move = _saves(start, best)
    if abs(max(move, 0.0) - max(wait, 0.0)) < equal_percent:
        return PlaceOrTime(name, wait, move, best.region, "equal", "")
    return PlaceOrTime(name, wait, move, best.region, "place" if move > wait else "time", "")


def _saves(start: Choice, chosen: Choice) -> float:
    """Percent of a start at home now; negative where it costs more."""
    return 100.0 * (start.score - chosen.score) / start.score


def _movers(case: Case, field: Field) -> tuple[Choice | None, Choice | None]:
    """The lowest start elsewhere as soon as the data is there: on home's basis, and on others."""
    assert field.home.known.series is not None  # checked by the caller
    basis = bases.told(field.home.known.series)
    same, other = [], []
    for option in field.candidates:
        series, found = option.known.series, _at_once(case, field, option)
        if series is None or found is None or option.region.name == field.home.region.name:
            continue
        if bases.told(series) == basis:
            same.append(found)
        elif series.signal == field.home.known.series.signal:
            other.append(found)
    return _lowest(same), _lowest(other)


def _at_once(case: Case, field: Field, option: Option) -> Choice | None:
    place = places.place(case.spec, option, field, case.basis)
    start_s = case.request.earliest_s + place.ready_s
    if start_s > case.request.latest_s:
        return None  # its data would come too late
    return window.at(place, start_s, case.request, case.basis)


def _lowest(choices: list[Choice]) -> Choice | None:
    return min(choices, key=lambda choice: choice.score, default=None)
