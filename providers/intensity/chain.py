"""First choice, then fallbacks: holes are filled interval by interval, and said so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.errors import (
    OUTAGES,
    AccessDenied,
    BadData,
    NoData,
    ProviderError,
    Unavailable,
)
from providers.intensity import scaling
from providers.series import empty, from_unix, to_unix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from providers.series import IntensityProvider, Series, SourceInfo

    Ask = Callable[[IntensityProvider, datetime, datetime], Series]

# How far back an overlap is looked for where the forecast itself has too little of it.
LOOK_BACK = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What a chain knows; ``notes`` say who failed and who filled which hole.

    ``used`` are the sources that told a part of it, in order. ``outage``: one that covers the
    zone had nothing usable, and may have later; a fault in a file of the user's own does not pass.
    """

    series: Series
    notes: tuple[str, ...] = ()
    failures: tuple[ProviderError, ...] = ()
    used: tuple[SourceInfo, ...] = ()
    outage: bool = False

    def error(self) -> ProviderError | None:
        """One error for all failures, of the gravest class: wrong data before none."""
        said = "; ".join(dict.fromkeys(str(e) for e in self.failures))
        for kind in (BadData, AccessDenied, NoData, Unavailable):
            if any(isinstance(e, kind) for e in self.failures):
                return kind(said)
        return ProviderError(said) if self.failures else None


class Chain:
    """Sources in order of preference.

    The signal and the basis (factors, flow) of the first one that answers count. Another signal
    is never mixed in. A source on another basis lends only its shape: it is scaled to the level
    of the first one over at least :data:`scaling.LEAST_OVERLAP_S` that both know, and marked;
    without that overlap its hole stays. One value for all times fills only what no other source
    knows anything of: as a patch in a shaped series it would make a step that is not there. Some
    sources have no other values, some have no other for a few zones.
    """

    def __init__(self, providers: Sequence[IntensityProvider]) -> None:
        self.providers = tuple(providers)

    @property
    def has_actuals(self) -> bool:
        """Whether any source keeps actual values."""
        return any(p.info.has_actuals for p in self.providers)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> ChainResult:
        """Expected intensity over ``[start, end)`` from as few sources as cover it."""
        return _Merge(
            empty(zone, "average", "forecast", now),
            lambda p, a, b: p.forecast(zone, a, b, now),
            (start, end),
        ).over(self.providers)

    def actual(self, zone: str, start: datetime, end: datetime) -> ChainResult:
        """What really was, from the sources that keep actuals; holes stay holes."""
        return _Merge(
            empty(zone, "average", "actual", end),
            lambda p, a, b: p.actual(zone, a, b),
            (start, end),
        ).over([p for p in self.providers if p.info.has_actuals])


