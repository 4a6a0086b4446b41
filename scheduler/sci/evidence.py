"""The inputs of a settlement as they are kept with it, and read back to settle once more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.series import Series, from_unix
from scheduler.models import AttemptUsed, PlanUsed, SeriesUsed
from scheduler.sci.deviation import Expectation
from scheduler.sci.energy import AttemptRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Journal
    from scheduler.sci.energy import Energy

Span = tuple[float, float]


def touching(series: Series | None, span: Span) -> Series | None:
    """The whole intervals that a span (Unix seconds) meets: what a settlement may use."""
    if series is None:
        return None
    keep = (series.ends >= span[0]) & (series.starts <= span[1])
    names = ("starts", "ends", "g_per_kwh", "low", "high", "sources")
    return replace(series, **{name: getattr(series, name)[keep] for name in names})


def reach(energy: Energy, attempts: Sequence[AttemptRecord], expected: Expectation | str) -> Span:
    """From when to when a run and its plan use intensity, Unix seconds.

    A comparison of both also lets either last as long as the other.
    """
    edges = [a.started_at.timestamp() for a in attempts] + [a.end_s for a in attempts]
    edges += [float(t) for p in energy.profiles for t in (p.times[0], p.times[-1])]
    low, high = min(edges), max(edges)
    if isinstance(expected, str):
        return low, high
    planned = [t for span in expected.spans for t in span]
    longest = max(high - low, max(planned) - min(planned))
    return min(low, *planned), max(high, *planned) + longest


def kept_series(series: Series | None) -> SeriesUsed | None:
    """A series as a settlement keeps it."""
    if series is None:
        return None
    columns = (series.starts, series.ends, series.low, series.g_per_kwh, series.high)
    rows = zip(*(c.tolist() for c in columns), series.sources.tolist(), strict=True)
    facts = series.zone, series.signal, series.kind, series.factors, series.flow
    return SeriesUsed(*facts, tuple(rows))


def kept_attempt(attempt: AttemptRecord) -> AttemptUsed:
    """An attempt as a settlement keeps it: its journal is named by its digest."""
    return AttemptUsed(
        attempt.started_at.timestamp(),
        None if attempt.ended_at is None else attempt.ended_at.timestamp(),
        attempt.exit_code,
        attempt.stops,
        attempt.reload_s,
        attempt.resumed,
        attempt.journal.file,
    )


def kept_plan(expected: Expectation | str) -> PlanUsed | None:
    """What a plan counted with, as a settlement keeps it."""
    if isinstance(expected, str):
        return None
    forecast = kept_series(expected.forecast)
    assert forecast is not None  # there is one
    return PlanUsed(expected.spans, expected.watts, forecast, expected.band)


def series_of(kept: SeriesUsed | None) -> Series | None:
    """The series that was kept; when it was issued is not, and plays no part."""
    if kept is None:
        return None
    figures = np.array([row[:5] for row in kept.intervals], np.float64).reshape(-1, 5)
    starts, ends, low, value, high = figures.T
    sources = np.array([row[5] for row in kept.intervals], np.str_)
    return Series(
        kept.zone, kept.signal, kept.kind, from_unix(0.0), starts, ends, value, low, high, sources,
        kept.factors, kept.flow,
    )  # fmt: skip


def attempt_of(kept: AttemptUsed, journal: Journal) -> AttemptRecord:
    """The attempt that was kept, with its journal as it was read again."""
    return AttemptRecord(
        from_unix(kept.started_s),
        None if kept.ended_s is None else from_unix(kept.ended_s),
        kept.exit_code,
        journal,
        kept.stops,
        kept.reload_s,
        kept.resumed,
    )


def plan_of(kept: PlanUsed | None) -> Expectation | str:
    """What the plan counted with; a reason stands in where that was not known."""
    if kept is None:
        return "what the plan counted with was not known"
    forecast = series_of(kept.forecast)
    assert forecast is not None  # there is one
    return Expectation(kept.spans, kept.watts, forecast, kept.band_g_per_kwh)
