"""What one GPU board embodies, by its name; a table of published figures, each with its source.

Bounds: no publisher states any. Two studies of the A100 differ by 181 / 127.6, so a published
figure is taken as times or divided by that. A board without one has Cloud Carbon Footprint's flat
150 kg, times or divided by two, which holds every published figure.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from providers.base import Triple

# ccfcoef/constants.py @ b0032d9.
FLAT_KG, FLAT_SPREAD = 150.0, 2.0
# ADEME 2026 (PCIe) over Falk et al. 2025 (SXM), boards with the same chip.
SPREAD = 181.0 / 127.6


@dataclass(frozen=True, slots=True)
class Board:
    """TE of one board, kg CO2e, and where the figure is from."""

    kg: Triple
    source: str


def board(name: str) -> Board:
    """A board by any name that names its chip: ``NVIDIA A100-SXM4-40GB``, ``Tesla T4``."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    for chip, form, kg, source in _published():
        if chip in words and any(word.startswith(form) for word in words):
            return Board(Triple(kg / SPREAD, kg, kg * SPREAD), source)
    source = f"no figure is published for {name}: Cloud Carbon Footprint's flat one @ b0032d9"
    if not name:
        source = "Cloud Carbon Footprint's flat figure @ b0032d9"
    return Board(Triple(FLAT_KG / FLAT_SPREAD, FLAT_KG, FLAT_KG * FLAT_SPREAD), source)


@cache
def _published() -> tuple[tuple[str, str, float, str], ...]:
    text = (files("providers") / "data/gpu_boards.csv").read_text(encoding="utf-8")
    return tuple(
        (row["chip"], row["form"], float(row["kg"]), row["source"])
        for row in csv.DictReader(text.splitlines())
    )
