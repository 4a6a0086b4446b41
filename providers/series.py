"""Carbon intensity of a grid zone as a step function of time, and who can tell it.

Times inside are Unix seconds in ``float64``; at the edges they are aware datetimes in UTC.
Gaps stay gaps: nothing is interpolated, extended or averaged over a hole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from providers.arrays import np
from providers.base import Triple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from providers.calibration import Calibration

Signal = Literal["average", "marginal"]
Kind = Literal["forecast", "actual", "estimate"]
Factors = Literal["direct", "lifecycle"]
Flow = Literal["consumption", "production"]
T = TypeVar("T")
# A little before the end of the year 9999, where calendars end (Unix seconds).
END_S = 2.5e11


@dataclass(frozen=True)
class Series:
    """Intensity of one zone on intervals ``[start, end)``, sorted, without overlap.

    Arrays have one entry an interval: ``starts``, ``ends`` (Unix seconds), ``g_per_kwh``,
    ``low``, ``high`` (equal to ``g_per_kwh`` where the source states no band). ``sources``
    names who told each interval; ``issued_at`` is when the source told it to us. ``calibration``
    is what makes a band of 80 % of the mean over a run; None: how far runs were off is not known.
    """

    zone: str
    signal: Signal
    kind: Kind
    issued_at: datetime
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    g_per_kwh: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    sources: NDArray[np.str_]
    factors: Factors | None = None
    flow: Flow | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        n = len(self.starts)
        sizes = {len(a) for a in (self.ends, self.g_per_kwh, self.low, self.high, self.sources)}
        if sizes != {n}:
            raise ValueError(f"{self.zone}: arrays of unequal length {sorted(sizes | {n})}")
        if n and not (
            np.all(self.starts < self.ends)
            and np.all(self.ends[:-1] <= self.starts[1:])
            and self.starts[0] > -END_S
            and self.ends[-1] < END_S
            and np.all(np.isfinite(self.g_per_kwh))
            and np.all((self.low <= self.g_per_kwh) & (self.g_per_kwh <= self.high))
        ):
            raise ValueError(f"{self.zone}: intervals overlap, run backwards or hold no number")

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def exact(self) -> bool:
        """Whether no interval has a band."""
        return np.array_equal(self.low, self.high)

    @property
    def source(self) -> str:
        """All sources in order of first use, joined for people to read."""
        return " + ".join(dict.fromkeys(self.sources.tolist())) or "none"

    @property
    def accounting(self) -> str:
        """The method behind the figures, in words: ``average, lifecycle, consumption``.

        Figures of different methods are never subtracted from each other.
        """
        factors, flow = self.factors or "factors unknown", self.flow or "flow unknown"
        return f"{self.signal}, {factors}, {flow}"

    def clip(self, start: float, end: float) -> Series:
        """The part within ``[start, end)``, empty where that is; intervals are cut at the ends."""
        keep = self._within(start, end)
        return replace(
            self,
            starts=np.maximum(self.starts[keep], start),
            ends=np.minimum(self.ends[keep], end),
            g_per_kwh=self.g_per_kwh[keep],
            low=self.low[keep],
            high=self.high[keep],
            sources=self.sources[keep],
        )

    def told(self, issued_at: datetime, kind: Kind) -> Series:
        """The same values as told at another time, or as another kind of statement."""
        return replace(self, issued_at=issued_at, kind=kind)

    def fill_from(self, other: Series) -> Series:
        """This series with its holes filled by the intervals of ``other``, each cut to fit.

        ``factors`` and ``flow`` are stated only where both series agree on them.
        """
        if not len(other):
            return self
        if not len(self):
            return replace(other, issued_at=self.issued_at, kind=other.kind)
        holes_from = np.concatenate(([-np.inf], self.ends))
        holes_to = np.concatenate((self.starts, [np.inf]))
        pieces: list[Series] = [self]
        for lo, hi in zip(holes_from, holes_to, strict=True):
            if lo < hi:
                piece = other.clip(lo, hi)
                if len(piece):
                    pieces.append(piece)
        return joined(pieces) if len(pieces) > 1 else self

    def integral(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cumulative g/kWh x seconds from the first interval up to each of ``times``."""
        return _cumulative(self, self.g_per_kwh, times)

    def covered(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds covered by intervals from the first one up to each of ``times``."""
        return _cumulative(self, np.ones(len(self)), times)

    def mean(self, start: float, end: float) -> Triple | None:
        """Time-weighted mean over ``[start, end)`` with its band; None where not all covered."""
        if end <= start:
            return None
        keep = self._within(start, end)
        width = np.minimum(self.ends[keep], end) - np.maximum(self.starts[keep], start)
        total = float(width.sum())
        if total < end - start - COVER_SLACK_S:
            return None
        value = float(width @ self.g_per_kwh[keep]) / total
        if self.low is self.g_per_kwh and self.high is self.g_per_kwh:
            return Triple.exact(value)
        low, high = float(width @ self.low[keep]) / total, float(width @ self.high[keep]) / total
        return Triple(min(low, value), value, max(high, value))

    def _within(self, start: float, end: float) -> slice:
        if end <= start:
            return slice(0, 0)
        first = int(np.searchsorted(self.ends, start, side="right"))
        return slice(first, max(first, int(np.searchsorted(self.starts, end, side="left"))))

    def gaps(self, start: float, end: float) -> list[tuple[float, float]]:
        """The holes within ``[start, end)``."""
        part = self.clip(start, end)
        lo = np.concatenate(([start], part.ends))
        hi = np.concatenate((part.starts, [end]))
        return [(float(a), float(b)) for a, b in zip(lo, hi, strict=True) if b > a]


# A window is wholly covered when no more than this is missing: float rounding, no real hole.
COVER_SLACK_S = 1e-3


def hourly_means(
    series: Series, first_s: float, hours: int, least: float = 1.0
) -> NDArray[np.float64]:
    """Means of ``hours`` hours from ``first_s`` (Unix seconds) on, g/kWh.

    NaN where less than the share ``least`` of an hour is known.
    """
    return means(series, first_s, 3600.0, hours, least)


def means(
    series: Series, first_s: float, step_s: float, cells: int, least: float
) -> NDArray[np.float64]:
    """Means of ``cells`` steps from ``first_s`` (Unix seconds) on, g/kWh.

    NaN where less than the share ``least`` of a step is known.
    """
    edges = first_s + step_s * np.arange(cells + 1, dtype=np.float64)
    covered, area = np.diff(series.covered(edges)), np.diff(series.integral(edges))
    enough = covered >= least * step_s - COVER_SLACK_S
    return np.where(enough, area / np.where(enough, covered, 1.0), np.nan)


def _cumulative(
    series: Series, heights: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    if not len(series):
        return np.zeros_like(times)
    edges = np.empty(2 * len(series))
    edges[0::2], edges[1::2] = series.starts, series.ends
    sums = np.empty(2 * len(series))
    areas = np.cumsum(heights * (series.ends - series.starts))
    sums[1::2] = areas
    sums[0::2] = np.concatenate(([0.0], areas[:-1]))
    return np.interp(times, edges, sums)


def joined(pieces: Sequence[Series]) -> Series:
    """Series of one zone and signal that do not overlap, as one; the facts are the first one's."""
    starts = np.concatenate([p.starts for p in pieces])
    order = np.argsort(starts, kind="stable")
    return replace(
        pieces[0],
        starts=starts[order],
        ends=np.concatenate([p.ends for p in pieces])[order],
        g_per_kwh=np.concatenate([p.g_per_kwh for p in pieces])[order],
        low=np.concatenate([p.low for p in pieces])[order],
        high=np.concatenate([p.high for p in pieces])[order],
        sources=np.concatenate([p.sources for p in pieces])[order],
        factors=_agreed([p.factors for p in pieces]),
        flow=_agreed([p.flow for p in pieces]),
    )


def _agreed(said: Sequence[T | None]) -> T | None:
    return said[0] if len(set(said)) == 1 else None


def empty(zone: str, signal: Signal, kind: Kind, issued_at: datetime) -> Series:
    """A series that knows nothing."""
    none = np.empty(0)
    return Series(zone, signal, kind, issued_at, none, none, none, none, none, np.empty(0, np.str_))


def flat(
    info: SourceInfo,
    zone: str,
    start: datetime,
    end: datetime,
    now: datetime,
    band: Triple,
    source: str | None = None,
) -> Series:
    """One value for all of ``[start, end)``, g/kWh; ``source`` where it is not ``info.name``."""
    low, high = to_unix(start), to_unix(end)
    if high <= low:
        return empty(zone, info.signal, "forecast", now)
    return Series(
        zone=zone,
        signal=info.signal,
        kind="forecast",
        issued_at=now,
        starts=np.array([low]),
        ends=np.array([high]),
        g_per_kwh=np.array([band.value]),
        low=np.array([band.low]),
        high=np.array([band.high]),
        sources=np.array([source or info.name]),
        factors=info.factors,
        flow=info.flow,
    )


def from_unix(seconds: float) -> datetime:
    """Unix seconds as an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def to_unix(moment: datetime) -> float:
    """An aware datetime as Unix seconds; a naive one is a :class:`ValueError`."""
    if moment.utcoffset() is None:
        raise ValueError(f"{moment.isoformat()} has no offset: times are aware datetimes in UTC")
    return moment.timestamp()


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source of carbon intensity is, for people and for the report.

    ``shiftable`` is false where the source has one value for all times: it can rank places,
    never times. ``horizon_h`` None means without end, 0 no forecast at all; ``history_h`` is how
    far back it tells actuals, None without limit. An actual may be revised until ``final_after_s``
    after its interval ended. ``factors`` and ``flow`` None: unknown, or told with each series.
    ``live``: it is asked over the network; ``learns``: it forecasts from stored actuals.
    ``key_env`` names the environment variable that holds its key, ``needs`` says what it takes,
    ``free`` what is had without paying.
    """

    name: str
    title: str
    signal: Signal
    factors: Factors | None
    flow: Flow | None
    licence: str
    step_s: float | None
    horizon_h: float | None
    has_actuals: bool
    shiftable: bool
    needs: str = "nothing"
    free: str = "all of it"
    key_env: str | None = None
    history_h: float | None = None
    final_after_s: float = 0.0
    live: bool = False
    learns: bool = False


class IntensityProvider(Protocol):
    """A source of carbon intensity. Zones are named as Electricity Maps names them."""

    @property
    def info(self) -> SourceInfo:
        """What it is."""
        ...

    def zones(self) -> frozenset[str] | None:
        """The zones it knows; None where it cannot say without asking."""
        ...

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """Expected intensity over ``[start, end)``, as far as it reaches; gaps stay gaps.

        Raises :class:`providers.errors.ProviderError`; a zone that it does not know is
        :class:`providers.errors.NoData`.
        """
        ...

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What really was, in as many calls as it takes; empty where no actuals are kept.

        A source that only ever estimates gives ``kind="estimate"`` and says so in its name.
        """
        ...
