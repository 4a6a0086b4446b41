"""Texts that people write (``1d12h``, ``350W``, ``5%``) to numbers in stated units.

Every one of these raises :class:`ValueError` with one line: what was given, what would do. Where a
text has two readings, it is refused with both.
"""

from __future__ import annotations

import math
import re

_SPAN_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 365 * 86400}
_SPAN_NAMES = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
    "y": ("y", "year", "years"),
}
_UNIT_OF = {name: unit for unit, names in _SPAN_NAMES.items() for name in names}
# A hundred years: no plan and no lifespan is longer, and every clock can add it.
LONGEST_S = 100.0 * _SPAN_UNITS_S["y"]
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
# Slurm's form of a span of time, with days before a dash: 2:00:00 and 1-12:00:00.
_CLOCK_SPAN = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")
_TWO_PARTS = re.compile(r"\d+:\d+")
# More than any machine draws: the hungriest of the TOP500 (November 2024), Aurora, takes 39 MW.
MOST_W = 100e6
# That power for some fourteen months.
MOST_KWH = 1e9
# An exabyte: all that CERN kept on disk in 2023.
MOST_GB = 1e9
# Less than any meter tells from nothing, in watts, kWh and gigabytes alike.
LEAST = 1e-12
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
# Small letters stand for their unit where no other is written so: mW is not MW.
_DATA_GB = {"TB": 1e3, "GB": 1.0, "MB": 1e-3, "tb": 1e3, "gb": 1.0, "mb": 1e-3}
_POWER_W = {"MW": 1e6, "kW": 1e3, "W": 1.0, "mW": 1e-3, "KW": 1e3, "kw": 1e3, "w": 1.0}
_ENERGY_KWH = {"MWh": 1e3, "kWh": 1.0, "Wh": 1e-3, "mWh": 1e-6, "KWh": 1.0, "kwh": 1.0, "wh": 1e-3}
SPAN_EXAMPLES = "90s, 2h or 1d12h"


def has_unit(text: str) -> bool:
    """Whether a text begins as a span of time does: a number and a unit."""
    found = _SPAN.match(text.strip())
    return found is not None and found[2].lower() in _UNIT_OF


def duration_s(text: str) -> float:
    """``90s``, ``2h``, ``90min``, ``1d12h``, ``2:00:00``, ``4y`` (365 days) in seconds; above zero.

    A number alone, or ``2:00``, says no unit, and is refused.
    """
    compact = text.strip()
    if _NUMBER.fullmatch(compact):
        if compact.startswith("-") or float(compact) == 0:
            raise ValueError(f"a duration must be above zero, not {text!r}: use e.g. 90s or 2h")
        raise ValueError(f"{compact!r} could be seconds or minutes: write {compact}s or {compact}m")
    if _TWO_PARTS.fullmatch(compact):
        left, right = compact.split(":")
        raise ValueError(
            f"{compact!r} could be hours or minutes: write {compact}:00 or {left}m{right}s"
        )
    clock = _CLOCK_SPAN.fullmatch(compact)
    if clock is not None:
        days, hours, minutes, seconds_of_it = (float(part or 0) for part in clock.groups())
        seconds = days * 86400 + hours * 3600 + minutes * 60 + seconds_of_it
    else:
        parts = _SPAN.findall(compact)
        wrong = not parts or _SPAN.sub("", compact).strip(" ,")
        if wrong or any(unit.lower() not in _UNIT_OF for _, unit in parts):
            raise ValueError(f"invalid duration {text!r}: use e.g. {SPAN_EXAMPLES}")
        seconds = math.fsum(float(n) * _SPAN_UNITS_S[_UNIT_OF[u.lower()]] for n, u in parts)
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


def percent(text: str) -> float:
    """``5%`` and ``0.05`` are both 5.0; between 0 and 100.

    A bare number of 1 or more has two readings, and is refused with both.
    """
    compact = text.strip()
    number = compact.removesuffix("%").strip()
    value = float(number) if _NUMBER.fullmatch(number) else math.nan
    if compact.endswith("%"):
        found = value
    elif value >= 1:
        shares = f"{number}% or {round(100 * value, 9):g}%"
        raise ValueError(f"{compact!r} could be {shares}: write it with its %, or as 0.05")
    else:
        found = round(100 * value, 9)  # 0.07 is 7, not 7.000000000000001
    if not 0 <= found <= 100:
        raise ValueError(f"{text!r} is not a share between 0% and 100%: write e.g. 5% or 0.05")
    return found


def significant(value: float) -> str:
    """Three significant digits, without an exponent for everyday sizes."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def data_gb(text: str) -> float:
    """``40GB`` or ``1.5TB`` in gigabytes (10^9 bytes); above zero, at most :data:`MOST_GB`."""
    return _with_unit(text, _DATA_GB, "40GB or 1.5TB", MOST_GB, "GB")


def power_w(text: str) -> float:
    """``350W`` or ``1.2kW`` in watts, as is a number alone; above zero, at most :data:`MOST_W`."""
    given = f"{text}W" if _NUMBER.fullmatch(text.strip()) else text
    return _with_unit(given, _POWER_W, "350W or 1.2kW", MOST_W, "W")


def energy_kwh(text: str) -> float:
    """``1.2kWh`` or ``800Wh`` in kWh; above zero, at most :data:`MOST_KWH`."""
    return _with_unit(text, _ENERGY_KWH, "1.2kWh or 800Wh", MOST_KWH, "kWh")


def size(count_bytes: int) -> str:
    """For people to read: ``0 bytes``, ``12 kB``, ``1.2 GB`` (a GB is 10^9 bytes)."""
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
    scale, unit = next((each for each in units if count_bytes >= each[0]), (1.0, "bytes"))
    return f"{significant(count_bytes / scale)} {unit}"


def _with_unit(text: str, units: dict[str, float], example: str, most: float, unit: str) -> float:
    match = re.fullmatch(rf"({_NUMBER.pattern})\s*([A-Za-z]+)", text.strip())
    if not match or match[2] not in units:
        known = ", ".join(name for name in units if not name.islower() and name[0] != "K")
        raise ValueError(f"{text!r} is not a number with a unit ({known}): write e.g. {example}")
    value = float(match[1]) * units[match[2]]
    if not LEAST <= value <= most:
        raise ValueError(
            f"{text!r} must be above zero and at most {most:,.0f} {unit}: write e.g. {example}"
        )
    return value
