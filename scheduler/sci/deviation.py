"""Planned against realized: why a run emitted something else than its plan said.

Four things differ: what was foretold of the intensity (forecast), when it ran (start, with its
pauses), how long (duration), and what it drew (power, with its course over the run). Operational
grams are computed for all 16 ways of taking each as planned or as realized, and each error is its
Shapley value: the mean, over all orders in which the four may change, of what it changes. No order
is preferred, and the four add up to the difference (Shapley 1953, *A value for n-person games*).

Both sides are operational carbon with the site's PUE: embodied carbon and the transfer of data
are in neither. Where only one of forecast and actual intensity is known it stands for both, so
that nothing is called an error of a forecast that was never made.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.base import JOULES_PER_KWH
from scheduler.models import Deviation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from providers.base import Triple
    from providers.series import Series
    from scheduler.sci.energy import AttemptRecord, Profile

Spans = tuple[tuple[float, float], ...]

# Clocks and rounding: an intensity is taken to reach so much (s) beyond its interval.
EDGE_S = 1.0
# What is less than this share of the carbon is rounding, and shown as nothing.
ROUNDING = 1e-12
FACTORS = ("forecast", "start", "duration", "power")


@dataclass(frozen=True)
class Expectation:
    """What a plan counted with: when (Unix s), at what power, on which forecast.

    ``band`` is where 80 % of all actual intensities of such runs lie (g/kWh); None where the plan's
    band was not calibrated.
    """

    spans: Spans
    watts: float
    forecast: Series
    band: Triple | None = None


@dataclass(frozen=True)
class _Draw:
    """Energy over the run's own time: ``kwh`` drawn by ``at`` seconds of running."""

    at: NDArray[np.float64]
    kwh: NDArray[np.float64]

    def over(self, seconds: float) -> _Draw:
        """The same power in a run that lasts so long."""
        factor = seconds / float(self.at[-1])
        return _Draw(self.at * factor, self.kwh * factor)


def deviation(
    expected: Expectation,
    attempts: Sequence[AttemptRecord],
    profiles: Sequence[Profile],
    actual: Series,
    pue: float,
) -> Deviation | str:
    """The difference and its parts, or the reason why it cannot be told."""
    if expected.forecast.accounting != actual.accounting:
        return (
            f"it was planned on intensity of one accounting method ({expected.forecast.accounting})"
            f" and settled on another ({actual.accounting}), which are never compared"
        )
    if any(a.stops for a in attempts):
        return (
            "it was stopped while it held its hardware: the difference is not split into its "
            "parts then"
        )
    spans = _ran(attempts)
    ran_s, planned_s = _length(spans), _length(expected.spans)
    if ran_s <= 0 or planned_s <= 0:
        return "it ran for no time that could be compared"
    foretold, known = expected.forecast.fill_from(actual), actual.fill_from(expected.forecast)
    steady = np.array([0.0, expected.watts * planned_s / JOULES_PER_KWH])
    draws = (_Draw(np.array([0.0, planned_s]), steady), _drawn(profiles, spans))

    def grams(changed: frozenset[str]) -> float:
        seconds = ran_s if "duration" in changed else planned_s
        over = _fitted(spans if "start" in changed else expected.spans, seconds)
        draw = draws["power" in changed].over(seconds)
        return pue * _grams(draw, over, known if "forecast" in changed else foretold)

    every = [frozenset(c) for n in range(len(FACTORS) + 1) for c in combinations(FACTORS, n)]
    worth = {changed: grams(changed) for changed in every}
    if not all(np.isfinite(g) for g in worth.values()):
        return "the intensity is not known over all the time that was planned and run"
    planned, realized = worth[frozenset()], worth[frozenset(FACTORS)]
    least = ROUNDING * max(planned, realized)
    errors = [_shapley(worth, factor) for factor in FACTORS]
    forecast, start, length, power = (e if abs(e) > least else 0.0 for e in errors)
    return Deviation(planned, realized, forecast, start, length, power)


def _shapley(worth: dict[frozenset[str], float], factor: str) -> float:
    n = len(FACTORS)
    return sum(
        factorial(len(before)) * factorial(n - len(before) - 1) / factorial(n)
        * (worth[before | {factor}] - worth[before])
        for before in worth
        if factor not in before
    )  # fmt: skip


def _ran(attempts: Sequence[AttemptRecord]) -> Spans:
    """When it ran; readings a moment before or after an attempt belong to it."""
    found: list[tuple[float, float]] = []
    for a in attempts:
        seen = [s.at for s in a.journal.samples]
        begin = min([a.started_at.timestamp(), *seen[:1]])
        found.append((max(begin, found[-1][1] if found else begin), max([a.end_s, *seen[-1:]])))
    return tuple(found)


def _length(spans: Spans) -> float:
    return sum(b - a for a, b in spans)


def _fitted(spans: Spans, seconds: float) -> Spans:
    """The spans cut, or the last one drawn out, so that they last so long."""
    found, left = [], seconds
    for begin, finish in spans:
        if left > 0:
            found.append((begin, min(finish, begin + left)))
            left -= finish - begin
    begin, finish = found[-1]
    return (*found[:-1], (begin, finish + max(0.0, left)))


def _drawn(profiles: Sequence[Profile], spans: Spans) -> _Draw:
    """Middle energies of all parts over the run's own time."""
    edges = np.array(spans).ravel()
    times = np.unique(np.concatenate([edges, *(p.times for p in profiles)]))
    kwh = np.zeros(len(times))
    for p in profiles:
        kwh += np.interp(times, p.times, np.concatenate(([0.0], np.cumsum(p.kwh[:, 1]))))
    return _Draw(np.interp(times, edges, _run(edges)), kwh)


def _run(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """For how long it has run at each edge of its spans."""
    lasts = np.diff(edges, prepend=edges[0])
    lasts[0::2] = 0.0  # the time from one span to the next
    return np.cumsum(lasts)


def _grams(draw: _Draw, spans: Spans, series: Series) -> float:
    """Energy times the intensity of its moment; NaN where one is not known."""
    edges = np.array(spans).ravel()
    run = _run(edges)
    steps = np.concatenate((series.starts, series.ends))
    steps = steps[(steps > edges[0]) & (steps < edges[-1])]
    cuts = np.unique(np.concatenate((draw.at, np.interp(steps, edges, run), run)))
    middles = (cuts[1:] + cuts[:-1]) / 2
    span = np.minimum(np.searchsorted(run[1::2], middles), len(spans) - 1)
    clock = edges[0::2][span] + middles - run[0::2][span]
    kwh = np.diff(np.interp(cuts, draw.at, draw.kwh))
    return float(kwh[kwh > 0] @ _at(series, clock)[kwh > 0])


def _at(series: Series, clock: NDArray[np.float64]) -> NDArray[np.float64]:
    """g/kWh at each time."""
    if not len(series):
        return np.full(len(clock), np.nan)
    last = len(series) - 1
    before = np.clip(np.searchsorted(series.starts, clock, side="right") - 1, 0, last)
    after = np.minimum(before + 1, last)
    # Within the interval that began, or a moment past its end, or a moment before the next one.
    here = (clock >= series.starts[before] - EDGE_S) & (clock < series.ends[before] + EDGE_S)
    next_one = (clock >= series.starts[after] - EDGE_S) & (clock < series.ends[after])
    value = np.where(here, series.g_per_kwh[before], series.g_per_kwh[after])
    return np.where(here | next_one, value, np.nan)
