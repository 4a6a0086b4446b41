"""What a job wrote to ``$LOWTIDE_UNITS``: units of work for R, and metrics of its result.

``name=value`` is a unit and is summed over all lines of all attempts, for R counts repeated work,
too (SCI for AI: all epochs, intermediate runs, early stops). ``parameters`` is a declared size,
no work done: its largest value counts, however often it is declared. ``metric.name=value`` is a
metric (accuracy, loss): its last value counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# The functional units of a provider in SCI for AI (section 8.2), with the scale that people read.
AI_UNITS: Final = {
    "flops": (1e15, "1e15 FLOP"),
    "tokens": (1e6, "million tokens"),
    "parameters": (1e9, "billion parameters"),
}
DECLARED: Final = "parameters"
METRIC = "metric."
# A job may write rubbish: so many names of each kind are kept, none of them longer.
MOST_NAMES = 100
LONGEST_NAME = 100
# Nobody counts less: a score is a division by it, and must stay a number.
LEAST = 1e-100


@dataclass(frozen=True, slots=True)
class Work:
    """Units of work with their count, and metrics with their last value; all finite.

    ``unknown`` says why no unit has a count; empty where each has what the job wrote.
    """

    units: dict[str, float]
    metrics: dict[str, float]
    unknown: str = ""


def unit_name(name: str) -> str:
    """The unit as it is kept: ``FLOP``, ``token``, ``parameter`` mean the plurals."""
    plain = name.casefold().removesuffix("s") + "s"
    return plain if plain in AI_UNITS else name


def done(work: Work, unit: str) -> float | None:
    """How much of a unit the job counted; None where that is nothing, or no number above zero."""
    counted = work.units.get(unit_name(unit), 0.0)
    return counted if counted > 0 else None


def count(lines: Iterable[tuple[str, float]], part: str = "") -> Work:
    """Judge the lines, in the order in which they were written.

    ``part`` says why they are the last of many: a sum of some would be wrong, a last value is not.
    """
    units: dict[str, float] = {}
    metrics: dict[str, float] = {}
    for written, value in lines:
        is_metric = written.startswith(METRIC)
        name = written.removeprefix(METRIC).strip() if is_metric else unit_name(written)
        found = metrics if is_metric else units
        fits = 0 < len(name) <= LONGEST_NAME and name.isprintable()
        fits = fits and (name in found or len(found) < MOST_NAMES)
        if not is_metric and name in units:
            value = max(units[name], value) if name == DECLARED else units[name] + value
        if fits and math.isfinite(value) and (abs(value) >= LEAST or value == 0):
            found[name] = value
    return Work({} if part else units, metrics, part)


def together(jobs: Iterable[dict[str, float]]) -> dict[str, float]:
    """The units of several jobs by the same rule."""
    return count((name, value) for units in jobs for name, value in units.items()).units
