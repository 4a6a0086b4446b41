"""Fitting a zone: a ridge on what the profile missed, and bands from errors out of sample."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from providers import calibration
from providers.arrays import np
from providers.forecaster.features import COUNT, base, features, typical_weights
from providers.forecaster.history import (
    DAY_H,
    HOUR_S,
    NEEDED_H,
    RECENT_H,
    WEEK_H,
    checked,
    filled,
    week_courses,
)
from providers.forecaster.model import FITTED_H, Model, bounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Every fifth hour is an issue to learn from: in five days each hour of the day comes once.
STRIDE_H = 5
# More than two years of a changing grid teach little new and cost time.
LEARN_H = 2 * 8784
# From so many known hours on the ridge is used: with 35 to 56 days it beat hod7decay on all three
# sets of grids in share captured and in error, with 21 to 35 days not in share on two of them.
# It comes in over a week, a seventh a day: at once it moved forecasts by up to 18 % in a day.
RIDGE_H = 35 * DAY_H
# The typical weights count as so many issues (half a year of them). From 300 to 1000 the sets
# differ by 0.1 points of error; 1000 captured most on the sixty grids.
PRIOR = 1000.0
# A feature whose usual size is below this share of the roots' own counts as one of that size: it
# can be rounding noise (1e-15 where days repeat), and a weight fitted on noise has no bound. At
# 300 g/kWh the share stands for 0.6 g/kWh, about what sources round to.
FLOOR = 1e-3
# Folds of time, each forecast from those before it: errors as they would have been.
FOLDS = 6
# An error counts half as much when it is a quarter of a year old: grids and seasons change. Of
# errors of the past a band of 80 % covers about 2 points less of the future, so that its ends are
# set wider; and wider by 1 / weeks, for one week of errors covered but 48 to 68 % of the next.
HALF_H = 91 * DAY_H
LOW, HIGH = 0.095, 0.905
# Errors of so many hours ahead to either side are read together, of fewer near the issue.
NEAR_H = 3


def fit(hourly: NDArray[np.float64], start_s: float) -> Model:
    """A model of one zone from hourly means in g/kWh, NaN where unknown.

    ``start_s`` is the start of the first hour, Unix seconds. :class:`NoData` where less than 14
    days are known, :class:`ValueError` where a value is negative or the start not on the hour.
    """
    checked(hourly, start_s)
    there = np.flatnonzero(~np.isnan(hourly))
    skip = max(int(there[0]), int(there[-1]) + 1 - LEARN_H)
    hourly, start_s = hourly[skip : there[-1] + 1], start_s + skip * HOUR_S
    first = checked(hourly, start_s)
    known = ~np.isnan(hourly)
    values = np.sqrt(filled(hourly))
    courses = week_courses(values, first)
    ridge = int(known.sum()) >= RIDGE_H
    earliest, stride = (NEEDED_H, STRIDE_H) if ridge else (NEEDED_H // 2, 1)
    issues = np.arange(earliest, len(values) - RECENT_H, stride)
    target = np.arange(FITTED_H)[:, None] + issues
    # Hours that are still to come, or were never observed, teach nothing.
    observed = np.pad(known, (0, FITTED_H))[target]
    ahead = base(values, issues, FITTED_H).T
    came = np.where(observed, np.pad(values, (0, FITTED_H))[target], ahead)
    errors = came - ahead
    weights = np.zeros((FITTED_H, COUNT))
    if ridge:
        week = np.maximum(0, (issues - -first % WEEK_H) // WEEK_H)
        x = features(values, first, issues, courses[week], FITTED_H)
        noise = FLOOR**2 * float(np.mean(values**2))
        share = min(1.0, (int(known.sum()) - RIDGE_H + DAY_H) / WEEK_H)
        weights = share * _ridge(x, errors, observed, noise)
        corrected, tested = _out_of_sample(x, errors, observed, target, noise)
        errors = share * corrected + (1 - share) * errors
        observed = observed & tested
    hour, age_h = (first + target) % DAY_H, issues[-1] - issues
    low, high, spread = _band(errors, observed, hour, age_h)
    least, most = float(np.nanmin(hourly)), float(np.nanmax(hourly))
    recent = age_h <= calibration.OLDEST_H
    made, spreads = (came - errors)[:, recent].T, spread[hour[:, recent]].T
    forecast = bounded(made, low * spreads, high * spreads, least, most)
    actual = np.where(observed, came**2, np.nan)[:, recent].T
    return Model(
        method="ridge" if ridge else "hod7decay",
        start_s=start_s,
        end_s=start_s + len(hourly) * HOUR_S,
        known_h=int(known.sum()),
        weights=weights,
        course=courses[-1],
        low=low,
        high=high,
        spread=spread,
        least=least,
        most=most,
        factors=calibration.factors(forecast, actual, age_h[recent]),
    )


def _ridge(
    x: NDArray[np.float64], missed: NDArray[np.float64], observed: NDArray[np.bool_], least: float
) -> NDArray[np.float64]:
    """Weights by hour ahead (hours x features) of what the base missed (hours x issues).

    ``least`` is the smallest mean square of a feature that counts (g/kWh).
    """
    x = np.where(observed[:, :, None], x, 0.0)
    gram = x.transpose(0, 2, 1) @ x
    moment = (missed[:, None, :] @ x)[:, 0]
    usual = np.einsum("kpp->kp", gram) / np.maximum(observed.sum(1), 1)[:, None]
    # Only where all values are zero is there nothing to measure the penalty by.
    penalty = PRIOR * np.maximum(usual, least if least > 0 else 1.0)
    square = gram + penalty[:, :, None] * np.eye(COUNT)
    right = moment + penalty * typical_weights(FITTED_H)
    return np.asarray(np.linalg.solve(square, right[:, :, None])[:, :, 0])


def _out_of_sample(
    x: NDArray[np.float64],
    missed: NDArray[np.float64],
    observed: NDArray[np.bool_],
    target: NDArray[np.int64],
    least: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Errors of each issue under weights from the folds before it, and which issues have one."""
    edges = np.linspace(0, target.shape[1], FOLDS + 1).astype(int)
    errors = np.zeros_like(missed)
    for a, b in pairwise(edges[1:].tolist()):
        past = observed[:, :a] & (target[:, :a] < target[0, a])
        weights = _ridge(x[:, :a], np.where(past, missed[:, :a], 0.0), past, least)
        errors[:, a:b] = missed[:, a:b] - (x[:, a:b] @ weights[:, :, None])[:, :, 0]
    return errors, np.arange(target.shape[1]) >= edges[1]


