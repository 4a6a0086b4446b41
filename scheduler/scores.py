"""How good forecasts and plans were, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeadScore:
    """Errors of forecasts made ``from_h`` to ``to_h`` hours ahead.

    ``mape_percent`` leaves out hours of zero actual intensity (``zeros``); ``bias_g_per_kwh`` is
    the mean of forecast minus actual. Both weigh by time; ``hours`` is how much of it was judged.
    """

    from_h: int
    to_h: int
    hours: float
    mape_percent: float | None
    bias_g_per_kwh: float
    zeros: int


@dataclass(frozen=True, slots=True)
class SourceScore:
    """One source in one zone, over the stored issues: ``issues`` of them, at most one an hour."""

    source: str
    zone: str
    issues: int
    leads: tuple[LeadScore, ...]


@dataclass(frozen=True, slots=True)
class PlanScore:
    """What plans really made were worth, on actual intensities.

    ``captured_percent`` is 100 * sum(run now - planned) / sum(run now - perfect) over ``jobs``,
    each in g/kWh with PUE; None where there was nothing to gain. ``left_out`` counts jobs by
    the reason.
    """

    jobs: int
    captured_percent: float | None
    run_now_g_per_kwh: float | None
    planned_g_per_kwh: float | None
    perfect_g_per_kwh: float | None
    left_out: dict[str, int]
