"""Every live source as a test builds it: settings without ``base_url``, a zone, its play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support import play_energinet, play_energy_charts, play_neso
from support.server import Play

# A server of our own may be asked at once.
QUICK = {"call_every_s": 0.001}

PLAYS: dict[str, tuple[Mapping[str, Any], str, Play]] = {
    "neso": (QUICK, "GB", play_neso.play),
    "energy_charts": (QUICK, "DE", play_energy_charts.play),
    "energinet": (QUICK, "DK-DK1", play_energinet.play),
}
