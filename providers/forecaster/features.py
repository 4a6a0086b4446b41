"""What is known at an issue of each hour ahead: the base forecast, and what may correct it.

All of it stands in square roots of g/kWh: errors grow with the level, and roots even that out.
Against plain values they cut the error by 0.4 to 4 % on three sets of grids; logarithms cut it
more, but captured less of the possible saving and cannot take a zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.arrays import np
from providers.forecaster.history import DAY_H, RECENT_H, WEEK_H, day_means, tiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of the last hours' error so much is left each hour ahead (lowtide's reference: `hod7decay`).
DECAY = 0.93
# So much of the course of the week is taken out of the last two days before their errors are told;
# it is what regressions over 15 grids give for two days ahead (0.58 to 0.72).
WEEK_SHARE = 0.6
# The days whose mean tells what seven days have by chance; beside it one of 56 days had no weight.
LONG_DAYS = 28
COUNT = 12
# What corrections are worth on most grids, by hours ahead: pooled regressions over 15 grids of
# 2020-21 and 60 of 2022, whose weights agree in sign and mostly within 0.15; rounded between them.
# A zone's own weights start here: features without a row start at nothing.
AHEAD_H = (0, 1, 3, 6, 12, 24, 48, 120)
TYPICAL = {
    0: (1.10, 1.05, 0.85, 0.55, 0.30, 0.30, 0.20, 0.05),
    1: (0.00, 0.00, -0.10, -0.10, 0.05, 0.20, 0.20, 0.05),
    2: (0.25, 0.26, 0.30, 0.34, 0.36, 0.48, 0.45, 0.25),
    4: (0.07, 0.08, 0.12, 0.20, 0.30, 0.12, 0.10, 0.10),
    5: (0.08, 0.08, 0.10, 0.12, 0.07, 0.05, 0.05, 0.03),
    6: (0.00, 0.02, 0.07, 0.12, 0.15, 0.20, 0.25, 0.40),
    7: (0.12, 0.15, 0.28, 0.40, 0.55, 0.70, 0.80, 0.80),
}


def base(values: NDArray[np.float64], issues: NDArray[np.int64], hours: int) -> NDArray[np.float64]:
    """``hod7decay``: the mean of each hour over 7 days, and the last errors fading: issues x hours.

    The mean error of the last 6 hours counts 0.93^h at hour ``h`` ahead, from 1 on.
    """
    week = day_means(values, issues, 7)
    last = values[issues[:, None] + np.arange(-RECENT_H, 0)] - week[:, -RECENT_H:]
    fading = DECAY ** np.arange(1, hours + 1)
    return np.asarray(tiled(week, hours) + last.mean(1)[:, None] * fading)


def typical_weights(hours: int) -> NDArray[np.float64]:
    """Weights of the features that suit most grids: hours x 12."""
    made = np.zeros((hours, COUNT))
    for feature, worth in TYPICAL.items():
        made[:, feature] = np.interp(np.arange(hours), AHEAD_H, worth)
    return made


def features(
    values: NDArray[np.float64],
    first: int,
    issues: NDArray[np.int64],
    courses: NDArray[np.float64],
    hours: int,
) -> NDArray[np.float64]:
    """What may correct :func:`base`: hours x issues x 12.

    ``courses`` has one row an issue, the course of the week by absolute hour of the week;
    ``first`` is the number since 1970 of the first hour of ``values``.
    """
    week, long = day_means(values, issues, 7), day_means(values, issues, LONG_DAYS)
    ahead = np.arange(hours)
    past = np.arange(-2 * DAY_H, 0)
    rows = np.arange(len(issues))[:, None]
    course = courses[rows, (first + issues[:, None] + ahead) % WEEK_H]
    gone = courses[rows, (first + issues[:, None] + past) % WEEK_H]
    errors = values[issues[:, None] + past] - tiled(week, 2 * DAY_H) - WEEK_SHARE * gone
    before, last = errors[:, :DAY_H], errors[:, DAY_H:]
    level, recent = last.mean(1), last[:, -RECENT_H:].mean(1)
    angle = 2 * np.pi / DAY_H * ((first + issues[:, None] + ahead) % DAY_H)
    cos, sin = np.cos(angle).T, np.sin(angle).T
    made = np.empty((hours, len(issues), COUNT))
    made[:, :, 0] = last[:, -1] - recent
    made[:, :, 1] = recent - level
    made[:, :, 2] = level
    made[:, :, 3] = before.mean(1)
    made[:, :, 4] = tiled(last - level[:, None], hours).T
    made[:, :, 5] = tiled(before - before.mean(1)[:, None], hours).T
    made[:, :, 6] = tiled(long - week, hours).T
    made[:, :, 7] = course.T
    # How long a level lasts, and what a weekend does, are not the same by day and by night.
    for to, of in ((8, 2), (10, 7)):
        made[:, :, to] = made[:, :, of] * cos
        made[:, :, to + 1] = made[:, :, of] * sin
    return made
