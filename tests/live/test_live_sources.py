"""One call to each real source, for a user or maintainer with a network and keys.

Never part of CI: `python -m pytest -m live tests/live -s`. Keys come from the environment, as
lowtide reads them; a source whose key is not set is skipped, with the variable's name.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers import registry
from providers.surroundings import Surroundings

if TYPE_CHECKING:
    from providers.series import IntensityProvider, Series

pytestmark = pytest.mark.live

# A zone that each source knows, in its free tier where it has one.
ZONES = {
    "neso": "GB",
    "energy_charts": "DE",
    "energinet": "DK-DK1",
    "electricity_maps": "DE",
    "watttime": "US-CAL-CISO",
    "eia": "US-CAL-CISO",
}


@pytest.fixture(params=ZONES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[IntensityProvider, str]:
    here = Surroundings(tmp_path, tmp_path / "cache", os.environ)
    built: IntensityProvider = registry.load("intensity", request.param)({}, here)
    key = built.info.key_env
    if key is not None and not os.environ.get(key):
        pytest.skip(f"{request.param} wants a key: set {key} ({built.info.needs})")
    return built, ZONES[request.param]


def _say(series: Series) -> None:
    print(f"\n{series.source}, {series.zone}: {len(series)} values of {series.kind}, "
          f"{series.g_per_kwh.min():.0f} to {series.g_per_kwh.max():.0f} g/kWh")  # fmt: skip


def test_it_forecasts_as_far_as_it_says(source: tuple[IntensityProvider, str]) -> None:
    provider, zone = source
    now = datetime.now(UTC)
    if provider.info.horizon_h == 0:
        pytest.skip(f"{provider.info.name} has no forecast")
    series = provider.forecast(zone, now, now + timedelta(hours=24), now)
    _say(series)
    assert 0 < series.g_per_kwh.mean() < 1500


def test_it_tells_what_was(source: tuple[IntensityProvider, str]) -> None:
    provider, zone = source
    end = datetime.now(UTC) - timedelta(hours=1)
    series = provider.actual(zone, end - timedelta(hours=48), end)
    _say(series)
    assert 0 < series.g_per_kwh.mean() < 1500
