"""How far the mean intensity of a planned run came to lie from its forecast: bands that hold 80 %.

The mean of hourly bands is no band of the mean: errors of hours even out over a long run, more so
in one zone than in another, and a planner picks the window that looks lowest, which then tends to
come out higher. So past forecasts are looked at as the planner would have used them: of each, the
lowest window of a run, and by how many halves of its hourly band the actual mean lay off. The
quantiles of these scores, recent ones weighted more, are by how much the band is set narrower or
wider. This is split conformal prediction with weights that fade (Barber, Candes, Ramdas and
Tibshirani 2023, *Conformal prediction beyond exchangeability*, Annals of Statistics 51, 816-845) on
the scaled scores of Sesia and Candes (2020, *A comparison of some conformal quantile regression
methods*, Stat 9, e261).
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.base import BAND_PERCENT, Triple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HOUR_S = 3600.0
# Of all scores a tenth lies beyond each end.
INSIDE = (1 + BAND_PERCENT / 100) / 2
# The runs that are looked at (h), and by how much (h) their start can be put off.
LENGTHS_H = (1, 4, 12, 24, 48, 96)
SLACKS_H = (0, 6, 24, 96)
# A run counts as the nearest of these, by ratio where none is zero.
_LENGTHS = tuple((a * b) ** 0.5 for a, b in pairwise(LENGTHS_H))
_SLACKS = (3.0, 12.0, 48.0)
# An error counts half as much when it is a month old. On eight zones of 2022 the actuals lay inside
# in 78 to 81 % of runs, zone by zone; with 91 days in 77 to 88 %, with 365 days in 76 to 91 %.
HALF_H = 30 * 24
# Older errors count less than a sixteenth.
OLDEST_H = 4 * HALF_H
# Errors of so many hours are needed: those of one week say little of the next (48 to 68 % of it lay
# inside of a band of 80 %).
LEAST_H = 28 * 24
# Half a tenth of a gram: forecasts are rounded to tenths, so that no band is narrower (g/kWh).
LEAST_G_PER_KWH = 0.05


@dataclass(frozen=True, slots=True)
class Calibration:
    """By what the halves of the mean hourly band are multiplied to hold 80 % of the actuals.

    ``factors`` are those of the lower and of the upper half, by :data:`LENGTHS_H` and
    :data:`SLACKS_H`; infinite where too few errors are known. They are of runs within
    ``[from_s, until_s)`` (Unix seconds).
    """

    from_s: float
    until_s: float
    factors: Floats

    def band(
        self, mean: Triple, start_s: float, end_s: float, run_s: float, slack_s: float
    ) -> Triple | None:
        """``mean`` (g/kWh, with the mean of the hourly bands) with the band of a run.

        The run lasts ``run_s`` (seconds) within ``[start_s, end_s)`` (Unix seconds), and its start
        could be put off by ``slack_s``. None where the errors of such runs are not known.
        """
        if start_s < self.from_s or end_s > self.until_s:
            return None
        slack_s = min(slack_s, self.until_s - self.from_s - run_s)
        length, slack = bisect(_LENGTHS, run_s / HOUR_S), bisect(_SLACKS, slack_s / HOUR_S)
        below, above = self.factors[:, length, slack].tolist()
        if below == np.inf or above == np.inf:
            return None
        down = max(below * _half(mean.value - mean.low), LEAST_G_PER_KWH)
        up = max(above * _half(mean.high - mean.value), LEAST_G_PER_KWH)
        return Triple(max(0.0, mean.value - down), mean.value, mean.value + up)


def _half(width: float) -> float:
    return max(width, LEAST_G_PER_KWH)


def factors(
    forecast: tuple[Floats, Floats, Floats], actual: Floats, age_h: NDArray[np.int64]
) -> Floats:
    """The factors of a :class:`Calibration` from past forecasts: issues x hours, g/kWh.

    ``forecast`` is low, value and high; ``actual`` is NaN where unknown. ``age_h`` is how long ago
    each was issued.
    """
    made = np.full((2, len(LENGTHS_H), len(SLACKS_H)), np.inf)
    columns = *forecast, np.nan_to_num(actual), np.isnan(actual)
    sums = [np.cumsum(np.pad(x, ((0, 0), (1, 0))), axis=1, dtype=np.float64) for x in columns]
    every = np.arange(len(actual))
    for i, length in enumerate(LENGTHS_H):
        means = [(s[:, length:] - s[:, :-length]) / length for s in sums]
        for j, slack in enumerate(SLACKS_H):
            at = means[1][:, : slack + 1].argmin(axis=1)
            below, middle, above, came, unknown = (m[every, at] for m in means)
            known = unknown == 0
            if not known.any() or np.ptp(age_h[known]) < LEAST_H:
                continue
            half = np.where(came > middle, above - middle, middle - below)
            scores = ((came - middle) / np.maximum(half, LEAST_G_PER_KWH))[known]
            weights = 0.5 ** (age_h[known] / HALF_H)
            made[:, i, j] = _bound(-scores, weights), _bound(scores, weights)
    return made


def _bound(scores: Floats, weights: Floats) -> float:
    """What the next score stays below but for a tenth of all cases; from 0 up.

    The method has the next one counted as if it were above all others.
    """
    order = np.argsort(scores)
    share = np.cumsum(weights[order])
    at = int(np.searchsorted(share, INSIDE * (share[-1] + 1)))
    return round(max(0.0, float(scores[order[min(at, len(order) - 1)]])), 3)
