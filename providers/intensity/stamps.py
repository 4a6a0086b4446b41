"""Time stamps as sensors and people write them: put on round times, and how long a value holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.arrays import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Steps (s) that series of carbon data and the polls of sensors have: whole parts of an hour.
ROUND_S = (3600.0, 1800.0, 900.0, 600.0, 300.0, 60.0, 30.0, 15.0, 10.0, 5.0, 1.0)
# A stamp that lies no farther than this share of a step from a round time is meant to be that
# time: a poll starts seconds to minutes late, and no source has values for a tenth of its step.
JITTER = 0.1
# A difference of so many usual steps is nearer to two steps than to one: a row is missing there.
MISSING = 1.5
# So many equal differences in a row are a step of their own, not holes.
RUN = 3


def usual_step(gaps: NDArray[np.float64]) -> float:
    """The lower median of differences (s), which stamps that jitter do not move."""
    return float(np.sort(gaps)[(len(gaps) - 1) // 2])


def snapped(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stamps (Unix seconds, rising) that jitter, on the coarsest round times that all lie near.

    They are left as they are where their differences are whole steps already, or where no round
    times are near all of them or two stamps would fall together.
    """
    gaps = np.diff(times)
    if len(gaps) < 2 or not np.any(gaps % usual_step(gaps)):
        return times
    for step in ROUND_S:
        on = np.rint(times / step) * step
        if np.max(np.abs(on - times)) <= JITTER * step and np.all(np.diff(on) > 0):
            return on
    return times


def lengths(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """How long each value holds (s): to the next one, or before a hole as long as its step is.

    A difference is a step if it is shorter than :data:`MISSING` usual ones, or stands in a run of
    three equal ones; else a hole lies there. Before it the step is that of the last such run.
    """
    gaps = np.diff(times)
    change = np.flatnonzero(np.diff(gaps)) + 1
    bounds = np.concatenate(([0], change, [len(gaps)]))
    steady = np.repeat(np.diff(bounds), np.diff(bounds)) >= RUN
    usual = usual_step(gaps)
    last = np.maximum.accumulate(np.where(steady, np.arange(len(gaps)), -1))
    first = gaps[np.argmax(steady)] if steady.any() else usual
    step = np.where(last >= 0, gaps[np.maximum(last, 0)], first)
    held = np.where((gaps < MISSING * usual) | steady, gaps, np.minimum(step, gaps))
    return np.append(held, step[-1])
