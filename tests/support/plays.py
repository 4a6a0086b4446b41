"""Every live source as a test builds it: settings without ``base_url``, a zone, its play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support import play_energinet, play_energy_charts, play_neso
from support.server import Play

PLAYS: dict[str, tuple[Mapping[str, Any], str, Play]] = {
    "neso": ({}, "GB", play_neso.play),
    "energy_charts": ({}, "DE", play_energy_charts.play),
    "energinet": ({}, "DK-DK1", play_energinet.play),
}
