"""What is known of a region's carbon intensity: sources asked, answers remembered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from providers import registry
from providers.errors import NoData, ProviderError, Unavailable
from providers.intensity.chain import Chain
from scheduler.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from providers.series import IntensityProvider, Series
    from providers.surroundings import Surroundings
    from scheduler.config import Config
    from scheduler.regions import Region
    from scheduler.store.memory import Forecasts


@dataclass(frozen=True, slots=True)
class Known:
    """A region's expected intensity, or in one sentence why there is none.

    ``error`` is set where sources were asked and none could tell; ``row_id`` where the
    series was remembered.
    """

    series: Series | None
    reason: str = ""
    notes: tuple[str, ...] = ()
    error: ProviderError | None = None
    row_id: int | None = None


@dataclass(frozen=True, slots=True)
class Realized:
    """What really was, as far as sources tell; holes filled by the forecast in force."""

    series: Series | None
    reason: str = ""
    provisional: bool = False
    notes: tuple[str, ...] = ()


class Outlook:
    """Asks each region's chain of sources; the only place that asks for forecasts."""

    def __init__(
        self,
        config: Config,
        forecasts: Forecasts,
        here: Surroundings,
        sources: Mapping[str, IntensityProvider] | None = None,
    ) -> None:
        self._config = config
        self._forecasts = forecasts
        self._here = here
        self._sources = dict(sources or {})
        # How far ahead each zone's chain was last asked: a short horizon is no reason to ask
        # again before the answer is old.
        self._asked: dict[tuple[str, str], datetime] = {}
        self._chains: dict[tuple[str, ...], Chain] = {}

    def source(self, name: str) -> IntensityProvider:
        """The source called ``name`` in config, or the built-in of that name."""
        if name not in self._sources:
            settings = dict(self._config.settings.sources.get(name, {}))
            kind = settings.pop("type", name)
            if kind not in registry.targets("intensity"):
                known = sorted({*self._config.settings.sources, *registry.targets("intensity")})
                raise ConfigError(
                    f"{self._config.path}: no source of carbon data is called {kind!r}: "
                    f"known are {', '.join(known)}"
                )
            build = registry.load("intensity", kind)
            self._sources[name] = build(settings, self._here)
        return self._sources[name]

    def chain(self, region: Region) -> Chain:
        """The region's sources, first choice first."""
        if region.chain not in self._chains:
            self._chains[region.chain] = Chain([self.source(name) for name in region.chain])
        return self._chains[region.chain]

    def ask(self, region: Region, start: datetime, end: datetime, now: datetime) -> Known:
        """Ask the region's sources now; nothing is remembered."""
        if region.zone is None:
            return Known(None, self._no_zone(region))
        try:
            result = self.chain(region).forecast(region.zone, start, end, now)
        except ProviderError as e:
            return Known(None, str(e), error=e)
        if not len(result.series):
            error = result.error() or NoData(f"no source knows zone {region.zone}")
            return Known(None, str(error), result.notes, error)
        return Known(result.series, notes=result.notes)

    def refresh(self, region: Region, start: datetime, end: datetime, now: datetime) -> Known:
        """What is known after asking, unless the last answer is young enough; remembered.

        With every source silent the outage policy decides: the last known forecast while it
        is younger than ``outage.max_age``, else nothing.
        """
        if region.zone is None:
            return Known(None, self._no_zone(region))
        key, settings = _key(region), self._config.settings
        newest = self._forecasts.newest(key, region.zone)
        if newest is not None:
            row_id, series, notes, checked_at = newest
            young = now - checked_at < timedelta(seconds=settings.refresh)
            reaches = series.starts[0] <= start.timestamp() and (
                series.ends[-1] >= end.timestamp()
                or self._asked.get((key, region.zone), start) >= end
            )
            if young and reaches:
                return Known(series, notes=notes, row_id=row_id)
        known = self.ask(region, start, end, now)
        self._asked[key, region.zone] = end
        if known.series is not None:
            row_id = self._forecasts.remember(key, known.series, now, known.notes)
            return replace(known, row_id=row_id)
        if newest is None or settings.outage.policy != "last-known":
            return known
        row_id, series, _, _ = newest
        age = now - series.issued_at
        if not isinstance(known.error, Unavailable) or age > timedelta(
            seconds=settings.outage.max_age
        ):
            return known
        said = f"no source answers ({known.reason}); last known forecast, {age} old, is used"
        return Known(series, notes=(said,), row_id=row_id)

    def realized(self, region: Region, start: datetime, end: datetime) -> Realized:
        """Actual intensity over ``[start, end)``; where no source has it, what was believed."""
        if region.zone is None:
            return Realized(None, self._no_zone(region))
        low, high = start.timestamp(), end.timestamp()
        chain = self.chain(region)
        notes: tuple[str, ...] = ()
        actual: Series | None = None
        if chain.has_actuals:
            try:
                result = chain.actual(region.zone, start, end)
                actual, notes = result.series, result.notes
            except ProviderError as e:
                notes = (str(e),)
            if actual is not None and len(actual) and not actual.gaps(low, high):
                return Realized(actual, notes=notes)
        believed = self._forecasts.in_force(_key(region), region.zone, low, high)
        if believed is None or believed.gaps(low, high):
            asked = self.ask(region, start, end, start)
            if asked.series is not None:
                believed = asked.series if believed is None else believed.fill_from(asked.series)
        series = believed
        if actual is not None and len(actual):
            series = actual if believed is None else actual.fill_from(believed)
        if series is None or not len(series):
            why = "; ".join(notes) or f"no source knows zone {region.zone} at that time"
            return Realized(None, why, provisional=chain.has_actuals, notes=notes)
        return Realized(
            replace(series, kind="estimate"), provisional=chain.has_actuals, notes=notes
        )

    def _no_zone(self, region: Region) -> str:
        return (
            f"region {region.name} has no grid zone: set regions.{region.name}.zone in "
            f"{self._config.path} (e.g. zone: DE); a place is never guessed"
        )


def _key(region: Region) -> str:
    return ",".join(region.chain)
