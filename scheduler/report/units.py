"""Figures for people."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from scheduler.quantities import significant
from scheduler.sci import AI_UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from providers.base import Triple

# Units of what is kept in grams and in kWh, the largest first.
GRAMS = (("kg", 1e3), ("g", 1.0), ("mg", 1e-3), ("µg", 1e-6))
LITRES = (("l", 1.0), ("ml", 1e-3), ("µl", 1e-6))
KWH = (("kWh", 1.0), ("Wh", 1e-3), ("mWh", 1e-6), ("µWh", 1e-9))


def grams(value: float) -> str:
    """``9.8 mg``, ``318 g``, ``1.24 kg``."""
    return _scaled(value, GRAMS)


def signed(value: float) -> str:
    """Grams of a change: ``+9.8 mg``, ``-318 g``."""
    return f"+{grams(value)}" if value > 0 else grams(value)


def per_unit(unit: str, score: Triple | None) -> str:
    """A score in the scale that people read: ``4 g CO2e per 1e15 FLOP``."""
    scale, label = AI_UNITS.get(unit, (1.0, unit))
    scaled = None if score is None else score.scaled(scale)
    return f"{triple(scaled, grams)} CO2e per {label}"


def energy(kwh: float) -> str:
    """``53 µWh``, ``3.4 Wh``, ``1.24 kWh``."""
    return _scaled(kwh, KWH)


def litres(value: float) -> str:
    """``53 µl``, ``3.4 ml``, ``1.24 l``."""
    return _scaled(value, LITRES)


def _scaled(value: float, scales: Sequence[tuple[str, float]]) -> str:
    """In the largest unit that the figure reaches."""
    for unit, size in scales:
        if abs(value) >= size:
            return f"{significant(value / size)} {unit}"
    unit, size = scales[-1] if value else scales[1]
    return f"{significant(value / size)} {unit}"


def triple(figure: Triple | None, form: object, why: str | None = None) -> str:
    """``1.2 g (0.9 g to 1.6 g)``, or ``unknown`` with its reason."""
    if figure is None:
        return f"unknown: {why}" if why else "unknown"
    assert callable(form)
    if not figure.bounded:
        return f"{form(figure.value)} (at least {form(figure.low)}, no upper bound)"
    if figure.low == figure.high:
        return str(form(figure.value))
    return f"{form(figure.value)} ({form(figure.low)} to {form(figure.high)})"


def clock(moment: datetime, now: datetime, tz: tzinfo) -> str:
    """``23:10``; with the weekday on another day, with the date in another week."""
    local, today = moment.astimezone(tz), now.astimezone(tz)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    days = abs((local.date() - today.date()).days)
    return f"{local:%a %H:%M}" if days < 7 else f"{local:%Y-%m-%d %H:%M}"


_STAMP = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z")


def on_clocks(text: str, now: datetime, tz: tzinfo) -> str:
    """A text whose UTC stamps are those of the other times of its view."""
    return _STAMP.sub(lambda found: clock(datetime.fromisoformat(found[0]), now, tz), text)


def pruned(at: datetime) -> str:
    """What is left of a job of which ``lowtide prune`` has deleted the rest."""
    return (
        f"pruned at {at:%Y-%m-%dT%H:%M:%SZ}: its output, checkpoints, energy journal and story are "
        "deleted; the final settlement stays"
    )


def zone_name(tz: tzinfo, now: datetime) -> str:
    """What the times of a view are said to be in: ``Europe/Berlin``, ``UTC``, ``UTC+05:30``."""
    name = getattr(tz, "key", None) or now.astimezone(tz).tzname() or ""
    return "UTC" if name in ("", "Etc/UTC", "UTC+00:00") else name


def change(saved_percent: float) -> str:
    """A saving of 38 % is a change of ``-38 %``; a loss has a plus."""
    rounded = round(-saved_percent)
    return f"{rounded:+d} %" if rounded else "0 %"
