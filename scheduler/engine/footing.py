"""What the figures of a region count, and when two of them say which region is cleaner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.comparison import Footing
from scheduler.planner.bases import SAFE_GAP

if TYPE_CHECKING:
    from providers.series import Series
    from scheduler.engine.places import Option


def known_of(option: Option) -> Series | None:
    """What is known of a region, where that is anything."""
    series = option.known.series
    return series if series is not None and len(series) else None


def footing(option: Option) -> Footing | None:
    """What a region's figures count; None where nothing is known of it."""
    series = known_of(option)
    return None if series is None else Footing(series.signal, series.factors, series.flow)


def unsafe(one: tuple[str, Footing, float], other: tuple[str, Footing, float]) -> str:
    """Why two regions (name, footing, figure) are not told apart; empty where they are.

    On one signal, but with other factors or another flow, the lower figure must be below the
    higher by :data:`SAFE_GAP`.
    """
    high, low = max(one[2], other[2]), min(one[2], other[2])
    gap = (high - low) / high if high > 0 else 0.0
    if one[1] == other[1] or gap > SAFE_GAP:
        return ""
    return (
        f"{one[0]} ({one[1]}) and {other[0]} ({other[1]}) are told on different bases and "
        f"{100 * gap:.0f} % apart: up to {100 * SAFE_GAP:.0f} % that says nothing of the places"
    )
