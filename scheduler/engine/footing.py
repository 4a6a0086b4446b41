"""What the figures of a region count, as far as any are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.comparison import Footing

if TYPE_CHECKING:
    from providers.series import Series
    from scheduler.engine.places import Option


def told(option: Option) -> Series | None:
    """What is known of a region, where that is anything."""
    series = option.known.series
    return series if series is not None and len(series) else None


def footing(option: Option) -> Footing | None:
    """What a region's figures count; None where nothing is known of it."""
    series = told(option)
    return None if series is None else Footing(series.signal, series.factors, series.flow)
