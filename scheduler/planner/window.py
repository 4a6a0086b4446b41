"""The best time over several regions: exact for step functions.

The carbon of a window ``[s, s + d)`` is ``C(s + d) - C(s)`` with ``C`` the integral of a step
function, so it is piecewise linear in ``s`` and its minimum lies where ``s`` or ``s + d`` meets
an edge of a step, or at an end of the allowed range. Evaluating it there is exact; nothing is
sampled. Regions on the same time grid are evaluated together, as rows of one matrix. A pausable
job is also given its best segments (:mod:`scheduler.planner.segments`), region by region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.base import Triple
from providers.series import COVER_SLACK_S
from scheduler.planner import segments
from scheduler.planner.choice import (
    TIE,
    Choice,
    Decision,
    Place,
    Request,
    Rule,
    area_weight,
    basis_of,
    held_share,
    price,
    priced,
    toll,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from providers.series import Series
    from scheduler.models import Basis


# A delay must save so much of what its band (80 %) is wider above than that of a start at once.
# On eight zones of 2022, over 8 jobs and slacks, the share of the possible saving that is captured
# is 70.0 % without such a rule, 68.3 % with 0.5 and 63.2 % with 1; what delays lose that end worse
# than a start at once is 0.9, 0.5 and 0.3 % of all emissions (tests/benchmarks, the rule's own).
ERROR = 0.5
# So many times by which a pausable job may be done are tried where its delay weighs.
ENDS = 24
# So many intervals, over all regions of a grid, are evaluated together: all regions over a month
# of hours. A year at once would take 130 MB and be no faster.
AT_ONCE = 2**17


def decide(places: Sequence[Place], request: Request, basis: Basis | None = None) -> Decision:
    """Choose where and when to run; a window that touches a hole is never taken.

    Ties go to the earlier start, then to the order of ``places``. The choice is never worse
    than the best start at the earliest time. A delay that saves less than
    ``min_saving_percent`` of that start's score is not taken, nor one that saves less than
    :data:`ERROR` of what the later window's band is wider by (and where the request is cautious,
    less than the whole upper half of that band).
    """
    used = basis or basis_of(places, request)
    found = _search(places, request, used)
    per_place = tuple(
        None if f is None else _best(place, f, request, used)
        for place, f in zip(places, found, strict=True)
    )
    at_release = _at_release(places, found, request, used)
    best = _lowest([choice for choice in per_place if choice is not None])
    if best is None:
        return Decision(None, None, per_place, used, "no_series")
    rule = None if at_release is None else refusal(places, best, at_release, request)
    if rule is not None:
        return Decision(at_release, at_release, per_place, used, rule)
    return Decision(best, at_release, per_place, used, "lowest")


def refusal(
    places: Sequence[Place], best: Choice, at_once: Choice, request: Request
) -> Rule | None:
    """Why ``best`` is not worth its delay against ``at_once``; None where it is."""
    if best.end_s <= at_once.end_s:
        return None
    now = at_once.score
    if now - best.score < now * (request.min_saving_percent / 100 - TIE):
        return "min_saving"
    by_name = {place.region: place for place in places}
    above = _spread(by_name[best.region], best, request)
    if request.cautious and best.score + above > now * (1 + TIE):
        return "cautious"
    wider = above - _spread(by_name[at_once.region], at_once, request)
    if best.score + ERROR * wider > now * (1 + TIE):
        return "forecast_error"
    return None


def _spread(place: Place, choice: Choice, request: Request) -> float:
    """By how much the score is higher if the intensity is as high as its band allows."""
    run_s = sum(b - a for a, b in choice.spans)
    above = choice.g_per_kwh.high - choice.g_per_kwh.value
    return area_weight(place, request) * above * run_s


def at(place: Place, start_s: float, request: Request, basis: Basis) -> Choice | None:
    """The window that starts at ``start_s``; None where its intensity is not all known."""
    return price(place, ((start_s, start_s + request.duration_s),), request, basis)


def _best(place: Place, found: _Found, request: Request, basis: Basis) -> Choice:
    """The best window, or the best segments where those are lower."""
    best = _priced(place, found.best_s, found.best_mean, request, basis)
    if request.pausing is None:
        return best
    assert place.series is not None  # a window was found in it
    first = request.earliest_s + place.ready_s + request.duration_s
    last = min(request.deadline_s, float(place.series.ends[-1]))
    # Where delay weighs, the best segments that end by each of some times are compared.
    ends = np.linspace(first, last, ENDS).tolist() if request.delay_g_per_s else [last]
    for end_s in ends:
        spans = _segments(place, request, basis, end_s)
        choice = None if spans is None else price(place, spans, request, basis)
        if choice is not None and choice.score < best.score - TIE * abs(best.score):
            best = choice
    return best


def _segments(place: Place, request: Request, basis: Basis, high: float) -> segments.Spans | None:
    """The lowest segments between release and ``high``."""
    assert request.pausing is not None
    assert place.series is not None  # a window was found in it
    low = request.earliest_s + place.ready_s
    series = place.series.clip(low, high)
    edges = np.unique(np.concatenate(([low], series.starts, series.ends, [high])))
    inside = np.searchsorted(series.starts, edges[:-1], side="right") - 1
    known = (inside >= 0) & (edges[:-1] < series.ends[np.maximum(inside, 0)])
    heights = series.g_per_kwh[np.maximum(inside, 0)] * area_weight(place, request)
    rates = np.where(known, heights + toll(place, request, basis), np.inf)
    held = None
    if request.held_w is not None:
        held = heights * held_share(request) + toll(place, request, basis)
    return segments.cheapest(
        edges, rates, request.duration_s, request.pausing, held=held, stopped=request.stopped
    )


def _at_release(
    places: Sequence[Place], found: Sequence[_Found | None], request: Request, basis: Basis
) -> Choice | None:
    """The lowest start at the earliest time; of equal ones the first place."""
    choices = [
        _priced(place, request.earliest_s + place.ready_s, f.first_mean, request, basis)
        for place, f in zip(places, found, strict=True)
        if f is not None and f.first_mean is not None
    ]
    if not choices:
        return None
    bound = min(choice.score for choice in choices)
    return next(c for c in choices if c.score <= bound + TIE * abs(bound))


def _priced(place: Place, start_s: float, mean: float, request: Request, basis: Basis) -> Choice:
    """The window with its grams; the band of the intensity is read where there is one."""
    end_s, series = start_s + request.duration_s, place.series
    g_per_kwh = Triple.exact(mean)
    if series is not None and not series.exact:
        band = series.mean(start_s, end_s)
        if band is not None:
            g_per_kwh = Triple(min(band.low, mean), mean, max(band.high, mean))
    return priced(place, ((start_s, end_s),), g_per_kwh, request, basis)


def _lowest(choices: Sequence[Choice]) -> Choice | None:
    """The lowest score; near-equal ones by start, then by order."""
    if not choices:
        return None
    bound = min(choice.score for choice in choices)
    equal = [choice for choice in choices if choice.score <= bound + TIE * abs(bound)]
    return min(equal, key=lambda choice: choice.start_s)


@dataclass(frozen=True, slots=True)
class _Found:
    """A place's best start and its mean intensity, and the mean of a start at once."""

    best_s: float
    best_mean: float
    first_mean: float | None


