"""Energy over time meets intensity over time: ``O = sum(E_t x I_t) x PUE``.

A saving shares its energy with what it is compared with, so its bounds are taken over the same
energy on both sides.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.base import Triple
from scheduler.models import IntensityUsed
from scheduler.sci.uncertainty import Effect, end, ordered

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from providers.series import Series
    from scheduler.models import Site
    from scheduler.sci.energy import Energy, Profile

# Unix times in double precision resolve 0.2 microseconds: of a run of a second, that leaves
# this share of the energy on the wrong side of an interval's edge.
ROUNDING = 1e-6


def operational(
    profiles: Sequence[Profile], series: Series | None, site: Site, shift: float
) -> Triple | None:
    """O in grams; None where the intensity leaves a part of the profile open.

    Intensity and PUE are systematic: at either end both stand at theirs for all parts, and only
    then do the parts' own errors combine.
    """
    if series is None or not profiles or not len(series):
        return None
    for profile in profiles:
        low, high = float(profile.times[0]) + shift, float(profile.times[-1]) + shift
        # A second at either end may be missing: clocks and rounding, not a hole.
        if sum(b - a for a, b in series.gaps(low, high)) > 1.0:
            return None
    drawn = _by_part(profiles, series, shift)
    value = site.pue.value * sum(float(kwh[1] @ series.g_per_kwh) for kwh, _ in drawn.values())
    low, high = (
        end(
            (pue * float(kwh[1] @ g), pue * float(kwh[bound] @ g), counted)
            for kwh, counted in drawn.values()
        )
        for bound, g, pue in (
            (0, series.low, site.pue.low),
            (2, series.high, site.pue.high),
        )
    )
    return ordered(max(0.0, low), value, high)


def effects(profiles: Sequence[Profile], series: Series, site: Site) -> list[Effect]:
    """What each source of error does to O by itself, in grams."""
    drawn, pue, g = _by_part(profiles, series, 0.0), site.pue, series.g_per_kwh
    found = [
        Effect(part, ordered(*(pue.value * float(kwh[bound] @ g) for bound in range(3))), counted)
        for part, (kwh, counted) in drawn.items()
    ]
    kwh = sum((kwh[1] for kwh, _ in drawn.values()), np.zeros(len(series)))
    bands = (float(kwh @ band) for band in (series.low, g, series.high))
    by_intensity = ordered(*(pue.value * band for band in bands))
    found.append(Effect(f"carbon intensity ({series.kind})", by_intensity))
    found.append(Effect("PUE", pue.scaled(float(kwh @ g))))
    return found


def _by_part(
    profiles: Iterable[Profile], series: Series, shift: float
) -> dict[str, tuple[NDArray[np.float64], bool]]:
    """Energy of each part in each interval (3 x intervals, kWh), and whether it was counted."""
    found: dict[str, tuple[NDArray[np.float64], bool]] = {}
    for profile in profiles:
        kwh = _weights([profile], series, shift)
        if profile.part in found:
            kwh = kwh + found[profile.part][0]
        found[profile.part] = kwh, profile.counted
    return found


def _weights(profiles: Sequence[Profile], series: Series, shift: float) -> NDArray[np.float64]:
    """Energy that falls into each interval of ``series``: 3 (low, value, high) x intervals, kWh.

    The profile is moved by ``shift`` seconds; energy is spread evenly over its increment.
    """
    found = np.zeros((3, len(series)))
    for profile in profiles:
        # A profile of no length still needs an interval to lie in.
        times = profile.times + shift
        times[-1] = max(times[-1], times[0] + 1e-3)
        drawn = np.vstack((np.zeros(3), np.cumsum(profile.kwh, axis=0)))
        for bound in range(3):
            found[bound] += np.interp(series.ends, times, drawn[:, bound])
            found[bound] -= np.interp(series.starts, times, drawn[:, bound])
    return found


def used(profiles: Sequence[Profile], series: Series | None) -> IntensityUsed | None:
    """The intensity weighted by energy."""
    if series is None:
        return None
    # Over what the intervals hold: of a short run, rounding of Unix times leaves a part outside.
    weights = _weights(profiles, series, 0.0)[1]
    if weights.sum() <= 0:
        return None
    shares = weights / weights.sum()
    low, value, high = (float(shares @ g) for g in (series.low, series.g_per_kwh, series.high))
    start = min(float(p.times[0]) for p in profiles)
    end = max(float(p.times[-1]) for p in profiles)
    source = series.clip(start, max(end, start + 1e-3)).source
    weighted, met = ordered(low, value, high), _values(series, shares)
    return IntensityUsed(
        series.signal, series.kind, source, weighted, met, series.factors, series.flow
    )


def _values(series: Series, shares: NDArray[np.float64]) -> int:
    """How many values of the intensity the energy met one after the other."""
    met = series.g_per_kwh[shares > ROUNDING]
    return int(np.count_nonzero(np.diff(met))) + 1 if len(met) else 0


def saved(
    energy: Energy,
    here: Series,
    site: Site,
    there: Series,
    home: Site,
    shift: float,
) -> Triple:
    """Baseline minus realized with the same energy on both sides, but for what pauses cost.

    In one grid zone both sides also share the intensity of each interval, so its error counts
    only by the difference of the energies there; in one region they share the PUE.
    """
    if site.zone == home.zone:
        here = there = here.fill_from(there)
    plus, minus = _weights(energy.unbroken, there, shift), _weights(energy.profiles, here, 0.0)
    if site.region == home.region:
        pues = [(p, p) for p in (site.pue.low, site.pue.value, site.pue.high)]
    else:
        pues = list(product((home.pue.low, home.pue.high), (site.pue.low, site.pue.high)))
    corners: list[float] = []
    for e, (home_pue, site_pue) in product(range(3), pues):
        if site.zone == home.zone:
            kwh = home_pue * plus[e] - site_pue * minus[e]
            parts = [_by_step(kwh, here)]
        else:
            parts = [
                (home_pue * plus[e], there.low, there.high),
                (-site_pue * minus[e], here.low, here.high),
            ]
        ends = [(kwh * low, kwh * high) for kwh, low, high in parts]
        corners.append(sum(float(np.minimum(a, b).sum()) for a, b in ends))
        corners.append(sum(float(np.maximum(a, b).sum()) for a, b in ends))
    before = home.pue.value * float(plus[1] @ there.g_per_kwh)
    value = before - site.pue.value * float(minus[1] @ here.g_per_kwh)
    low, high = min(corners), max(corners)
    if site.zone == home.zone and max(-low, high, abs(value)) <= ROUNDING * abs(before):
        return Triple.exact(0.0)
    return ordered(low, value, high)


def _by_step(
    kwh: NDArray[np.float64], series: Series
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Energies, low and high by step: neighbours of one source and value were cut from one."""
    facts = (series.low, series.g_per_kwh, series.high, series.sources)
    new = np.any([fact[1:] != fact[:-1] for fact in facts], axis=0)
    first = np.concatenate(([0], np.flatnonzero(new) + 1))
    return np.add.reduceat(kwh, first), series.low[first], series.high[first]


def shifted(saved: Triple, plus: Triple, minus: Triple) -> Triple:
    """``saved + plus - minus`` with independent bounds."""
    return Triple(
        saved.low + plus.low - minus.high,
        saved.value + plus.value - minus.value,
        saved.high + plus.high - minus.low,
    )
