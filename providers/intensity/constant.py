"""One declared value for all times, with the source that the user states for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from providers.base import Triple
from providers.errors import NoData
from providers.intensity.points import MOST_G_PER_KWH
from providers.series import Factors, Flow, Signal, SourceInfo, empty, flat
from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from providers.series import Series
    from providers.surroundings import Surroundings

Grams = Annotated[float, Field(ge=0, le=MOST_G_PER_KWH, allow_inf_nan=False)]


class Band(ProviderSettings):
    """A value with its bounds, g/kWh; a plain number is a value known without error."""

    low: Grams
    value: Grams
    high: Grams

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: object) -> object:
        return given if isinstance(given, dict) else dict.fromkeys(cls.model_fields, given)

    @model_validator(mode="after")
    def _ordered(self) -> Band:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"bounds out of order: {self.low} <= {self.value} <= {self.high}")
        return self


class Settings(ProviderSettings):
    """``source`` says where the figure comes from; ``zones`` empty means any zone."""

    g_per_kwh: Band
    source: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3)]
    zones: tuple[str, ...] = ()
    signal: Signal = "average"
    factors: Factors | None = None
    flow: Flow | None = None


class Constant:
    """A declared intensity; it has no actuals."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        given = settings.g_per_kwh
        self._band = Triple(given.low, given.value, given.high)
        self.info = SourceInfo(
            name=f"constant ({settings.source})",
            title=f"{self._band.value:g} g/kWh at all times",
            signal=settings.signal,
            factors=settings.factors,
            flow=settings.flow,
            licence="the user's own figure",
            step_s=None,
            horizon_h=None,
            has_actuals=False,
            shiftable=False,
        )

    def zones(self) -> frozenset[str] | None:
        """The zones it was declared for; None for any."""
        return frozenset(self._settings.zones) or None

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """One interval with the declared value."""
        if self._settings.zones and zone not in self._settings.zones:
            raise NoData(
                f"{self.info.name} was declared for {', '.join(self._settings.zones)}, not {zone}"
            )
        return flat(self.info, zone, start, end, now, self._band)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """Nothing: a declaration is not what was."""
        return empty(zone, self._settings.signal, "actual", end)


def build(settings: Mapping[str, Any], here: Surroundings) -> Constant:
    """A source of one declared value."""
    return Constant(checked(Settings, settings, "constant"))
