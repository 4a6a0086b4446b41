"""The best contiguous window over several regions: exact for step functions.

The carbon of a window ``[s, s + d)`` is ``C(s + d) - C(s)`` with ``C`` the integral of a step
function, so it is piecewise linear in ``s`` and its minimum lies where ``s`` or ``s + d`` meets
an edge of a step, or at an end of the allowed range. Evaluating it there is exact; nothing is
sampled. Regions on the same time grid are evaluated together, as rows of one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from providers.base import JOULES_PER_KWH, Triple
from providers.series import COVER_SLACK_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from providers.series import Series
    from scheduler.models import Basis

# Two windows are equal when they differ by less than float rounding can make.
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Place:
    """A region that may be chosen. ``series`` None: nothing is known of its intensity.

    ``embodied_g_per_s`` is M's rate for what the job would hold there; None where unknown.
    """

    region: str
    series: Series | None
    pue: Triple
    embodied_g_per_s: Triple | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be placed: times are Unix seconds, ``latest_s`` bounds the start.

    ``power_w`` None: unknown; windows can still be compared (power is a common factor), but
    have no grams and count no embodied carbon.
    """

    duration_s: float
    earliest_s: float
    latest_s: float
    power_w: Triple | None
    min_saving_percent: float = 0.0

    def __post_init__(self) -> None:
        if not (self.duration_s > 0 and self.earliest_s <= self.latest_s):
            raise ValueError(f"no window: {self}")


@dataclass(frozen=True, slots=True)
class Choice:
    """A window in a region. ``score`` orders choices of one request, and nothing else."""

    region: str
    start_s: float
    end_s: float
    grams: Triple | None
    g_per_kwh: Triple
    score: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The choice, the best start at the earliest time, and each place's best window.

    ``rule`` says why: ``lowest`` carbon, the delay not worth it (``min_saving``), or
    ``no_series`` (then ``chosen`` is None).
    """

    chosen: Choice | None
    at_release: Choice | None
    per_place: tuple[Choice | None, ...]
    basis: Basis
    rule: Literal["lowest", "min_saving", "no_series"]


def basis_of(places: Sequence[Place], request: Request) -> Basis:
    """``total`` only where M is known for every place compared, else ``operational``."""
    known = all(place.embodied_g_per_s is not None for place in places)
    return "total" if known and places and request.power_w is not None else "operational"


def decide(places: Sequence[Place], request: Request, basis: Basis | None = None) -> Decision:
    """Choose where and when to run; a window that touches a hole is never taken.

    Ties go to the earlier start, then to the order of ``places``. The choice is never worse
    than the best start at the earliest time. A delay that saves less than
    ``min_saving_percent`` of that start's carbon is not taken.
    """
    used = basis or basis_of(places, request)
    found = _search(places, request)
    per_place = tuple(
        None if f is None else _choice(place, f.best_s, f.best_mean, request, used)
        for place, f in zip(places, found, strict=True)
    )
    at_release = _at_release(places, found, request, used)
    best = _lowest([choice for choice in per_place if choice is not None])
    if best is None:
        return Decision(None, None, per_place, used, "no_series")
    if at_release is not None and best.start_s > at_release.start_s:
        gain = at_release.score - best.score
        if gain < at_release.score * (request.min_saving_percent / 100 - TIE):
            return Decision(at_release, at_release, per_place, used, "min_saving")
    return Decision(best, at_release, per_place, used, "lowest")


def at(place: Place, start_s: float, request: Request, basis: Basis) -> Choice | None:
    """The window that starts at ``start_s``; None where its intensity is not all known."""
    mean = (
        None if place.series is None else place.series.mean(start_s, start_s + request.duration_s)
    )
    return None if mean is None else _choice(place, start_s, mean.value, request, basis)


def _at_release(
    places: Sequence[Place], found: Sequence[_Found | None], request: Request, basis: Basis
) -> Choice | None:
    """The lowest start at the earliest time; of equal ones the first place."""
    scores = [
        (_score(place, f.first_mean, request, basis), place, f.first_mean)
        for place, f in zip(places, found, strict=True)
        if f is not None and f.first_mean is not None
    ]
    if not scores:
        return None
    bound = min(score for score, _, _ in scores)
    place, mean = next((p, m) for score, p, m in scores if score <= bound + TIE * abs(bound))
    return _choice(place, request.earliest_s, mean, request, basis)


def _score(place: Place, mean: float, request: Request, basis: Basis) -> float:
    """Middle grams of a window, or what orders windows where the power is unknown."""
    watts = 1.0 if request.power_w is None else request.power_w.value
    grams = watts * mean * place.pue.value * request.duration_s / JOULES_PER_KWH
    if basis == "total" and place.embodied_g_per_s is not None:
        grams += place.embodied_g_per_s.value * request.duration_s
    return grams


def _choice(place: Place, start_s: float, mean: float, request: Request, basis: Basis) -> Choice:
    """The window with its grams; the band of the intensity is read where there is one."""
    end_s, series = start_s + request.duration_s, place.series
    g_per_kwh = Triple.exact(mean)
    if series is not None and not series.exact:
        band = series.mean(start_s, end_s)
        if band is not None:
            g_per_kwh = Triple(min(band.low, mean), mean, max(band.high, mean))
    grams = None
    if request.power_w is not None:
        hours = request.duration_s / JOULES_PER_KWH
        grams = (request.power_w * g_per_kwh * place.pue).scaled(hours)
        if basis == "total" and place.embodied_g_per_s is not None:
            grams = grams + place.embodied_g_per_s.scaled(request.duration_s)
    score = _score(place, mean, request, basis)
    return Choice(place.region, start_s, end_s, grams, g_per_kwh, score)


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


def _search(places: Sequence[Place], request: Request) -> list[_Found | None]:
    """Each place's best start, in order; None where no window is free of holes."""
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for i, place in enumerate(places):
        if place.series is not None and len(place.series):
            key = (place.series.starts.tobytes(), place.series.ends.tobytes())
            groups.setdefault(key, []).append(i)
    found: list[_Found | None] = [None] * len(places)
    for rows in groups.values():
        series = [s for i in rows if (s := places[i].series) is not None]
        for i, one in zip(rows, _search_grid(series, request), strict=True):
            found[i] = one
    return found


def _search_grid(series: Sequence[Series], request: Request) -> list[_Found | None]:
    """The same for series on one time grid: matrices are intervals x series."""
    grid, d = series[0], request.duration_s
    edges = np.append(grid.starts, grid.ends[np.append(grid.ends[:-1] < grid.starts[1:], True)])
    times = np.concatenate(([request.earliest_s], edges, edges - d, [request.latest_s]))
    times = np.sort(times[(times >= request.earliest_s) & (times <= request.latest_s)])
    times = times[np.append(True, np.diff(times) > 0)]
    whole = grid.covered(times + d) - grid.covered(times)
    times = times[whole >= d - COVER_SLACK_S]
    if not len(times):
        return [None] * len(series)
    heights = np.stack([s.g_per_kwh for s in series], axis=1)
    areas = np.zeros((len(grid) + 1, len(series)))
    np.cumsum(heights * (grid.ends - grid.starts)[:, None], axis=0, out=areas[1:])
    carbon = _integral(grid, heights, areas, times + d)
    carbon -= _integral(grid, heights, areas, times)
    lowest = carbon.min(axis=0)
    first = (carbon <= lowest + TIE * np.abs(lowest)).argmax(axis=0)
    at_once = carbon[0] / d if times[0] == request.earliest_s else None
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
