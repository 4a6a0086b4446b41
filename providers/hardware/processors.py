"""The processors behind cloud instance types, from Cloud Carbon Footprint's lists (vendored)."""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from providers.errors import SettingsError
from providers.meters import microarchitecture

if TYPE_CHECKING:
    from providers.meters.microarchitecture import WattsPerVcpu

# Rows of CCF that are known to be wrong, and are therefore not vendored.
WRONG = {
    "EPYC 5th Gen": "its row is a bad join (3.7 W idle against 0.7 W of the generation before)",
    **dict.fromkeys(
        ("Graviton2", "Graviton3", "Graviton3E", "Graviton4"),
        "its row only repeats that of EPYC 2nd Gen",
    ),
}


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A cloud instance type: ``vcpus`` rented with it, and the processors that it may run on.

    ``accelerated``: it comes with GPUs or other accelerators, whose power nothing here tells.
    """

    provider: str
    kind: str
    vcpus: int
    accelerated: bool
    architectures: tuple[str, ...]

    @property
    def name(self) -> str:
        """As it is written: ``aws/c5.large``."""
        return f"{self.provider}/{self.kind}"

    @property
    def watts(self) -> WattsPerVcpu | None:
        """What one vCPU draws; None where that is not known of all its processors."""
        return microarchitecture.of(self.architectures)

    @property
    def no_watts(self) -> str:
        """Why nothing is known of what it draws."""
        lacking = [a for a in self.architectures if microarchitecture.of((a,)) is None]
        whys = [f"{a}: {WRONG.get(a, 'it has no row')}" for a in lacking]
        return f"no watts per vCPU in Cloud Carbon Footprint's table for {'; '.join(whys)}"


def instance_type(name: str) -> InstanceType:
    """The type called ``name`` (``aws/c5.large``); :class:`SettingsError` offers the nearest."""
    known = _types()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise SettingsError(
            f"the processor of instance type {name} is not in Cloud Carbon Footprint's lists: "
            f"nearest are {', '.join(near) or 'none (write aws/..., gcp/... or azure/...)'}"
        )
    return known[name]


@cache
def _types() -> dict[str, InstanceType]:
    text = (files("providers") / "data/ccf/architectures.csv").read_text(encoding="utf-8")
    rows = (
        InstanceType(
            row["provider"],
            row["type"],
            int(row["vcpus"]),
            row["accelerator"] == "1",
            tuple(row["architectures"].split("|")),
        )
        for row in csv.DictReader(text.splitlines())
    )
    return {made.name: made for made in rows}
