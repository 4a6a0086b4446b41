"""What is known of a region's carbon intensity: sources asked, answers remembered."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from providers import registry
from providers.errors import LowtideError, NoData, ProviderError
from providers.intensity.chain import Chain
from providers.series import SourceInfo
from providers.transport import contact
from scheduler.engine.patience import Patient
from scheduler.engine.sources import Asked, Memory, source_key
from scheduler.errors import ConfigError, PendingError, StoreError, fault
from scheduler.locks import held
from scheduler.models import LOOKED_AHEAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from providers.series import IntensityProvider, Series
    from providers.surroundings import Surroundings
    from providers.transport import Contact
    from scheduler.config import Config
    from scheduler.regions import Region, Regions
    from scheduler.store import Store
    from scheduler.store.forecasts import Answer


# A week of forecasts for the next day says which source is the better one.
LEAST_JUDGED_H = 7 * 24.0
# Live sources are asked for so long in one pass; what is left has to do with what they said before.
ASKING = timedelta(seconds=60)
# The longest that a pass may take with what was begun in that time: a history in some pieces, each
# as slow as the transport bears.
PATIENCE = timedelta(minutes=3)

# ``asks``: this one asks the sources for its home, and no other process does meanwhile;
# ``remembers``: live sources are not asked; ``may ask``: where no other process asks just now.
Mode = Literal["asks", "remembers", "may ask"]


@dataclass(frozen=True, slots=True)
class Known:
    """A region's expected intensity, or in one sentence why there is none.

    ``error`` is set where sources were asked and none had an answer; ``outage`` where one of
    those that cover the zone had none, and may have one later. ``row_id`` is set where the series
    was remembered.
    """

    series: Series | None
    reason: str = ""
    notes: tuple[str, ...] = ()
    error: ProviderError | None = None
    row_id: int | None = None
    outage: bool = False


@dataclass(frozen=True, slots=True)
class Realized:
    """What really was, as far as sources tell; holes filled by the last forecast of them.

    ``provisional``: a source may still tell or revise a part of it. ``step_s`` is for how long an
    actual value holds at most, None where a source does not say.
    """

    series: Series | None
    reason: str = ""
    provisional: bool = False
    notes: tuple[str, ...] = ()
    step_s: float | None = None


class Outlook:
    """Asks each region's chain of sources; the only place that asks for carbon data."""

    def __init__(
        self,
        config: Config,
        store: Store,
        regions: Regions,
        here: Surroundings,
        sources: Mapping[str, IntensityProvider] | None = None,
    ) -> None:
        self._config, self._regions = config, regions
        self._forecasts, self._accuracies = store.forecasts, store.accuracies
        max_age = config.settings.outage.max_age if config.settings.outage.keeps else 0.0
        self.faults: dict[str, str] = {}
        self._memory = Memory(
            store.forecasts, store.actuals, timedelta(seconds=max_age), self.faults
        )
        self._here = replace(here, asks_until=self._asked_until)
        self._store, self._stand_ins = store, dict(sources or {})
        self._sources = dict(self._stand_ins)
        # How far ahead each zone's chain was last asked: a short horizon is no reason to ask
        # again before the answer is old.
        self._asked: dict[tuple[str, str], datetime] = {}
        self._asks_until: datetime | None = None
        # Chains of which no source could tell anything when they were asked then.
        self._failed: dict[tuple[str, str], tuple[Known, datetime]] = {}
        self._mode: Mode = "may ask"
        # Whether this one has asked, and whether it lacked what is still to be asked for.
        self.has_asked = self.pending = False

    def under(self, config: Config, regions: Regions, here: Surroundings) -> Outlook:
        """One under another configuration, with the same sources standing in."""
        return Outlook(config, self._store, regions, here, self._stand_ins)

    def join(self, other: Outlook) -> None:
        """Ask live sources as ``other`` may: or not at all, and for no longer in its pass."""
        self._asks_until, self._mode = other._asks_until, other._mode

    def begin_pass(self) -> timedelta:
        """Begin to count how long live sources are asked; the longest that may take.

        Nothing where no configured region uses one.
        """
        self._asks_until = self._here.clock() + ASKING
        self._memory.forget_zones()
        used = {name for region in self._regions.configured for name in region.chain}
        return PATIENCE if any(self._is_live(name) for name in used) else timedelta()

    @contextmanager
    def asking(self) -> Iterator[Outlook | None]:
        """This outlook as the one that asks for its home; None where another process asks.

        Who asks may have to wait for a slow source, and nothing waits for who asks.
        """
        with held(self._config.home / "asking.lock") as mine:
            yield self._as("asks") if mine else None

    def remembering(self) -> Outlook:
        """This outlook without any question to a live source."""
        return self._as("remembers")

    def _as(self, mode: Mode) -> Outlook:
        made = copy(self)
        made._mode, made.has_asked, made.pending = mode, False, False
        return made

    def _asked_until(self) -> datetime:
        """When the last question of this pass must have ended."""
        if self._asks_until is None:
            return datetime.max.replace(tzinfo=UTC)
        return self._asks_until - ASKING + PATIENCE

    def _is_live(self, name: str) -> bool:
        try:
            return self.source(name).info.live
        except Exception:  # noqa: BLE001 -- whoever asks it says what is wrong
            return False

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
            try:
                made = build(settings, self._here)
                if not isinstance(made.info, SourceInfo):
                    raise TypeError(f"its info is a {type(made.info).__name__}")
                ours = kind in registry.BUILTINS["intensity"]
                self._sources[name] = made if ours else Patient(made)
            except LowtideError:
                raise
            except Exception as e:
                raise ConfigError(
                    f"{self._config.path}: the source {name} cannot be set up ({fault(e)})"
                ) from e
        return self._sources[name]

    def ask(
        self,
        region: Region,
        start: datetime,
        end: datetime,
        now: datetime,
        *,
        quiet: bool = False,
        as_of: datetime | None = None,
    ) -> Known:
        """What the region's sources say now; live ones are remembered, and with ``quiet`` not
        asked: what they said before has to do.

        With ``as_of`` they are asked for what they would have said then, and nothing is
        remembered.
        """
        if region.zone is None:
            return self._nowhere(region)
        if as_of is None:
            start, end = _looked_at(start, end, now)
        sources = self._chain(region, now, quiet=quiet)
        result = Chain(sources).forecast(region.zone, start, end, as_of or now)
        notes = (*(note for source in sources for note in source.notes), *result.notes)
        if not len(result.series):
            error = result.error() or NoData(f"no source knows zone {region.zone}")
            return Known(None, str(error), notes, error, outage=result.outage)
        return Known(result.series, notes=notes)

    def refresh(self, region: Region, start: datetime, end: datetime, now: datetime) -> Known:
        """What is known after asking, unless the last answer is young enough; remembered."""
        if region.zone is None:
            return self._nowhere(region)
        start, end = _looked_at(start, end, now)
        key, settings = _key(region), self._config.settings
        newest = self._forecasts.newest(key, region.zone, now)
        if newest is not None:
            row_id, series, notes, checked_at = newest
            young = now - checked_at < timedelta(seconds=settings.refresh)
            if young and self._reaches(key, series, start, end):
                return Known(series, notes=notes, row_id=row_id)
        if self._mode == "remembers":
            return self._recalled(region, start, end, now)
        if self._mode == "may ask":
            with self.asking() as asker:
                if asker is not None:
                    return asker.refresh(region, start, end, now)
            with suppress(PendingError):
                return self._recalled(region, start, end, now)
        self.has_asked = True
        if any(self.source(name).info.learns for name in region.chain):
            self.learn(region, now)
        known = self.ask(region, start, end, now)
        self._asked[key, region.zone] = end
        if known.series is None:
            self._failed[key, region.zone] = known, now
            return known
        self._failed.pop((key, region.zone), None)
        row_id = self._forecasts.remember(key, known.series, now, known.notes)
        return replace(known, row_id=row_id)

    def _recalled(self, region: Region, start: datetime, end: datetime, now: datetime) -> Known:
        """What was known of a region when its sources were last asked, if that was not long ago.

        :class:`PendingError` where it was: who asks them knows more soon.
        """
        assert region.zone is not None
        key, since = _key(region), now - timedelta(seconds=self._config.settings.refresh) - PATIENCE
        failed, at = self._failed.get((key, region.zone), (None, since))
        if failed is not None and at > since:
            return failed
        last = self._forecasts.newest(key, region.zone, now)
        if last is not None and last.checked_at > since:
            if self._reaches(key, last.series, start, end):
                return Known(last.series, notes=last.notes, row_id=last.row_id)
            known = self.remembering().ask(region, start, end, now)
            if known.series is not None:
                row_id = self._forecasts.remember(key, known.series, last.checked_at, known.notes)
                return replace(known, row_id=row_id)
        self.pending = True
        raise PendingError(f"the sources of {region.name} are still to be asked")

    def _reaches(self, key: str, series: Series, start: datetime, end: datetime) -> bool:
        """Whether a forecast tells of ``[start, end)``, or as much of it as its sources do."""
        asked_to = self._asked.get((key, series.zone), start)
        return bool(series.starts[0] <= start.timestamp()) and (
            bool(series.ends[-1] >= end.timestamp()) or asked_to >= end
        )

    def shown(self, region: Region, start: datetime, end: datetime, now: datetime) -> Series | None:
        """The expected intensity for people to see; the last one stored, where nobody asks."""
        if self._mode != "remembers" or region.zone is None:
            return self.refresh(region, start, end, now).series
        found = self._forecasts.newest(_key(region), region.zone, now)
        return None if found is None else found.series

    def learn(self, region: Region, now: datetime) -> None:
        """Bring in the actuals that the forecaster learns from: the newest, and some older.

        A source that does not tell them now is asked at the next refresh.
        """
        for asked in self._chain(region, now):
            if asked.info.live and asked.info.has_actuals:
                try:
                    asked.top_up(timedelta(days=self._config.settings.history.days))
                except StoreError:
                    raise
                except Exception as e:  # noqa: BLE001 -- asked again at the next refresh
                    if not isinstance(e, ProviderError):
                        self.faults[f"{asked.name} for {region.zone}"] = fault(e)

    def realized(self, region: Region, start: datetime, end: datetime, now: datetime) -> Realized:
        """Actual intensity over ``[start, end)``; where no source has it, the last forecast."""
        if region.zone is None:
            return Realized(None, self._no_zone(region))
        low, high = start.timestamp(), end.timestamp()
        asked = self._chain(region, now)
        keepers = [a for a in asked if a.info.has_actuals]
        told = Chain(keepers).actual(region.zone, start, end)
        actual, notes = told.series, told.notes
        provisional = any(not a.final(end) for a in keepers if a.was_asked)
        if len(actual) and not actual.gaps(low, high):
            steps = [info.step_s for info in told.used]
            step_s = None if None in steps else max((s for s in steps if s), default=None)
            return Realized(actual, provisional=provisional, notes=notes, step_s=step_s)
        believed = self._forecasts.last_told(_key(region), region.zone, low, high)
        if believed is None or believed.gaps(low, high):
            known = self.ask(region, start, end, now, as_of=start)
            if known.series is not None:
                believed = known.series if believed is None else believed.fill_from(known.series)
        series = actual if believed is None else actual.fill_from(believed)
        if not len(series):
            why = "; ".join(notes) or f"no source knows zone {region.zone} at that time"
            return Realized(None, why, provisional=provisional, notes=notes)
        if believed is not None:
            yet = "not yet known" if provisional else "kept by no source"
            where = f"of a part of the run in {region.zone}" if len(actual) else f"in {region.zone}"
            notes = (
                *(n for n in notes if "no window lies there" not in n),
                f"actual intensity {where} is {yet}: the last forecast stands in "
                f"({believed.source})",
            )
        return Realized(replace(series, kind="estimate"), provisional=provisional, notes=notes)

    def check(self, region: Region, name: str, now: datetime) -> str:
        """Ask one source of a region's chain now; what came of it, in a few words."""
        return next(a for a in self._chain(region, now) if a.name == name).check()

    def contact(self, name: str) -> Contact | None:
        """When a live source was last reached, by any process; None where it never was asked."""
        return contact(self.source(name).info.name, self._here.cache_dir)

    def last_answers(self, name: str) -> list[Answer]:
        """What came of the last question to a source about each zone that config uses it for."""
        users = [region for region in self._regions.configured if name in region.chain]
        zones = {self._zone_at(name, region) for region in users}
        key = source_key(name)
        found = self._forecasts.answers(key)
        return [answer for answer in found if answer.chain == key and answer.zone in zones]

    def _chain(self, region: Region, now: datetime, *, quiet: bool = False) -> list[Asked]:
        """The region's sources, first choice first, each under its own name for the zone."""
        assert region.zone is not None
        late = self._asks_until is not None and self._here.clock() > self._asks_until
        quiet = quiet or late or self._mode == "remembers"
        found = []
        for name in self._order(region):
            source, zone = self.source(name), self._zone_at(name, region)
            assert zone is not None
            found.append(Asked(name, source, zone, self._memory, now, quiet=quiet))
        return found

    def _zone_at(self, name: str, region: Region) -> str | None:
        """What a source calls the region's zone.

        One that learns is asked for the zone whose actuals it finds in the store.
        """
        own = [region.zones[n] for n in region.chain if n in region.zones]
        usual = own[0] if own and self.source(name).info.learns else region.zone
        return region.zones.get(name, usual)

    def _order(self, region: Region) -> list[str]:
        """The chain as stated, or with the better ones first among those on the first's basis.

        A source of which too little is known keeps its place, as does one on another basis: it
        would change the level of what is told.
        """
        names = list(region.chain)
        if self._config.settings.order == "stated" or region.zone is None:
            return names
        known = self._accuracies.of(region.zone, LEAST_JUDGED_H)
        first = self.source(names[0]).info
        infos = {name: self.source(name).info for name in names if name in known}
        like = [
            name
            for name, info in infos.items()
            if info.signal == first.signal
            and (info.learns or (info.factors, info.flow) == (first.factors, first.flow))
        ]
        better = iter(sorted(like, key=lambda name: known[name]))
        return [next(better) if name in like else name for name in names]

    def _nowhere(self, region: Region) -> Known:
        for name in region.chain:
            self.source(name)  # a name that is wrong is an error, wherever the region is
        return Known(None, self._no_zone(region))

    def _no_zone(self, region: Region) -> str:
        return (
            f"region {region.name} has no grid zone: set regions.{region.name}.zone "
            f"{self._config.edit}, e.g. zone: DE; a place is never guessed"
        )


def _looked_at(start: datetime, end: datetime, now: datetime) -> tuple[datetime, datetime]:
    """The part of a span that is asked for: what is known does not grow with a far deadline."""
    return max(start, now - LOOKED_AHEAD), min(end, now + LOOKED_AHEAD)


def _key(region: Region) -> str:
    """Under which name a chain's answers for a zone are remembered."""
    own = region.zones
    return ",".join(f"{name}@{own[name]}" if name in own else name for name in region.chain)
