"""Sources as a chain asks them: under their own name for a zone, with a memory of their answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.errors import (
    OUTAGES,
    Implausible,
    LowtideError,
    NotAsked,
    ProviderError,
    TooLittle,
    Unavailable,
)
from providers.intensity.points import believable
from providers.series import empty, from_unix
from scheduler.errors import fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from providers.series import IntensityProvider, Series, SourceInfo
    from scheduler.store import Actuals, Forecasts
    from scheduler.store.forecasts import Remembered

SOURCE = "source:"
DAY_S = 86400.0
HOUR_S = 3600.0
# So much of the past is asked for at once: eight weeks are enough to begin learning from, and few
# calls at every source.
STEP_BACK_S = 56 * DAY_S


def source_key(name: str) -> str:
    """Under which name one source's own forecasts are remembered, beside those of chains."""
    return f"{SOURCE}{name}"


@dataclass(frozen=True, slots=True)
class Memory:
    """Where answers are kept, and how old one may be to stand for a source that is silent.

    ``faults`` are those of sources themselves (by name and zone) as they were last asked.
    """

    forecasts: Forecasts
    actuals: Actuals
    max_age: timedelta
    faults: dict[str, str]
    # Zones by source of which a forecast is kept: of most zones of the catalogue there is none,
    # and a pass that compares regions would look each of them up.
    _zones: dict[str, frozenset[str]] = field(default_factory=dict)

    def last_forecast(self, key: str, zone: str, now: datetime) -> Remembered | None:
        """The last forecast of a source that is kept."""
        if key not in self._zones:
            self._zones[key] = self.forecasts.zones(key)
        return self.forecasts.newest(key, zone, now) if zone in self._zones[key] else None

    def forget_zones(self) -> None:
        """Look again at what is kept: other processes store forecasts, too."""
        self._zones.clear()


