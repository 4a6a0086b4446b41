"""How bounds combine, and what contributes to them.

The bounds of a figure are limits, not standard deviations. Errors that one cause moves together
are **systematic** and add linearly: correlation 1, JCGM 100:2008 (GUM) 5.2.2, note 1. Such are a
model's coefficients, the gain of one board over all time, an intensity source's bias over all
intervals, PUE and embodied carbon. Errors of separate devices are **independent** and add as the
root of their squares (GUM 5.1.2): the counters of separate components, up to their tolerance. What
a counter's bounds are wider by (time not read, a shared board, the edges of a short run) often has
one cause for several components, so it counts as systematic. Each side is combined by itself.
Where no independent parts meet, this is interval arithmetic; it is never wider.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from providers.base import Triple
from scheduler.models import Contributor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Gain error of a board's own power reading, random between identical boards (arXiv 2312.02741);
# the meters state the same for RAPL.
COUNTER_TOLERANCE: Final = 0.05

RULE: Final = (
    "Bounds are limits. Systematic errors (a model's coefficients, one counter over all time, the "
    "intensity, PUE, embodied carbon) add linearly; errors of separate counters, up to "
    f"{100 * COUNTER_TOLERANCE:g} % each, add as the root of their squares (JCGM 100:2008, 5.1.2 "
    "and 5.2.2); each side by itself."
)


class Part(NamedTuple):
    """One term of a sum. ``counted``: by a counter of its own, so its gain error is independent."""

    figure: Triple
    counted: bool


def total(parts: Sequence[Part]) -> Triple | None:
    """The sum of non-negative terms by the rule; None without any."""
    if not parts:
        return None
    value = sum(p.figure.value for p in parts)
    low = end([(p.figure.value, p.figure.low, p.counted) for p in parts])
    high = end([(p.figure.value, p.figure.high, p.counted) for p in parts])
    return ordered(max(0.0, low), value, high)


def end(terms: Iterable[tuple[float, float, bool]]) -> float:
    """One end of a sum of ``(middle, end, counted)``, whose ends all lie on the same side."""
    middles, together, own = 0.0, 0.0, []
    for middle, bound, counted in terms:
        error = bound - middle
        gain = _gain(middle, error) if counted else 0.0
        middles += middle
        together += error - gain
        own.append(gain)
    return middles + together + math.copysign(math.hypot(*own), sum(own))


def _gain(middle: float, error: float) -> float:
    """The part of an error that the counter's own tolerance covers."""
    most = COUNTER_TOLERANCE * abs(middle)
    return max(-most, min(most, error))


def ordered(low: float, value: float, high: float) -> Triple:
    """Bounds that contain the value also after float rounding."""
    return Triple(min(low, value), value, max(high, value))


class Effect(NamedTuple):
    """What one source of error does to the total by itself: grams, or kWh without intensity.

    ``figure`` is the term that it is an error of, ``counted`` as in :class:`Part`.
    """

    name: str
    figure: Triple
    counted: bool = False


def contributors(effects: Sequence[Effect], *, grams: bool) -> tuple[Contributor, ...]:
    """The widest first; those without any width are left out."""
    found: list[tuple[str, bool, float, float]] = []
    for name, figure, counted in effects:
        low, high = figure.low - figure.value, figure.high - figure.value
        if counted:
            own = _gain(figure.value, low), _gain(figure.value, high)
            found.append((name, True, -own[0], own[1]))
            low, high = low - own[0], high - own[1]
            name = f"{name} beyond its tolerance (time not read, sharing, edges)"
        found.append((name, False, -low, high))
    # What is left by rounding is no contributor.
    least = 1e-12 * sum(abs(e.figure.value) for e in effects)
    wide = [f for f in found if f[2] + f[3] > least]
    whole = sum(low + high for _, _, low, high in wide)
    wide.sort(key=lambda f: -(f[2] + f[3]))
    return tuple(
        Contributor(
            name,
            "independent" if own else "systematic",
            max(0.0, low) if grams else None,
            max(0.0, high) if grams else None,
            min(100.0, 100.0 * (low + high) / whole),
        )
        for name, own, low, high in wide
    )


def largest(found: Sequence[Contributor]) -> str:
    """The first of them in words."""
    if not found:
        return "none: every figure is exact or unknown"
    return f"{found[0].name}: {found[0].share_percent:.0f} % of the width of the bounds"
