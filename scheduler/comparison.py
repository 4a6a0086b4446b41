"""Places side by side, as a command shows them: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import Triple
    from providers.catalogue import CarbonFree
    from providers.series import Factors, Flow, Signal
    from scheduler.models import Plan, Window


@dataclass(frozen=True, slots=True)
class Typical:
    """What is usual in a zone, in g/kWh; ``seasons`` None where only a yearly mean is known."""

    g_per_kwh: float
    source: str
    seasons: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Bringing:
    """What it takes to bring a job's data to a place."""

    hours: float
    kwh: float
    grams: float


@dataclass(frozen=True, slots=True)
class Told:
    """On which basis an intensity is told; figures on different ones differ by themselves."""

    signal: Signal
    factors: Factors | None
    flow: Flow | None


@dataclass(frozen=True, slots=True)
class Row:
    """A place with its best window for the job, and what else speaks for or against it.

    ``same_basis``: told as the first row is, so that their order is safe. ``nulls`` names each
    unknown field, as it stands in JSON, with its reason.
    """

    window: Window
    provider: str
    distance_km: float | None
    typical: Typical | None
    next_24h: Triple | None
    told: Told | None
    carbon_free: CarbonFree | None
    bringing: Bringing | None
    same_basis: bool
    nulls: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlaceOrTime:
    """Whether to move the job or to let it wait; savings are against a start at home now.

    ``verdict`` None: not known, or not safe to say; ``reason`` tells why.
    """

    home: str
    wait_saves_percent: float | None
    move_saves_percent: float | None
    best_region: str | None
    verdict: Literal["place", "time", "equal"] | None
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Places for one job, the best first; ``left_out`` are those without a row, with the reason."""

    plan: Plan
    rows: tuple[Row, ...]
    place_or_time: PlaceOrTime
    left_out: Mapping[str, str]
