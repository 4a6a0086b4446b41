"""Hourly history made ready: holes filled from the days before, and the courses of day and week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.arrays import np
from providers.errors import NoData

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOUR_S = 3600.0
DAY_H = 24
WEEK_H = 168
# Two of the seven-day profiles: one to see errors against, one before it to start from.
NEEDED_H = 14 * DAY_H
# The model promises 120 hours ahead of now for actuals that come so late; what is older says little
# of the hours to come.
LATEST_H = 48
# The errors of so many hours are carried forward (lowtide's reference: `hod7decay`).
RECENT_H = 6
# The course of the week is the mean of at most so many weeks: a year beat 8, 16 and 26 weeks on
# seven grids of 2020-21, eight of 2021-22 and sixty of 2022.
WEEKS = 52
# Weeks without any course are counted with them, so that few tell little: with 3 to 5 weeks of
# history 8 captured more than 4, and as much as 12 without losing more later.
DOUBT_WEEKS = 8


def checked(hourly: NDArray[np.float64], start_s: float) -> int:
    """The number of the first hour since 1970 of a history that can be used.

    :class:`NoData` where it has less than 14 days of known hours, :class:`ValueError` where it
    does not start on the hour or has a value that is negative or infinite.
    """
    if start_s % HOUR_S:
        raise ValueError(f"history starts at {start_s:.0f} s, which is not on the hour")
    if np.any(np.isinf(hourly) | (hourly < 0)):
        raise ValueError("history has a value that is negative or infinite")
    known = int(np.sum(~np.isnan(hourly)))
    if known < NEEDED_H:
        raise NoData(
            f"history has {known} hours, a forecast needs {NEEDED_H} "
            f"({NEEDED_H // DAY_H} days): collect more first"
        )
    return int(start_s // HOUR_S)


def filled(hourly: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same hours without holes; a hole takes the mean of its hour over the 7 days before.

    Where none of these is known it takes the mean of its hour over all days, else of all hours.
    Nothing after a hole is used if the days before tell it, so that a forecast issued in the past
    sees what it would have seen.
    """
    if not np.isnan(hourly).any():
        return hourly
    spare = -len(hourly) % DAY_H
    days = np.concatenate((hourly, np.full(spare, np.nan))).reshape(-1, DAY_H)
    known = ~np.isnan(days)
    values = np.where(known, days, 0.0)
    before = _last_seven(values) / np.maximum(_last_seven(known.astype(np.float64)), 1.0)
    some = _last_seven(known.astype(np.float64)) > 0
    whole = values.sum(0) / np.maximum(known.sum(0), 1)
    whole = np.where(known.any(0), whole, values.sum() / max(int(known.sum()), 1))
    return np.where(known, days, np.where(some, before, whole)).reshape(-1)[: len(hourly)]


def _last_seven(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each row the sum of the seven rows before it."""
    sums = np.concatenate((np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)))
    at = np.arange(len(rows))
    return np.asarray(sums[at] - sums[np.maximum(at - 7, 0)])


def day_means(
    values: NDArray[np.float64], issues: NDArray[np.int64], days: int
) -> NDArray[np.float64]:
    """Mean by hour over the last ``days`` days, as far as they are there: issues x 24 hours.

    The first column is the hour from the issue on; ``issues`` are indices into ``values``.
    """
    sums = np.zeros((len(issues), DAY_H))
    found = np.zeros((len(issues), 1))
    for day in range(1, days + 1):
        at = issues - day * DAY_H
        there = at >= 0
        sums[there] += values[at[there, None] + np.arange(DAY_H)]
        found[there] += 1
    return sums / np.maximum(found, 1)


def week_courses(values: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """How far each hour of the week stood above its hour of the day: weeks x 168 hours.

    Row ``n`` is the mean of up to a year of weeks before the ``n``-th start of a week at or after
    the first hour (number ``first`` since 1970, at which hour of the week 0 began); the last row
    knows all whole weeks. Row 0 is zero: nothing is known yet. Smoothed over three hours.
    """
    skip = -first % WEEK_H
    count = max(0, (len(values) - skip) // WEEK_H)
    weeks = values[skip : skip + count * WEEK_H].reshape(count, 7, DAY_H)
    above = (weeks - weeks.mean(1, keepdims=True)).reshape(count, WEEK_H)
    above = (np.roll(above, -1, 1) + above + np.roll(above, 1, 1)) / 3
    sums = np.concatenate((np.zeros((1, WEEK_H)), np.cumsum(above, axis=0)))
    at = np.arange(count + 1)
    since = np.maximum(at - WEEKS, 0)
    return np.asarray((sums[at] - sums[since]) / (at - since + DOUBT_WEEKS)[:, None])


def tiled(days: NDArray[np.float64], hours: int) -> NDArray[np.float64]:
    """Each row of 24 hours repeated until there are ``hours`` of them."""
    return np.tile(days, (1, -(-hours // DAY_H)))[:, :hours]
