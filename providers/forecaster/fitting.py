"""Fitting a zone: a ridge on what the profile missed, and bands from errors out of sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from providers.forecaster.features import COUNT, base, features
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
from providers.forecaster.model import FITTED_H, Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Every fifth hour is an issue to learn from: in five days each hour of the day comes once.
STRIDE_H = 5
# More than two years of a changing grid teach nothing new and cost time.
LEARN_H = 2 * 8784
# From so much history on the ridge is used.
RIDGE_H = 42 * DAY_H
# So many issues' worth of evidence speak for no correction.
PRIOR = 100.0
# Folds of time, each forecast from those before it: errors as they would have been.
FOLDS = 6
LOW, HIGH = 0.1, 0.9
# Errors of so many hours ahead to either side are read together.
NEAR_H = 3


def fit(hourly: NDArray[np.float64], start_s: float) -> Model:
    """A model of one zone from hourly means in g/kWh, NaN where unknown.

    ``start_s`` is the start of the first hour, Unix seconds. :class:`NoData` where less than 14
    days are known, :class:`ValueError` where a value is negative or the start not on the hour.
    """
    checked(hourly, start_s)
    skip = max(0, len(hourly) - LEARN_H)
    hourly, start_s = hourly[skip:], start_s + skip * HOUR_S
    first = int(start_s // HOUR_S)
    known = ~np.isnan(hourly)
    values = np.sqrt(filled(hourly))
    courses = week_courses(values, first)
    ridge = len(values) >= RIDGE_H
    earliest = NEEDED_H if ridge else 7 * DAY_H
    issues = np.arange(earliest, len(values) - RECENT_H, STRIDE_H if ridge else 1)
    # Hours that are still to come, or were never told, teach nothing.
    target = issues[:, None] + np.arange(FITTED_H)
    told = np.pad(known, (0, FITTED_H))[target].T
    missed = (np.pad(values, (0, FITTED_H))[target] - base(values, issues, FITTED_H)).T
    missed = np.where(told, missed, 0.0)
    weights = np.zeros((FITTED_H, COUNT))
    if ridge:
        week = np.maximum(0, (issues - -first % WEEK_H) // WEEK_H)
        known_then = features(values, first, issues, courses[week], FITTED_H)
        weights, missed, told = _learned(known_then, missed, told, issues)
    low, high, spread = _band(missed, told, (first + target[-missed.shape[1] :].T) % DAY_H)
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
    )


def _learned(
    x: NDArray[np.float64],
    missed: NDArray[np.float64],
    told: NDArray[np.bool_],
    issues: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Weights from all issues, and the errors of those from the second fold on, out of sample."""
    edges = np.linspace(0, len(issues), FOLDS + 1).astype(int)
    gram = np.zeros((FITTED_H, COUNT, COUNT))
    moment = np.zeros((FITTED_H, COUNT))
    seen = np.zeros(FITTED_H)
    errors = []
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        part = x[:, a:b]
        if a:
            weights = _solved(gram, moment, seen)
            errors.append(missed[:, a:b] - np.einsum("knp,kp->kn", part, weights))
        part = np.where(told[:, a:b, None], part, 0.0)
        gram = gram + part.transpose(0, 2, 1) @ part
        moment = moment + np.einsum("knp,kn->kp", part, missed[:, a:b])
        seen = seen + told[:, a:b].sum(1)
    return _solved(gram, moment, seen), np.concatenate(errors, axis=1), told[:, edges[1] :]


def _solved(
    gram: NDArray[np.float64], moment: NDArray[np.float64], seen: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Ridge weights of each hour ahead: hours x features."""
    usual = np.einsum("kpp->kp", gram) / np.maximum(seen, 1)[:, None]
    # A feature that never moved has nothing to weigh.
    penalty = np.where(usual > 0, PRIOR * usual, 1.0)
    return np.asarray(
        np.linalg.solve(gram + penalty[:, :, None] * np.eye(COUNT), moment[..., None])[..., 0]
    )


def _band(
    errors: NDArray[np.float64], told: NDArray[np.bool_], hour: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the band by hour ahead, in units of the usual error by hour of the day."""
    size = np.where(told, np.abs(errors), 0.0)
    spread = np.bincount(hour.ravel(), size.ravel(), DAY_H)
    spread /= np.maximum(np.bincount(hour.ravel(), told.ravel(), DAY_H), 1)
    scaled = errors / np.where(spread > 0, spread, 1.0)[hour]
    low, high = np.empty(FITTED_H), np.empty(FITTED_H)
    for lead in range(FITTED_H):
        near = slice(max(0, lead - NEAR_H), lead + NEAR_H + 1)
        low[lead], high[lead] = np.quantile(scaled[near][told[near]], (LOW, HIGH))
    return low, high, spread
