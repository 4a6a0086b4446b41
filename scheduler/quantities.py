"""Texts that people write (``1d12h``, ``350W``, ``5%``) to numbers in stated units.

Every one of these raises :class:`ValueError` with one line: what was given, what would do.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

_SPAN_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 365 * 86400}
# A hundred years: no plan and no lifespan is longer, and every clock can add it.
LONGEST_S = 100.0 * _SPAN_UNITS_S["y"]
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdwy])", re.IGNORECASE)
_DATA_GB = {"tb": 1e3, "gb": 1.0, "mb": 1e-3}
_POWER_W = {"mw": 1e6, "kw": 1e3, "w": 1.0}
_ENERGY_KWH = {"mwh": 1e3, "kwh": 1.0, "wh": 1e-3}


def duration_s(text: str) -> float:
    """``90s``, ``2h``, ``1d12h``, ``4y`` (365 days) in seconds; above zero."""
    compact = text.strip()
    parts = _SPAN.findall(compact)
    if not parts or _SPAN.sub("", compact).strip():
        raise ValueError(f"{text!r} is no span of time: write e.g. 90s, 2h or 1d12h")
    seconds = math.fsum(float(n) * _SPAN_UNITS_S[unit.lower()] for n, unit in parts)
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"{text!r} must be above zero and at most 100y")
    return seconds


def span_s(text: str) -> float:
    """As :func:`duration_s`, and ``0`` or ``0s`` for none."""
    return 0.0 if text.strip().lower() in {"0", "0s", "0m", "0h"} else duration_s(text)


def duration(seconds: float) -> str:
    """For people to read: ``42 s``, ``2h 05m``, ``1d 02h``."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60}h {minutes % 60:02d}m"
    return f"{hours // 24}d {hours % 24:02d}h"


def moment(text: str, now: datetime) -> datetime:
    """An ISO 8601 time with offset, or a span from ``now``, as an aware time in UTC."""
    if _SPAN.match(text.strip()):
        return now + timedelta(seconds=duration_s(text))
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write e.g. 2026-05-01T06:00+02:00, or a span such as 18h"
        ) from None
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: add an offset, e.g. {text.strip()}+02:00")
    return parsed.astimezone(UTC)


def percent(text: str) -> float:
    """``5%`` or ``5`` as 5.0, between 0 and 100."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise ValueError(f"{text!r} is no share between 0% and 100%: write e.g. 5%")
    return value


def data_gb(text: str) -> float:
    """``40GB`` or ``1.5TB`` in gigabytes (10^9 bytes); above zero."""
    return _with_unit(text, _DATA_GB, "40GB or 1.5TB")


def power_w(text: str) -> float:
    """``350W`` or ``1.2kW`` in watts; above zero."""
    return _with_unit(text, _POWER_W, "350W or 1.2kW")


def energy_kwh(text: str) -> float:
    """``1.2kWh`` or ``800Wh`` in kWh; above zero."""
    return _with_unit(text, _ENERGY_KWH, "1.2kWh or 800Wh")


def _with_unit(text: str, units: dict[str, float], example: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-z]+)", text.strip())
    if not match or match[2].lower() not in units:
        raise ValueError(f"{text!r} is not understood: write a number and a unit, e.g. {example}")
    value = float(match[1]) * units[match[2].lower()]
    if not 0 < value < math.inf:
        raise ValueError(f"{text!r} must be above zero, e.g. {example}")
    return value
