"""A forecast as a table and as a plot in the terminal, with a window marked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import plotext

from providers.arrays import np
from providers.base import Triple
from providers.series import from_unix
from scheduler.report.tables import draw, table, terminal_width
from scheduler.report.units import zone_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from providers.series import Series
    from scheduler.models import Window

POINTS = 240
WIDEST = 78


def _fitting_width() -> int:
    return min(WIDEST, terminal_width(WIDEST))


def forecast_plot(
    series: Series,
    tz: tzinfo,
    *,
    window: Window | None = None,
    width: int | None = None,
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
    plotext.plotsize(width or _fitting_width(), height)
    plotext.plot(hours[known].tolist(), values[known].tolist(), marker="dot", label="forecast")
    if window is not None and window.end is not None:
        chosen = known & np.any(
            [
                (at >= a.timestamp()) & (at < b.timestamp())
                for a, b in window.spans
                if b is not None
            ],
            axis=0,
        )
        if chosen.any():
            plotext.scatter(
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


def trade_off_plot(
    front: Sequence[Window], tz: tzinfo, *, width: int | None = None, height: int = 14
) -> str:
    """Carbon against finish time, and against money where prices are known; a mark a region."""
    carbon = [(w.grams or w.g_per_kwh or Triple.exact(0.0)).value for w in front]
    width = width or _fitting_width()
    unit = "g" if all(w.grams is not None for w in front) else "g/kWh"
    ends = [(w.end or w.start) for w in front]
    begin = min(ends)
    hours = [(end - begin).total_seconds() / 3600 for end in ends]
    ticks = np.linspace(0, max(hours), 6).tolist()
    labels = [f"{begin.astimezone(tz) + timedelta(hours=h):%a %H:%M}" for h in ticks]
    names = [w.region for w in front]
    drawn = [_scatter(hours, carbon, names, f"{unit} against finish", width, height, ticks, labels)]
    costs = [w.cost for w in front]
    if len(set(costs)) > 1 and None not in costs:
        money = [c for c in costs if c is not None]
        drawn.append(_scatter(money, carbon, names, f"{unit} against cost", width, height))
    return "\n".join(drawn)


def front_plot(
    spent: Sequence[float],
    reached: Sequence[float],
    front: Sequence[bool],
    title: str,
    *,
    width: int = 78,
    height: int = 14,
) -> str:
    """What was reached (up) against what was spent (right); the front has a mark of its own."""
    names = ["front" if each else "beaten" for each in front]
    order = sorted(range(len(names)), key=lambda i: names[i] != "front")
    x, y = ([values[i] for i in order] for values in (spent, reached))
    return _scatter(x, y, [names[i] for i in order], title, width, height)


def _scatter(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    title: str,
    width: int,
    height: int,
    ticks: Sequence[float] = (),
    labels: Sequence[str] = (),
) -> str:
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, height)
    for i, name in enumerate(dict.fromkeys(names)):
        own = [j for j, other in enumerate(names) if other == name]
        mark = "ox+*#@"[i % 6]
        plotext.scatter([x[j] for j in own], [y[j] for j in own], marker=mark, label=name)
    if ticks:
        plotext.xticks(list(ticks), list(labels))
    plotext.title(title)
    return str(plotext.uncolorize(plotext.build()))


def forecast_table(series: Series, tz: tzinfo, *, width: int = 100, rows: int = 48) -> str:
    """Time, g/kWh, band and source; a long series is thinned to ``rows`` lines, and says so."""
    first = from_unix(series.starts[0])
    when = f"start ({zone_name(tz, first)})"
    drawn = table(when, "g/kWh>", "low>", "high>", "source", optional=("source",))
    step = max(1, -(-len(series) // rows))
    for i in range(0, len(series), step):
        band = (f"{series.low[i]:.0f}", f"{series.high[i]:.0f}")
        drawn.add_row(
            f"{from_unix(series.starts[i]).astimezone(tz):%a %d %b %H:%M}",
            f"{series.g_per_kwh[i]:.0f}",
            *(band if series.low[i] < series.high[i] else ("-", "-")),
            str(series.sources[i]),
        )
    thinned = f"one in {step} of {len(series)} intervals; --json has all of them"
    return draw(drawn, thinned if step > 1 else "", width=width)