def _band(
    errors: NDArray[np.float64],
    observed: NDArray[np.bool_],
    hour: NDArray[np.int64],
    age_h: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the band by hour ahead, in units of the usual error by hour of the day."""
    size = np.where(observed, np.abs(errors), 0.0)
    count = np.bincount(hour.ravel(), observed.ravel(), DAY_H)
    spread = np.bincount(hour.ravel(), size.ravel(), DAY_H) / np.maximum(count, 1)
    # An hour of the day that is never observed errs as the others do.
    spread = np.where(count > 0, spread, size.sum() / observed.sum())
    scaled = np.where(observed, errors, 0.0) / np.where(spread > 0, spread, 1.0)[hour]
    weight = np.where(observed, 0.5 ** (age_h / HALF_H), 0.0)
    low, high = np.empty(FITTED_H), np.empty(FITTED_H)
    for lead in range(FITTED_H):
        wide = min(NEAR_H, lead // 2)
        near = slice(lead - wide, lead + wide + 1)
        if not observed[near].any():
            near = slice(None)
        order = np.argsort(scaled[near], axis=None)
        share = np.cumsum(weight[near].ravel()[order])
        at = np.searchsorted(share, np.array([LOW, HIGH]) * share[-1])
        low[lead], high[lead] = scaled[near].ravel()[order][at]
    wider = 1 + WEEK_H / (float(age_h.max()) + 1)
    return wider * low, wider * high, spread
