"""A fitted zone, and the outlook that it gives from the recent past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from providers.arrays import np
from providers.forecaster.features import base, features
from providers.forecaster.history import DAY_H, checked, filled

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["hod7decay", "ridge"]
# Hours ahead that are fitted one by one; what lies beyond is treated as the last of these days.
FITTED_H = 120
# A forecast and its band lie between the least value seen / 1.25 and the most x 1.25. On sixty
# grids of 2022, 0.5 % of the hours of the next five days lay outside after 14 days of history,
# 0.2 % after 35 (by the range alone 5.3 and 2.5 %).
MARGIN = 0.25


@dataclass(frozen=True)
class Outlook:
    """Expected intensity of the hours from an issue on, with a band of 80 %; g/kWh, from 0 up."""

    low: NDArray[np.float64]
    value: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """What the history of one zone taught.

    ``weights`` (120 x 12) correct the base by its features, all zero under ``hod7decay``;
    ``course`` (168) is the course of the week by hour since 1970; ``low`` and ``high`` (120) are
    the band's ends in units of ``spread`` (24, by hour of the day in UTC). All are in roots of
    g/kWh. ``least`` and ``most`` are the lowest and highest hourly means seen (g/kWh).
    ``start_s`` and ``end_s`` bound the history (Unix seconds), of which ``known_h`` hours
    were known. ``factors`` are those of a :class:`providers.calibration.Calibration`.
    """

    method: Method
    start_s: float
    end_s: float
    known_h: int
    weights: NDArray[np.float64]
    course: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    spread: NDArray[np.float64]
    least: float
    most: float
    factors: NDArray[np.float64]

    def predict(
        self, hourly: NDArray[np.float64], start_s: float, hours: int = FITTED_H
    ) -> Outlook:
        """The ``hours`` from the end of ``hourly`` on; that is the issue.

        ``hourly`` are means in g/kWh from ``start_s`` (Unix seconds, on the hour), NaN where
        unknown; four weeks are used. Hours unknown at its end count as ahead. :class:`NoData`
        where it has less than 14 days of known hours. Nothing lies further than :data:`MARGIN`
        outside of what this history and the fitted one have seen.
        """
        first = checked(hourly, start_s)
        last = int(np.flatnonzero(~np.isnan(hourly))[-1]) + 1
        late = len(hourly) - last
        recent = np.sqrt(filled(hourly[:last]))
        issue, reach = np.array([last]), late + hours
        middle = base(recent, issue, reach)[0]
        lead = np.arange(reach)
        lead = np.where(lead < FITTED_H, lead, FITTED_H - DAY_H + lead % DAY_H)
        if self.method == "ridge":
            known = features(recent, first, issue, self.course[None, :], reach)[:, 0]
            middle = middle + np.einsum("kp,kp->k", known, self.weights[lead])
        spread = self.spread[(first + last + np.arange(reach)) % DAY_H]
        low, value, high = bounded(
            middle,
            self.low[lead] * spread,
            self.high[lead] * spread,
            min(self.least, float(np.nanmin(hourly))),
            max(self.most, float(np.nanmax(hourly))),
        )
        return Outlook(low=low[late:], value=value[late:], high=high[late:])


def bounded(
    middle: NDArray[np.float64],
    below: NDArray[np.float64],
    above: NDArray[np.float64],
    least: float,
    most: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Low, value and high in g/kWh, from roots: the middle, and how far its ends lie from it.

    Nothing lies further than :data:`MARGIN` outside of ``least`` to ``most`` (g/kWh).
    """
    roots = middle + np.minimum(below, 0.0), middle, middle + np.maximum(above, 0.0)
    floor, ceiling = least / (1 + MARGIN), most * (1 + MARGIN)
    low, value, high = (np.clip(np.maximum(root, 0.0) ** 2, floor, ceiling) for root in roots)
    return low, value, high