class _Merge:
    """One question put to source after source, until it is answered."""

    def __init__(self, nothing: Series, ask: Ask, span: tuple[datetime, datetime]) -> None:
        self._known, self._ask, self._span = nothing, ask, span
        self._low, self._high = to_unix(span[0]), to_unix(span[1])
        self._leader: IntensityProvider | None = None
        self._level: Series = nothing
        self._notes: list[str] = []
        self._failures: list[ProviderError] = []
        self._outage = False
        self._used: list[SourceInfo] = []

    def over(self, providers: Sequence[IntensityProvider]) -> ChainResult:
        for provider in providers:
            holes = self._known.gaps(self._low, self._high)
            if not holes:
                break
            if not self._fits(provider, holes):
                continue
            try:
                found = self._ask(provider, *self._span)
            except ProviderError as e:
                self._failures.append(e)
                own_file = type(e) is BadData and not provider.info.live
                self._outage |= isinstance(e, OUTAGES) and not own_file
                # That nothing is stored to learn from is no news.
                if not (provider.info.learns and isinstance(e, NoData)):
                    self._notes.append(str(e))
                continue
            self._take(provider, found, holes)
        left = self._known.gaps(self._low, self._high) if len(self._known) else []
        if left:
            self._notes.append(
                f"{self._known.source} reaches to {_shown(float(self._known.ends[-1]))}, and "
                f"nothing is known of {_spans(left)}: no window lies there"
            )
        notes, failures = tuple(dict.fromkeys(self._notes)), tuple(self._failures)
        return ChainResult(self._known, notes, failures, tuple(self._used), self._outage)

    def _fits(self, provider: IntensityProvider, holes: Sequence[tuple[float, float]]) -> bool:
        known, info = self._known, provider.info
        if not len(known):
            return True
        if info.signal != known.signal:
            self._notes.append(
                f"{info.name} tells {info.signal} intensity, not {known.signal}: not used"
            )
            return False
        if not info.shiftable:
            self._leave_open(info.name, holes)
        return info.shiftable

    def _leave_open(self, name: str, holes: Sequence[tuple[float, float]]) -> None:
        self._notes.append(
            f"{self._known.source} has a hole {_spans(holes)}: {name} has one value for all times "
            "and does not fill it"
        )

    def _is_flat(self, series: Series, step_s: float | None) -> bool:
        """Whether it is one value over the whole span, longer than a step of its source."""
        one = len(series) == 1 and [series.starts[0], series.ends[0]] == [self._low, self._high]
        return one and step_s is not None and self._high - self._low > step_s

    def _take(
        self,
        provider: IntensityProvider,
        found: Series,
        holes: Sequence[tuple[float, float]],
    ) -> None:
        """Let ``found`` fill the holes of what is known."""
        if not len(found):
            return
        name = provider.info.name
        if not len(self._known):
            self._known = self._level = found
            self._leader = provider
            self._used.append(provider.info)
            return
        if found.signal != self._known.signal:
            self._notes.append(f"{name} told {found.signal} intensity: not used")
            return
        if self._is_flat(found, provider.info.step_s):
            self._leave_open(found.source, holes)
            return
        said = f"{self._known.source} has a hole {_spans(holes)}"
        if _basis(found) == _basis(self._level):
            self._known = self._known.fill_from(found)
            self._level = self._level.fill_from(found)
            self._notes.append(f"{said}: filled by {name}")
            self._used.append(provider.info)
            return
        other = f"{name}, on another basis ({_told(found)}; the rest: {_told(self._level)})"
        factor = self._factor(provider, found)
        if factor is None:
            self._notes.append(
                f"{said}: {other}, has less than 24 h in common with it and does not fill it"
            )
            return
        self._known = self._known.fill_from(scaling.scaled(found, factor, self._level))
        self._notes.append(f"{said}: filled by {other}, scaled by {factor:.3g} to its level")
        self._used.append(provider.info)

    def _factor(self, provider: IntensityProvider, found: Series) -> float | None:
        """What brings ``provider`` to the level of the leader, over what both know."""
        factor = scaling.factor(self._level, found)
        if factor is not None or self._leader is None:
            return factor
        before = (self._span[0] - LOOK_BACK, self._span[0])
        try:
            was = self._leader.actual(found.zone, *before)
            told = self._ask(provider, *before)
        except ProviderError:
            return None
        if _basis(was) != _basis(self._level):
            return None
        return scaling.factor(self._level.fill_from(was), found.fill_from(told))


def _basis(series: Series) -> tuple[str | None, str | None]:
    return series.factors, series.flow


def _told(series: Series) -> str:
    return f"{series.factors or 'factors unknown'}, {series.flow or 'flow unknown'}"


def _spans(holes: Sequence[tuple[float, float]]) -> str:
    shown = [f"{_shown(a)} to {_shown(b)}" for a, b in holes]
    return ", ".join(shown[:2]) + (f" and {len(shown) - 2} more" if len(shown) > 2 else "")


def _shown(at_s: float) -> str:
    return f"{from_unix(at_s):%Y-%m-%dT%H:%MZ}"
