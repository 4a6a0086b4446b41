"""Grams against finish time and money: the plans among which only the user can choose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from providers.arrays import np
from scheduler.engine import planning
from scheduler.models import Objective
from scheduler.planner import window
from scheduler.planner.choice import TIE

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine.places import Field
    from scheduler.models import JobSpec, Window

# So many finish times are asked for, evenly between the earliest and the deadline.
LIMITS = 48


def front(spec: JobSpec, field: Field, now: datetime, *, currency: str) -> tuple[Window, ...]:
    """The windows that no other beats in grams, finish and cost at once, by finish.

    For each region and each of :data:`LIMITS` finish times the exact plan with the least carbon
    that is done by then. Where no power is known, g/kWh stand for grams; a cost that is not
    known is not compared.
    """
    plain = spec.model_copy(
        update={
            "objective": Objective(max_cost=spec.objective.max_cost),
            "min_saving_percent": 0.0,
        }
    )
    case = planning.prepare(plain, field, now, currency=currency)
    asked = case.request
    found = []
    known_s = max((float(p.series.ends[-1]) for p in case.places if p.series), default=0.0)
    last_s = max(asked.earliest_s, min(asked.latest_s, known_s - asked.duration_s))
    for place, option in zip(case.places, case.field.candidates, strict=True):
        for latest_s in np.linspace(asked.earliest_s, last_s, LIMITS).tolist():
            if latest_s < asked.earliest_s + place.ready_s:
                continue
            request = replace(asked, latest_s=latest_s)
            chosen = window.decide((place,), request, case.basis).chosen
            if chosen is not None:
                found.append(planning.window_of(case, chosen, option))
    distinct = list(dict.fromkeys(found))
    best = [w for w in distinct if not any(_beats(other, w) for other in distinct)]
    return tuple(sorted(best, key=lambda w: (w.end or w.start, _figures(w))))


def _figures(w: Window) -> tuple[float, float, float]:
    carbon = w.grams or w.g_per_kwh
    assert carbon is not None  # it was chosen on a known intensity
    assert w.end is not None  # only jobs of known duration are compared
    return carbon.value, w.end.timestamp(), w.cost if w.cost is not None else 0.0


def _beats(a: Window, b: Window) -> bool:
    """Nowhere worse, somewhere better; of equal ones the earlier start, then the first name."""
    pairs = list(zip(_figures(a), _figures(b), strict=True))
    if any(x > y + TIE * abs(y) for x, y in pairs):
        return False
    better = any(x < y - TIE * abs(y) for x, y in pairs)
    return better or (a.start, a.region) < (b.start, b.region)