class Asked:
    """One source, asked at one moment for one zone.

    What a live source tells is remembered, as it was told then. While it does not answer, or
    where it is not to be asked (``quiet``), its last forecast stands in until it is too old, and
    so do the actual values that it has told before.
    """

    def __init__(
        self,
        name: str,
        source: IntensityProvider,
        zone: str,
        memory: Memory,
        now: datetime,
        *,
        quiet: bool = False,
    ) -> None:
        self.name, self._source, self._zone = name, source, zone
        self._key = source_key(name)
        self._memory, self._now, self._quiet = memory, now, quiet
        self._silent = False
        self.was_asked = False
        # What stands in for an answer, and why.
        self.notes: tuple[str, ...] = ()

    @property
    def info(self) -> SourceInfo:
        """That of the source."""
        return self._source.info

    def zones(self) -> frozenset[str] | None:
        """Any: whatever is asked for, the one zone answers."""
        return None

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """The forecast under the zone's common name; :class:`TooLittle` where it is empty."""
        if self.info.live or self.info.learns:
            whole = self._remembered(start, end, now)
        else:
            whole = self._forecast(start, end, now)
        found = whole.clip(start.timestamp(), end.timestamp())
        if not len(found):
            raise self._too_little(whole, start, end)
        return replace(found, zone=zone)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What really was, as far as the source has ever told."""
        self.was_asked = True
        if not self.info.live:
            return replace(self._actual(start, end), zone=zone)
        low, high = start.timestamp(), end.timestamp()
        try:
            self.fetch(start, end)
        except OUTAGES as e:
            self._silent = isinstance(e, Unavailable)
            if self._known(low, high) is None:
                raise
        known = self._known(low, high)
        return (
            empty(zone, self.info.signal, "actual", end)
            if known is None
            else replace(known, zone=zone)
        )

    def fetch(self, start: datetime, end: datetime) -> None:
        """Bring whole days of actuals into memory, unless they are there and final."""
        first = start.timestamp() // DAY_S * DAY_S
        last = min(-(-end.timestamp() // DAY_S) * DAY_S, self._now.timestamp())
        if first >= last or self._final(first, last):
            return
        if self._quiet:
            raise NotAsked(f"{self.info.name} is not asked just now for {self._zone}")
        found = self._actual(from_unix(first), from_unix(last))
        if len(found):
            self._memory.actuals.remember(self.name, found, self._now)

    def check(self) -> str:
        """Ask for an hour now, remembering nothing; what came of it, in a few words."""
        try:
            found = self._forecast(self._now, self._now + timedelta(hours=1), self._now)
        except ProviderError as e:
            return str(e)
        until = from_unix(float(found.ends[-1]))
        return f"{len(found)} values from {found.source}, to {_shown(until)}"

    def final(self, end: datetime) -> bool:
        """Whether the answer of :meth:`actual` up to ``end`` will not be revised."""
        lag = timedelta(seconds=self.info.final_after_s)
        return not self._silent and self._now >= end + lag

    def top_up(self, reach: timedelta) -> None:
        """Bring the stored actuals up to now, and one step further back towards ``reach``.

        What may still be revised is asked again.
        """
        stored = [s for s in self._memory.actuals.stored(self._zone) if s.source == self.name]
        now_s = self._now.timestamp()
        back_s = reach.total_seconds()
        if self.info.history_h is not None:
            back_s = min(back_s, self.info.history_h * HOUR_S)
        if not stored:
            self.fetch(from_unix(now_s - min(back_s, STEP_BACK_S)), self._now)
            return
        self.fetch(from_unix(stored[0].last_s - self.info.final_after_s), self._now)
        oldest = now_s - back_s
        if stored[0].first_s - DAY_S > oldest:
            earlier = max(oldest, stored[0].first_s - STEP_BACK_S)
            self.fetch(from_unix(earlier), from_unix(stored[0].first_s))

    def _forecast(self, start: datetime, end: datetime, now: datetime) -> Series:
        """What the source answers now; :class:`TooLittle` where that is nothing."""
        found = self._checked(lambda: self._source.forecast(self._zone, start, end, now))
        if not len(found.clip(start.timestamp(), end.timestamp())):
            raise self._too_little(found, start, end)
        return found

    def _too_little(self, found: Series, start: datetime, end: datetime) -> TooLittle:
        reach = f": it reaches to {_shown(from_unix(float(found.ends[-1])))}" if len(found) else ""
        return TooLittle(
            f"{self.info.name} answered without any value for {self._zone} from {_shown(start)} "
            f"to {_shown(end)}{reach}"
        )

    def _actual(self, start: datetime, end: datetime) -> Series:
        return self._checked(lambda: self._source.actual(self._zone, start, end))

    def _checked(self, ask: Callable[[], Series]) -> Series:
        """An answer that a grid can be the cause of, else :class:`Implausible`: so is any fault."""
        whose = f"{self.name} for {self._zone}"
        try:
            found = believable(self.info, self._zone, ask())
        except Implausible as e:
            self._memory.faults[whose] = str(e)
            raise
        except LowtideError:
            raise
        except Exception as e:  # whatever a plugin makes of an answer stops no pass
            self._memory.faults[whose] = fault(e)
            raise Implausible(f"{self.info.name} failed on {self._zone}: {fault(e)}") from e
        self._memory.faults.pop(whose, None)
        return found

    def _remembered(self, start: datetime, end: datetime, now: datetime) -> Series:
        """A fresh forecast of all that the source reaches, or the last one while it is young."""
        low, high = start.timestamp(), end.timestamp()
        forecasts = self._memory.forecasts
        # What is asked afterwards, as of a moment in the past, was never known then.
        keeps = now >= self._now
        try:
            if self._quiet and self.info.live:
                raise NotAsked(f"{self.info.name} is not asked just now for {self._zone}")
            found = self._forecast(*self._reach(start, end, now), now)
        except OUTAGES as e:
            if not self.info.live:
                raise  # one that learns says the same again from the same actuals
            if keeps and not self._quiet:
                forecasts.remember_failure(self._key, self._zone, str(e), self._now)
            last = self._memory.last_forecast(self._key, self._zone, self._now)
            if last is None or self._now - last.checked_at > self._memory.max_age:
                raise
            found = last.series
            if not len(found.clip(low, high)):
                raise
            if last.checked_at < self._now:
                of = _shown(found.issued_at)
                self.notes += (f"{e}: its last known forecast, of {of}, is used",)
        else:
            if keeps and not self._quiet:
                forecasts.remember(self._key, found, self._now)
                self._memory.forget_zones()
        if found.starts[0] > low:
            # Of the time before it, what was believed then still stands.
            before = forecasts.in_force(self._key, self._zone, low, found.starts[0])
            found = found if before is None else found.fill_from(before)
        return found

    def _reach(self, start: datetime, end: datetime, now: datetime) -> tuple[datetime, datetime]:
        """All that the source reaches: one question an hour, whatever the jobs are."""
        hour = from_unix(now.timestamp() // HOUR_S * HOUR_S)
        if self.info.horizon_h is None:
            return min(start, hour), end
        return min(start, hour), max(end, hour + timedelta(hours=self.info.horizon_h))

    def _known(self, low: float, high: float) -> Series | None:
        return self._memory.actuals.known(self._zone, self.name, low, high)

    def _final(self, low: float, high: float) -> bool:
        """Whether all of it was told when the source no longer revised it."""
        known = self._known(low, high)
        if known is None or known.gaps(low, high):
            return False
        now_s = self._now.timestamp()
        since_s = self._memory.actuals.checked(self._zone, self.name, low, high, now_s)
        return since_s is not None and since_s >= high + self.info.final_after_s


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%MZ}"
