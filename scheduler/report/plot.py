"""A forecast as a table and as a plot in the terminal, with a window marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotext

from providers.series import from_unix
from scheduler.report.tables import draw, table

if TYPE_CHECKING:
    from datetime import tzinfo

    from providers.series import Series
    from scheduler.models import Window

POINTS = 240


def forecast_plot(
    series: Series,
    tz: tzinfo,
    *,
    window: Window | None = None,
    width: int = 78,
    height: int = 14,
    color: bool = False,
) -> str:
    """g/kWh over time; holes are left open, the window is drawn over the curve."""
    low, high = float(series.starts[0]), float(series.ends[-1])
    edges = np.linspace(low, high, POINTS + 1)
    at = (edges[:-1] + edges[1:]) / 2
    inside = np.searchsorted(series.starts, at, side="right") - 1
    known = (inside >= 0) & (at < series.ends[np.maximum(inside, 0)])
    values = np.where(known, series.g_per_kwh[np.maximum(inside, 0)], np.nan)
    hours = (at - low) / 3600
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, height)
    plotext.plot(hours[known].tolist(), values[known].tolist(), marker="dot", label="forecast")
    if window is not None and window.end is not None:
        chosen = known & (at >= window.start.timestamp()) & (at < window.end.timestamp())
        if chosen.any():
            plotext.plot(
                hours[chosen].tolist(),
                values[chosen].tolist(),
                marker="#",
                label=f"window {window.start.astimezone(tz):%a %H:%M} in {window.region}",
            )
    ticks = np.linspace(0, (high - low) / 3600, 7)
    labels = [f"{from_unix(low + h * 3600).astimezone(tz):%a %H:%M}" for h in ticks]
    plotext.xticks(ticks.tolist(), labels)
    plotext.title(f"{series.zone}, g/kWh, {series.source}")
    drawn = plotext.build()
    return str(drawn if color else plotext.uncolorize(drawn))


def forecast_table(series: Series, tz: tzinfo, *, width: int = 100, rows: int = 48) -> str:
    """Time, g/kWh, band and source; a long series is thinned to ``rows`` lines, and says so."""
    drawn = table("start", "g/kWh>", "low>", "high>", "source")
    step = max(1, -(-len(series) // rows))
    for i in range(0, len(series), step):
        band = (f"{series.low[i]:.0f}", f"{series.high[i]:.0f}")
        drawn.add_row(
            f"{from_unix(series.starts[i]).astimezone(tz):%a %d %b %H:%M}",
            f"{series.g_per_kwh[i]:.0f}",
            *(band if series.low[i] < series.high[i] else ("-", "-")),
            str(series.sources[i]),
        )
    thinned = f"every {step}th of {len(series)} intervals; --json has all of them"
    return draw(drawn, thinned if step > 1 else "", width=width)
