"""Which places may be chosen between: intensities told on different bases differ by themselves.

Lifecycle and direct factors of one zone and year lie a quarter apart (California 2022: 262 and
196 g/kWh), production and consumption by what is imported: a smaller gap between two such
figures says nothing of the places. Average and marginal intensity answer different questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.planner import window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.series import Series
    from scheduler.models import Basis
    from scheduler.planner.choice import Place, Request

SAFE_GAP = 0.25

Told = tuple[str, str | None, str | None]


def told(series: Series) -> Told:
    """The signal, factors and flow of a series."""
    return series.signal, series.factors, series.flow


def comparable(places: Sequence[Place], request: Request, basis: Basis) -> tuple[int, ...]:
    """Indices of the places that one choice may be made among, in order.

    Those told as the first one is, unless the best of others on the same signal is lower by
    more than :data:`SAFE_GAP`; then those. Places of which nothing is known stay.
    """
    groups: dict[Told, list[int]] = {}
    for i, place in enumerate(places):
        if place.series is not None and len(place.series):
            groups.setdefault(told(place.series), []).append(i)
    if len(groups) < 2:
        return tuple(range(len(places)))
    chosen: Told | None = None
    lowest = 0.0
    for key, rows in groups.items():
        best = window.decide([places[i] for i in rows], request, basis).chosen
        if best is None:
            continue
        if chosen is None or (key[0] == chosen[0] and best.score < lowest * (1 - SAFE_GAP)):
            chosen, lowest = key, best.score
    apart = {
        i for key, rows in groups.items() if chosen is not None and key != chosen for i in rows
    }
    return tuple(i for i in range(len(places)) if i not in apart)
