"""The forecaster walked forward through a recorded series: it never sees what was to come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers import forecaster
from providers.arrays import np
from providers.calibration import Calibration
from providers.errors import NoData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

HOUR_S = 3600.0
# Issues at 00, 06, 12 and 18 UTC, each for the longest window that is scored: the steps and
# horizons in which the published baselines were measured.
EVERY_H = 6
AHEAD_H = 120
# Fitted anew each week, on all that was known at the week's first issue.
REFIT_H = 7 * 24
# What a prediction is given of the past.
RECENT_H = 8 * 7 * 24


@dataclass(frozen=True)
class Replay:
    """Forecasts of one region as they would have been issued, and what came.

    ``issues`` are indices of hours; ``low``, ``value``, ``high``, ``actual`` are issues x 120 in
    g/kWh, ``actual`` NaN where unknown; ``calibrations`` has one an issue. ``midnight`` marks
    issues at 00:00 UTC. ``methods`` counts issues by the model's method. Times are means of one fit
    (s) and one prediction (ms).
    """

    issues: NDArray[np.int64]
    low: NDArray[np.float64]
    value: NDArray[np.float64]
    high: NDArray[np.float64]
    actual: NDArray[np.float64]
    calibrations: Sequence[Calibration]
    midnight: NDArray[np.bool_]
    methods: Mapping[str, int]
    fit_seconds: float
    predict_ms: float


def replay(
    hourly: NDArray[np.float64], start_s: float, from_s: float | None, to_s: float | None
) -> Replay | None:
    """All issues from ``from_s`` on whose 120 h end by ``to_s``; None where there is none.

    ``hourly`` are means in g/kWh from ``start_s`` (Unix seconds, on the hour), NaN where unknown.
    Without ``from_s`` it begins after 14 days. Issues with less history are left out, and those
    whose actuals end more than 48 h before: the source refuses them, too.
    """
    first = round(start_s / HOUR_S)
    begin = forecaster.NEEDED_H
    if from_s is not None:
        begin = max(begin, int(np.ceil(from_s / HOUR_S)) - first)
    end = len(hourly) if to_s is None else min(len(hourly), int(to_s // HOUR_S) - first)
    issues = np.arange(begin, end - AHEAD_H + 1)
    issues = issues[(first + issues) % EVERY_H == 0]
    kept: list[int] = []
    outlooks: list[forecaster.Outlook] = []
    calibrations: list[Calibration] = []
    methods: dict[str, int] = {}
    fits, predictions = [], 0.0
    model: forecaster.Model | None = None
    fitted_at = 0
    for issue in issues.tolist():
        if np.isnan(hourly[issue - forecaster.LATEST_H - 1 : issue]).all():
            continue
        since = max(0, issue - RECENT_H)
        try:
            if model is None or issue - fitted_at >= REFIT_H:
                clock = time.perf_counter()
                model, fitted_at = forecaster.fit(hourly[:issue], start_s), issue
                fits.append(time.perf_counter() - clock)
            clock = time.perf_counter()
            at_s = start_s + since * HOUR_S
            outlooks.append(model.predict(hourly[since:issue], at_s, AHEAD_H))
            predictions += time.perf_counter() - clock
        except NoData:
            continue
        kept.append(issue)
        issue_s = start_s + issue * HOUR_S
        calibrations.append(Calibration(issue_s, issue_s + AHEAD_H * HOUR_S, model.factors))
        methods[model.method] = methods.get(model.method, 0) + 1
    if not kept:
        return None
    at = np.array(kept)
    return Replay(
        issues=at,
        low=np.array([o.low for o in outlooks]),
        value=np.array([o.value for o in outlooks]),
        high=np.array([o.high for o in outlooks]),
        actual=hourly[at[:, None] + np.arange(AHEAD_H)],
        calibrations=calibrations,
        midnight=(first + at) % 24 == 0,
        methods=methods,
        fit_seconds=float(np.mean(fits)),
        predict_ms=1000 * predictions / len(kept),
    )
