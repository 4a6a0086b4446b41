"""One declared value for all times, with the source that the user states for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from providers.errors import NoData
from providers.series import Factors, Flow, Series, Signal, SourceInfo, empty
from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

Grams = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Band(ProviderSettings):
    """A value with its bounds, g/kWh."""

    low: Grams
    value: Grams
    high: Grams

    @model_validator(mode="after")
    def _ordered(self) -> Band:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"bounds out of order: {self.low} <= {self.value} <= {self.high}")
        return self


class Settings(ProviderSettings):
    """``source`` says where the figure comes from; ``zones`` empty means any zone."""

    g_per_kwh: Grams | Band
    source: Annotated[str, Field(min_length=3)]
    zones: tuple[str, ...] = ()
    signal: Signal = "average"
    factors: Factors | None = None
    flow: Flow | None = None


class Constant:
    """A declared intensity; it has no actuals."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        given = settings.g_per_kwh
        self._band = given if isinstance(given, Band) else Band(low=given, value=given, high=given)
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
        return Series(
            zone=zone,
            signal=self._settings.signal,
            kind="forecast",
            issued_at=now,
            starts=np.array([start.timestamp()]),
            ends=np.array([end.timestamp()]),
            g_per_kwh=np.array([self._band.value]),
            low=np.array([self._band.low]),
            high=np.array([self._band.high]),
            sources=np.array([self.info.name]),
            factors=self._settings.factors,
            flow=self._settings.flow,
        )

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """Nothing: a declaration is not what was."""
        return empty(zone, self._settings.signal, "actual", end)


def build(settings: Mapping[str, Any], base_dir: Path) -> Constant:
    """A source of one declared value."""
    return Constant(checked(Settings, settings, "constant"))
