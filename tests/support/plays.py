"""Every live source as a test builds it: settings without ``base_url``, a zone, its play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support import (
    play_eia,
    play_electricity_maps,
    play_energinet,
    play_energy_charts,
    play_neso,
    play_watttime,
)
from support.server import Play

# A server of our own may be asked at once.
QUICK = {"call_every_s": 0.001}

PLAYS: dict[str, tuple[Mapping[str, Any], str, Play]] = {
    "neso": (QUICK, "GB", play_neso.play),
    "energy_charts": (QUICK, "DE", play_energy_charts.play),
    "energinet": (QUICK, "DK-DK1", play_energinet.play),
    "electricity_maps": ({}, "DE", play_electricity_maps.play),
    "watttime": ({}, "US-CAL-CISO", play_watttime.play),
    "eia": ({}, "US-CAL-CISO", play_eia.play),
}

# The keys that the played sources take.
KEYS: Mapping[str, str] = {
    "ELECTRICITY_MAPS_TOKEN": play_electricity_maps.TOKEN,
    "WATTTIME_USERNAME": play_watttime.USER,
    "WATTTIME_PASSWORD": play_watttime.PASSWORD,
    "EIA_API_KEY": play_eia.KEY,
}
