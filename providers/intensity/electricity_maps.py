"""Electricity Maps, API v3 and v4: most of the world, with a token.

Hours in g CO2eq/kWh of what is consumed, imports traced back to where they were generated. Free
tokens tell one zone's last 24 h and no forecast; how far others reach depends on the plan. A
token without a plan is answered with invented numbers (sandbox): these are refused.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from providers.errors import AccessDenied, BadData, NoData
from providers.intensity.fields import items, member, moment, number, texts, wrong
from providers.intensity.keys import body_of, key_from
from providers.intensity.points import series_of, spans
from providers.series import Factors, SourceInfo, empty, from_unix, to_unix
from providers.settings import ProviderSettings, checked
from providers.transport import Http, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from providers.intensity.points import Point
    from providers.series import Kind, Series
    from providers.surroundings import Surroundings

    Params = dict[str, str | int | float]

NAME = "Electricity Maps"
ESTIMATED = "Electricity Maps (estimated)"
HAD_AT = "https://app.electricitymaps.com"
HOUR_S = 3600.0
DAY_H = 24.0
STEPS = {"5_minutes": 300.0, "15_minutes": 900.0, "hourly": HOUR_S}
# past-range takes no more at hourly steps.
LONGEST = timedelta(days=10)
FLOW_TRACED = ("flowTraced", True)


class Settings(ProviderSettings):
    """``horizon_hours`` and ``history_hours`` are those of the plan.

    A horizon of 0 is a plan without forecasts; a history up to 24 h has no ranges. A free token
    may ask 50 times an hour.
    """

    base_url: str = "https://api.electricitymaps.com/v4"
    key_env: str = "ELECTRICITY_MAPS_TOKEN"
    factors: Factors = "lifecycle"
    horizon_hours: Literal[0, 6, 24, 48, 72] = 24
    history_hours: Annotated[float, Field(gt=0)] | None = None
    calls_per_hour: Annotated[int, Field(gt=0)] = 50
    ttl_s: Annotated[float, Field(ge=0)] = 900.0
    timeout_s: Annotated[float, Field(gt=0)] = 20.0
    final_after_h: Annotated[float, Field(ge=0)] = 72.0


class ElectricityMaps:
    """Any zone that the token opens."""

    def __init__(self, settings: Settings, here: Surroundings) -> None:
        self._settings, self._here = settings, here
        self._base = settings.base_url.rstrip("/")
        policy = Policy(NAME, settings.ttl_s, settings.calls_per_hour, HOUR_S, settings.timeout_s)
        self._http = Http(policy, here)
        # Zones of which this token tells the last day alone.
        self._last_day: set[str] = set()
        self.info = SourceInfo(
            name=NAME,
            title="most of the world, flow-traced, with a token (electricitymaps.com)",
            signal="average",
            factors=settings.factors,
            flow="consumption",
            licence="Electricity Maps' terms: a free token is for non-commercial use; what the "
            "API tells may not be passed on",
            step_s=HOUR_S,
            horizon_h=settings.horizon_hours,
            has_actuals=True,
            shiftable=True,
            needs="a token",
            free="one zone's last 24 h, non-commercial; no forecast",
            key_env=settings.key_env,
            history_h=settings.history_hours,
            # Estimates give way to what grid operators publish, mostly within a day or two; no
            # date is promised.
            final_after_s=settings.final_after_h * HOUR_S,
            live=True,
        )

    def zones(self) -> frozenset[str] | None:
        """None: which zones a token opens, only the API can say."""
        return None

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """From the current hour, as far as the plan reaches."""
        low, high = to_unix(start), to_unix(end)
        hours = self._settings.horizon_hours
        if not hours and low < high:
            raise NoData(f"{NAME} has no forecast of {zone} on this plan (horizon_hours is 0)")
        # The answer has one hour more than asked for, the current one.
        if low >= high or low >= to_unix(now) + (hours + 1) * HOUR_S:
            return empty(zone, self.info.signal, "forecast", now)
        try:
            body = self._ask(zone, "forecast", {"horizonHours": hours})
        except (AccessDenied, NoData) as e:
            if isinstance(e, NoData) and "horizon" not in str(e).lower():
                raise
            raise type(e)(
                f"{e}; free tokens have no forecast, others may not reach {hours} h: set "
                "horizon_hours to what the plan has (0 for none)"
            ) from None
        return self._series(zone, [body], "forecast", now).clip(low, high)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What was, by ranges; the last 24 h where the plan has no ranges."""
        low, high = to_unix(start), to_unix(end)
        if low >= high:
            return empty(zone, self.info.signal, "actual", end)
        if zone not in self._last_day and (self._settings.history_hours or DAY_H + 1) > DAY_H:
            try:
                bodies = [self._ask(zone, "past-range", span) for span in ranges(start, end)]
                return self._series(zone, bodies, "actual", end).clip(low, high)
            except AccessDenied:  # if the token itself is refused, so is the next question
                pass
        body = self._ask(zone, "history", {})
        self._last_day.add(zone)
        series = self._series(zone, [body], "actual", end).clip(low, high)
        if not len(series):
            raise AccessDenied(
                f"{NAME} tells of {zone} no more than the last 24 h on this plan, nothing of "
                f"{start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}"
            )
        return series

    def _ask(self, zone: str, what: str, params: Params) -> Any:
        if not zone.strip():
            raise NoData(f"{NAME} is asked for a zone without a name")
        settings = self._settings
        token = key_from(self._here, settings.key_env, NAME, HAD_AT)
        try:
            answer = self._http.get(
                f"{self._base}/carbon-intensity/{what}",
                params=common(zone, settings.factors, self._base) | params,
                headers={"auth-token": token},
            )
        except (AccessDenied, NoData) as e:
            # Its client libraries know this refusal, by whatever status.
            plan = "endpoint not available" in str(e).lower()
            raise (AccessDenied if plan else type(e))(f"{e} (zone {zone})") from None
        return body_of(answer, token)

    def _series(self, zone: str, bodies: list[Any], kind: Kind, issued_at: datetime) -> Series:
        """What was measured, and into its holes what was estimated."""
        told: dict[str, list[Point]] = {NAME: [], ESTIMATED: []}
        for body in bodies:
            for estimated, point in points_of(body, zone, kind, self._settings.factors):
                told[ESTIMATED if estimated and kind == "actual" else NAME].append(point)
        measured, guessed = (
            series_of(replace(self.info, name=name), zone, kind, issued_at, points)
            for name, points in told.items()
        )
        return measured.fill_from(guessed)


