"""Cloud instance types side by side for the same work: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from providers.base import Triple
    from scheduler.models import Basis


@dataclass(frozen=True, slots=True)
class Runtime:
    """How long the work takes on an instance type (s), and how that is known."""

    seconds: Triple
    source: str


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """An instance type in a region at its best window; the whole instance is held.

    ``energy_kwh`` is at the meter of the machine, without PUE; ``total_g`` None where M is not
    known. ``same_basis``: its intensity is told as that of the first row. ``nulls`` names each
    unknown field, as it stands in JSON, with its reason.
    """

    instance: str
    region: str
    vcpus: int
    architectures: tuple[str, ...]
    watts: Triple
    watts_source: str
    runtime: Runtime
    start: datetime
    end: datetime
    g_per_kwh: Triple
    intensity_source: str
    pue: Triple
    pue_source: str
    energy_kwh: Triple
    operational_g: Triple
    embodied_g: Triple | None
    embodied_source: str | None
    same_basis: bool
    nulls: dict[str, str] = field(default_factory=dict)

    @property
    def total_g(self) -> Triple | None:
        """O + M."""
        return None if self.embodied_g is None else self.operational_g + self.embodied_g

    def grams(self, basis: Basis) -> Triple:
        """What rows on this basis are ranked by."""
        total = self.total_g
        return self.operational_g if basis == "operational" or total is None else total


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What could not be ranked; ``region`` None: the type, wherever it runs."""

    instance: str
    region: str | None
    reason: str


Lever = Literal["hardware", "place", "time"]


@dataclass(frozen=True, slots=True)
class Saving:
    """What one lever saves (percent, negative where it costs) and by what."""

    lever: Lever
    percent: float
    by: str


@dataclass(frozen=True, slots=True)
class HardwareVerdict:
    """What each lever alone saves against the first type at home, started now, the best first.

    ``reason`` says why there is none; ``equal``: the first two save the same.
    """

    savings: tuple[Saving, ...]
    reason: str
    equal: bool = False


@dataclass(frozen=True, slots=True)
class InstanceComparison:
    """Rows by grams on ``basis``; ``unit_count`` units named ``unit`` are done by the work."""

    rows: tuple[InstanceRow, ...]
    left_out: tuple[LeftOut, ...]
    basis: Basis
    unit: str
    unit_count: float
    verdict: HardwareVerdict
    slack_s: float
    speed_assumed_equal: bool