def _search(places: Sequence[Place], request: Request, basis: Basis) -> list[_Found | None]:
    """Each place's best start, in order; None where no window is free of holes."""
    groups: dict[tuple[bytes, bytes, float], list[int]] = {}
    for i, place in enumerate(places):
        if place.series is not None and len(place.series):
            grid = (place.series.starts.tobytes(), place.series.ends.tobytes())
            groups.setdefault((*grid, place.ready_s), []).append(i)
    found: list[_Found | None] = [None] * len(places)
    for (_, _, ready_s), rows in groups.items():
        series = [s for i in rows if (s := places[i].series) is not None]
        slopes = [_delay(places[i], request, basis) / w if (w := area_weight(places[i], request))
                  else 0.0 for i in rows]  # fmt: skip
        bounds = (request.earliest_s + ready_s, request.latest_s)
        held = held_share(request) if request.stopped else 0.0
        at_once = max(1, AT_ONCE // len(series[0]))
        for k in range(0, len(rows), at_once):
            part = slice(k, k + at_once)
            weights = np.array(slopes[part])
            made = _search_grid(series[part], request.duration_s, bounds, weights, held)
            for i, one in zip(rows[part], made, strict=True):
                found[i] = one
    return found


def _delay(place: Place, request: Request, basis: Basis) -> float:
    """What a second until the start weighs, beside energy."""
    return request.delay_g_per_s + (toll(place, request, basis) if request.stopped else 0.0)


def _search_grid(
    series: Sequence[Series],
    d: float,
    bounds: tuple[float, float],
    slopes: NDArray[np.float64],
    held: float,
) -> list[_Found | None]:
    """The same for series on one time grid: matrices are intervals x series.

    ``slopes`` is what a second of delay weighs in each, in g/kWh times seconds; ``held`` is the
    share of its power that the job draws until it starts.
    """
    grid, (earliest, latest) = series[0], bounds
    edges = np.append(grid.starts, grid.ends[np.append(grid.ends[:-1] < grid.starts[1:], True)])
    times = np.concatenate(([earliest], edges, edges - d, [latest]))
    times = np.sort(times[(times >= earliest) & (times <= latest)])
    times = times[np.append(True, np.diff(times) > 0)[: len(times)]]
    whole = grid.covered(times + d) - grid.covered(times)
    times = times[whole >= d - COVER_SLACK_S]
    if not len(times):
        return [None] * len(series)
    heights = np.stack([s.g_per_kwh for s in series], axis=1)
    areas = np.zeros((len(grid) + 1, len(series)))
    np.cumsum(heights * (grid.ends - grid.starts)[:, None], axis=0, out=areas[1:])
    carbon = _integral(grid, heights, areas, times + d)
    carbon -= _integral(grid, heights, areas, times)
    weighed = carbon
    if slopes.any():
        weighed = carbon + (times - earliest)[:, None] * slopes
    if held:
        until = _integral(grid, heights, areas, times)
        weighed = weighed + held * (until - _integral(grid, heights, areas, np.array([earliest])))
    lowest = weighed.min(axis=0)
    first = (weighed <= lowest + TIE * np.abs(lowest)).argmax(axis=0)
    at_once = carbon[0] / d if times[0] == earliest else None
    return [
        _Found(
            float(times[j]),
            float(carbon[j, i]) / d,
            None if at_once is None else float(at_once[i]),
        )
        for i, j in enumerate(first)
    ]


def _integral(
    grid: Series,
    heights: NDArray[np.float64],
    areas: NDArray[np.float64],
    times: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Integrals of all series from the first interval to each of ``times``: times x series."""
    # The interval that holds t, or the last one before it: whole areas, and a part of its own.
    index = np.maximum(np.searchsorted(grid.starts, times, side="right") - 1, 0)
    part = np.clip(times - grid.starts[index], 0.0, grid.ends[index] - grid.starts[index])
    found: NDArray[np.float64] = areas[index]
    partly = np.flatnonzero(part)
    if len(partly):
        found[partly] += heights[index[partly]] * part[partly, None]
    return found
