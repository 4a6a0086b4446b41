"""What is weighed when a job's time and place are chosen, and what a choice costs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from providers.base import JOULES_PER_KWH, Triple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.series import Series
    from scheduler.models import Basis
    from scheduler.planner.segments import Pausing, Spans

# Two windows are equal when they differ by less than float rounding can make.
TIE = 1e-9


Rule = Literal[
    "lowest", "min_saving", "cautious", "forecast_error", "kept", "together", "no_series"
]


@dataclass(frozen=True, slots=True)
class Place:
    """A region that may be chosen. ``series`` None: nothing is known of its intensity.

    ``embodied_g_per_s`` is M's rate for what the job would hold there; None where unknown.
    ``ready_s`` is how long it takes to bring the job's data there, ``once_g`` what that emits,
    ``toll_g_per_s`` what else a second there weighs (money, in grams).
    """

    region: str
    series: Series | None
    pue: Triple
    embodied_g_per_s: Triple | None = None
    ready_s: float = 0.0
    once_g: float = 0.0
    toll_g_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be placed: times are Unix seconds, ``latest_s`` bounds the start of a run in
    one piece, and with it the end of any.

    ``power_w`` None: unknown; windows can still be compared (power is a common factor), but
    have no grams and count no embodied carbon. ``carbon_share`` is what grams weigh beside
    money and delay; ``delay_g_per_s`` what a second until the end weighs. ``cautious``: a delay
    must pay even if the later window is as dirty as its band allows. ``held_w`` is what it draws in
    a pause that holds its hardware, which then counts as well; None: a pause gives all back.
    ``stopped``: it stands in such a pause at ``earliest_s``.
    """

    duration_s: float
    earliest_s: float
    latest_s: float
    power_w: Triple | None
    min_saving_percent: float = 0.0
    pausing: Pausing | None = None
    carbon_share: float = 1.0
    delay_g_per_s: float = 0.0
    cautious: bool = False
    held_w: Triple | None = None
    stopped: bool = False

    def __post_init__(self) -> None:
        if not (self.duration_s > 0 and self.earliest_s <= self.latest_s):
            raise ValueError(f"no window: {self}")

    @property
    def deadline_s(self) -> float:
        """When it must have ended."""
        return self.latest_s + self.duration_s


@dataclass(frozen=True, slots=True)
class Choice:
    """One or more spans in a region. ``score`` orders choices of one request, nothing else.

    ``calibrated``: the band of its intensity is one of 80 % of runs so planned.
    """

    region: str
    spans: Spans
    grams: Triple | None
    g_per_kwh: Triple
    score: float
    calibrated: bool = False

    @property
    def start_s(self) -> float:
        """When it first starts."""
        return self.spans[0][0]

    @property
    def end_s(self) -> float:
        """When it is done."""
        return self.spans[-1][1]


@dataclass(frozen=True, slots=True)
class Decision:
    """The choice, the best start at the earliest time, and each place's best choice.

    ``rule`` says why: ``lowest`` score, the delay not worth it (``min_saving``; ``cautious``:
    not sure to save; ``forecast_error``: it saves less than the later forecast is less sure), a
    move not worth it (``kept``), the rest of the queue (``together``), or ``no_series`` (then
    ``chosen`` is None).
    """

    chosen: Choice | None
    at_release: Choice | None
    per_place: tuple[Choice | None, ...]
    basis: Basis
    rule: Rule


def basis_of(places: Sequence[Place], request: Request) -> Basis:
    """``total`` only where M is known for every place compared, else ``operational``."""
    known = all(place.embodied_g_per_s is not None for place in places)
    return "total" if known and places and request.power_w is not None else "operational"


def price(place: Place, spans: Spans, request: Request, basis: Basis) -> Choice | None:
    """What running over ``spans`` costs; None where the intensity is not all known."""
    series = place.series
    if series is None:
        return None
    means = [series.mean(a, b) for a, b in spans]
    known = [m for m in means if m is not None]
    if len(known) < len(spans):
        return None
    run_s = sum(b - a for a, b in spans)
    shares = [(b - a) / run_s for a, b in spans]
    mean = known[0]
    if len(known) > 1:
        parts = [m.scaled(share) for m, share in zip(known, shares, strict=True)]
        mean = sum(parts[1:], parts[0])
    return priced(place, spans, mean, request, basis)


def priced(place: Place, spans: Spans, mean: Triple, request: Request, basis: Basis) -> Choice:
    """The same where the mean intensity (g/kWh) is known, with the mean of its hourly bands."""
    run_s = sum(b - a for a, b in spans)
    calibration = None if place.series is None else place.series.calibration
    band = None
    if calibration is not None:
        slack_s = request.latest_s - request.earliest_s
        band = calibration.band(mean, spans[0][0], spans[-1][1], run_s, slack_s)
    mean = band or mean
    grams = None
    if request.power_w is not None and (basis == "operational" or place.embodied_g_per_s):
        grams = (request.power_w * mean * place.pue).scaled(run_s / JOULES_PER_KWH)
        if basis == "total" and place.embodied_g_per_s is not None:
            grams = grams + place.embodied_g_per_s.scaled(run_s)
        if place.once_g:
            grams = grams + Triple.exact(place.once_g)
    score = area_weight(place, request) * mean.value * run_s + toll(place, request, basis) * run_s
    score += place.once_g * request.carbon_share
    for pause in _pauses(spans, request):
        emitted, weighed = _held(place, pause, mean, request, basis)
        grams = None if grams is None or emitted is None else grams + emitted
        score += weighed
    score += request.delay_g_per_s * (spans[-1][1] - request.earliest_s)
    return Choice(place.region, spans, grams, mean, score, band is not None)


def _pauses(spans: Spans, request: Request) -> Spans:
    """The times for which it holds its hardware and does not run."""
    if request.held_w is None:
        return ()
    waits = ((request.earliest_s, spans[0][0]),) if request.stopped else ()
    between = tuple((a[1], b[0]) for a, b in pairwise(spans))
    return tuple((a, b) for a, b in (*waits, *between) if b > a)


def _held(
    place: Place, pause: tuple[float, float], mean: Triple, request: Request, basis: Basis
) -> tuple[Triple | None, float]:
    """What a pause emits, None where the intensity is not known then, and what it weighs (by the
    mean of the run where that is not known).
    """
    assert request.held_w is not None
    assert place.series is not None  # spans in it are priced
    seconds, known = pause[1] - pause[0], place.series.mean(*pause)
    emitted = (request.held_w * (known or mean) * place.pue).scaled(seconds / JOULES_PER_KWH)
    score = emitted.value * request.carbon_share + toll(place, request, basis) * seconds
    if basis == "total" and place.embodied_g_per_s is not None:
        emitted = emitted + place.embodied_g_per_s.scaled(seconds)
    return (emitted if known is not None else None), score


def held_share(request: Request) -> float:
    """What it draws in a pause, as a share of what it draws when it runs."""
    if request.held_w is None or request.power_w is None:
        return 0.0
    return request.held_w.value / request.power_w.value


def area_weight(place: Place, request: Request) -> float:
    """The score of one g/kWh for one second."""
    watts = 1.0 if request.power_w is None else request.power_w.value
    return watts * place.pue.value * request.carbon_share / JOULES_PER_KWH


def toll(place: Place, request: Request, basis: Basis) -> float:
    """What a second there weighs whatever the intensity is."""
    rate = place.toll_g_per_s
    if basis == "total" and place.embodied_g_per_s is not None:
        rate += place.embodied_g_per_s.value * request.carbon_share
    return rate
