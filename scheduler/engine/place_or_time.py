"""Whether moving a job saves more than waiting with it: the same planner asked both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.comparison import PlaceOrTime
from scheduler.engine import places
from scheduler.engine.footing import footing, unsafe
from scheduler.planner import window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.comparison import Footing, Verdict
    from scheduler.engine.places import Option
    from scheduler.engine.planning import Case
    from scheduler.planner.choice import Choice, Place

# Percents are told without decimals, so less than one is none.
SAME_PERCENT = 1.0


def place_or_time(case: Case, sides: Sequence[tuple[Option, Place]]) -> PlaceOrTime:
    """The answer for one job among ``sides``; those of another signal than home take no part."""
    asked, home = case.request, case.field.home
    name, slack_s = home.region.name, asked.latest_s - asked.earliest_s
    at_home, base_is = places.place(case.spec, home, case.field, case.basis), footing(home)
    base = window.at(at_home, asked.earliest_s, asked, case.basis)
    if base is None or base_is is None:
        why = home.known.reason or f"the forecast of {name} has a hole at the earliest start"
        return PlaceOrTime(name, slack_s, reason=why)
    if base.score <= 0:
        return PlaceOrTime(name, slack_s, reason=f"a start at once in {name} emits nothing")
    away: dict[str, tuple[Place, Footing]] = {}
    for option, place in sides:
        there = footing(option)
        if there is not None and there.signal == base_is.signal and place.region != name:
            away[place.region] = (place, there)
    at_once = [c for p, _ in away.values() if (c := _at_once(case, p)) is not None]
    ends = [
        choice
        for choice in window.decide(
            [at_home, *(p for p, _ in away.values())], asked, case.basis
        ).per_place
        if choice is not None
    ]
    wait = _saved(base, min(c.score for c in ends if c.region == name))
    if not at_once:
        why = f"no other region in the list has a forecast that compares with that of {name}"
        return PlaceOrTime(name, slack_s, wait, reason=why)
    best = min(at_once, key=lambda choice: choice.score)
    move = _saved(base, best.score)
    both = _saved(base, min(c.score for c in ends))
    reason = unsafe((best.region, away[best.region][1], best.score), (name, base_is, base.score))
    verdict: Verdict | None = "place" if move > wait else "time"
    if reason:
        verdict = None
    elif abs(move - wait) < SAME_PERCENT:
        verdict = "equal"
    return PlaceOrTime(name, slack_s, wait, move, both, best.region, verdict, reason)


def _at_once(case: Case, place: Place) -> Choice | None:
    """A start there as soon as the data is there; None where that is too late or not known."""
    start = case.request.earliest_s + place.ready_s
    if start > case.request.latest_s:
        return None
    return window.at(place, start, case.request, case.basis)


def _saved(base: Choice, score: float) -> float:
    return 100.0 * (base.score - score) / base.score