def common(zone: str, factors: Factors, base: str) -> Params:
    """What every request says; above all never to take the caller's own place for the zone."""
    params: Params = {
        "zone": zone,
        "disableCallerLookup": "true",
        "emissionFactorType": factors,
        "temporalGranularity": "hourly",
    }
    # Older versions know it by this name.
    return params if base.endswith("/v4") else params | {"shouldUseFallbackCallerLookup": "false"}


def ranges(start: datetime, end: datetime) -> Iterator[Params]:
    """Whole hours in pieces, from the midnight before: jobs of one day share an answer."""
    first = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last = from_unix(-(-to_unix(end) // HOUR_S) * HOUR_S)
    for low, high in spans(first if start < end else last, last, LONGEST):
        yield {"start": f"{low:%Y-%m-%dT%H:%M:%SZ}", "end": f"{high:%Y-%m-%dT%H:%M:%SZ}"}


def points_of(body: Any, zone: str, kind: Kind, factors: Factors) -> Iterator[tuple[bool, Point]]:
    """Whether each value is an estimate, and its point: latest, history, past-range, forecast."""
    if any("sandbox" in text.lower() for text in texts(body)):
        raise BadData(
            f"{NAME} answered with SANDBOX_MODE_DATA: to a token without a plan it tells invented "
            "numbers; nothing of them is used"
        )
    if isinstance(body, dict) and isinstance(body.get("error"), str) and "zone" not in body:
        raise NoData(f"{NAME} has nothing for {zone}: {body['error'][:200]!r}")
    member(NAME, body, "zone")
    # A forecast is never taken for what was, nor the other way round.
    own = "forecast" if kind == "forecast" else "history"
    key = own if own in body or "data" not in body else "data"
    flat = kind == "actual" and key not in body
    entries = [body] if flat else items(NAME, member(NAME, body, key), key)
    for node in (body, *entries):
        for field, asked in (("zone", zone), ("emissionFactorType", factors), FLOW_TRACED):
            if isinstance(node, dict) and node.get(field, asked) != asked:
                raise wrong(NAME, field, node[field], f"{asked}, which was asked for,")
    rows = []
    for entry in entries:
        start = moment(NAME, member(NAME, entry, "datetime"), "datetime")
        value = number(NAME, member(NAME, entry, "carbonIntensity"), "carbonIntensity")
        rows.append((entry.get("isEstimated") is True, start, value))
    step = _step(body, [start for _, start, _ in rows])
    for estimated, start, value in rows:
        yield estimated, (start, start + step, value)


def _step(body: Any, starts: list[float]) -> float:
    """As it is said, or else the least spacing: a hole must stay one."""
    said = body.get("temporalGranularity")
    if said is not None:
        if said not in list(STEPS):
            raise wrong(NAME, "temporalGranularity", said, f"one of {', '.join(STEPS)}")
        return STEPS[said]
    starts = sorted(set(starts))
    least = min((b - a for a, b in itertools.pairwise(starts)), default=HOUR_S)
    if least < HOUR_S and least not in STEPS.values():
        raise wrong(NAME, "a spacing of seconds", least, "5, 15 or 60 minutes")
    return min(least, HOUR_S)


def build(settings: Mapping[str, Any], here: Surroundings) -> ElectricityMaps:
    """The source of most of the world."""
    return ElectricityMaps(checked(Settings, settings, "electricity_maps"), here)
