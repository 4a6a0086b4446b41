"""Our own forecast of a zone, from its stored actuals: 120 hours ahead, with a band of 80 %.

Most zones have a history and no forecast. What is learned is kept beside the HTTP cache and
learned anew each week; what was forecast is stored like any source's word.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from providers import forecaster
from providers.arrays import np
from providers.calibration import Calibration
from providers.errors import TooLittle
from providers.files import make_folder
from providers.forecaster import Model
from providers.intensity.points import MOST_G_PER_KWH
from providers.series import Series, Signal, SourceInfo, empty, from_unix, hourly_means, to_unix
from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from providers.surroundings import Surroundings

NAME = "forecaster"
HOUR_S = 3600.0
DAY_S = 86400.0
REACH_H = 120
LATEST_S = forecaster.LATEST_H * HOUR_S
# A week more of a year's history moves no weight much; the recent past is read at each question.
REFIT_S = 7 * DAY_S
# Eight weeks: as much as the model reads of the recent past.
RECENT_H = 56 * 24
# Half an hour tells more of its hour than the days before do.
LEAST_OF_HOUR = 0.5


class Settings(ProviderSettings):
    """``signal`` chooses among histories; ``days`` is how far back it looks."""

    signal: Signal = "average"
    days: Annotated[int, Field(ge=14, le=3660)] = 400


class Forecaster:
    """Forecasts on the basis of the history that it learned from; it has no actuals."""

    def __init__(self, settings: Settings, here: Surroundings) -> None:
        self._settings, self._history = settings, here.history
        self._folder = here.cache_dir / NAME
        self._models: dict[str, Model] = {}
        self.info = SourceInfo(
            name=NAME,
            title="our own forecast from stored actuals of the zone, with a band of 80 %",
            signal=settings.signal,
            factors=None,
            flow=None,
            licence="that of the history it learns from",
            step_s=HOUR_S,
            horizon_h=REACH_H,
            has_actuals=False,
            shiftable=True,
            needs="14 days of actuals: `lowtide history import`, or a source that has them",
            learns=True,
        )

    def zones(self) -> frozenset[str] | None:
        """Whatever there is history of."""
        return None

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """Hourly means from this hour on, at most 120 hours ahead.

        :class:`TooLittle` with less than 14 days of actuals, or none of the last two days.
        """
        low, high = to_unix(start), to_unix(end)
        issue = to_unix(now) // HOUR_S * HOUR_S
        known = self._known(zone, now)
        ahead = round(min(high - issue, REACH_H * HOUR_S) / HOUR_S + 0.5)
        if ahead <= 0 or high <= low:
            return empty(zone, known.signal, "forecast", now)
        first = float(known.starts[0]) // HOUR_S * HOUR_S
        hourly = hourly_means(known, first, round((issue - first) / HOUR_S), LEAST_OF_HOUR)
        model = self._model(f"{zone} {known.source} {known.signal}", hourly, first)
        recent = hourly[-RECENT_H:]
        told = model.predict(recent, issue - HOUR_S * len(recent), ahead)
        starts = issue + HOUR_S * np.arange(ahead, dtype=np.float64)
        # Tenths of a gram are far below what anybody can foresee, and small to store.
        low_g, value, high_g = (
            np.minimum(np.round(g, 1), MOST_G_PER_KWH) for g in (told.low, told.value, told.high)
        )
        return Series(
            zone=zone,
            signal=known.signal,
            kind="forecast",
            issued_at=now,
            starts=starts,
            ends=starts + HOUR_S,
            g_per_kwh=value,
            low=low_g,
            high=high_g,
            sources=np.full(ahead, f"{NAME} ({model.method}, {known.source})"),
            factors=known.factors,
            flow=known.flow,
            calibration=Calibration(issue, issue + REACH_H * HOUR_S, model.factors),
        ).clip(low, high)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """Nothing: it only foresees."""
        return empty(zone, self.info.signal, "actual", end)

    def _known(self, zone: str, now: datetime) -> Series:
        """The first history that is long and young enough."""
        since = from_unix(to_unix(now) - DAY_S * self._settings.days)
        whys = []
        for series in self._history.actuals(zone, since, now):
            if series.signal != self._settings.signal:
                continue
            hours = float(series.covered(series.ends[-1:])[0]) / HOUR_S
            late_s = to_unix(now) - float(series.ends[-1])
            if hours >= forecaster.NEEDED_H and late_s <= LATEST_S:
                return series
            days, late_h = hours / 24, late_s / HOUR_S
            whys.append(f"{series.source} has {days:.0f} days of it, the last {late_h:.0f} h ago")
        said = "; ".join(whys) or "none are stored"
        raise TooLittle(
            f"{NAME} needs {forecaster.NEEDED_H // 24} days of actuals of {zone} up to the last "
            f"{LATEST_S / HOUR_S:.0f} h: {said} (see `lowtide history`)"
        )

    def _model(self, key: str, hourly: NDArray[np.float64], first_s: float) -> Model:
        """What was learned of ``key`` within a week, else what its history teaches now."""
        end_s = first_s + HOUR_S * len(hourly)
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
        for known in (self._models.get(key), _load(path)):
            if (
                known is not None
                and 0 <= end_s - known.end_s < REFIT_S
                and (known.start_s - first_s < REFIT_S)
            ):
                self._models[key] = known
                return known
        self._models[key] = made = forecaster.fit(hourly, first_s)
        _save(path, made)
        return made


def _load(path: Path) -> Model | None:
    """A kept model; None where there is none, or none that can be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            found = {f.name: kept[f.name] for f in fields(Model)}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    scalars = {name: a.item() for name, a in found.items() if a.ndim == 0}
    return Model(**{**found, **scalars})


def _save(path: Path, model: Model) -> None:
    """Keep it; a folder that cannot be written costs only the time to learn it again."""
    try:
        make_folder(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
            kept: dict[str, Any] = {f.name: getattr(model, f.name) for f in fields(Model)}
            np.savez(draft, **kept)
        Path(draft.name).replace(path)
    except OSError:
        return


def build(settings: Mapping[str, Any], here: Surroundings) -> Forecaster:
    """A forecaster on the store's history."""
    return Forecaster(checked(Settings, settings, NAME), here)
