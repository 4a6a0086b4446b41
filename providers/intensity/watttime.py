"""WattTime, API v3: how much more is emitted for one more kWh (marginal), with an account.

Five minutes in pounds of CO2 per MWh, turned into g/kWh; 72 h ahead. A free account opens the
region CAISO_NORTH alone. A new model moves the level, so each value's source names its model.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urljoin

from pydantic import Field, StringConstraints

from providers.errors import AccessDenied, BadData, NoData
from providers.intensity.fields import items, member, moment, number, wrong
from providers.intensity.keys import body_of, key_from
from providers.intensity.points import series_of, spans
from providers.series import SourceInfo, empty, from_unix, to_unix
from providers.settings import ProviderSettings, checked
from providers.transport import Http, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from providers.intensity.points import Point
    from providers.series import Kind, Series
    from providers.surroundings import Surroundings

    Params = dict[str, str | int | float]

NAME = "WattTime"
HAD_AT = "https://docs.watttime.org (register)"
UNITS = "lbs_co2_per_mwh"
# 1 lb is 0.45359237 kg by definition (international yard and pound agreement, 1959), and kg/MWh
# are g/kWh.
G_PER_KWH = 0.45359237
HOUR_S = 3600.0
LONGEST = timedelta(days=32)
# A token lives for 30 minutes; the last one is left out.
TOKEN_S = 29 * 60.0
# Only what is certain: CAISO_NORTH is the larger part of the zone of California's operator.
REGIONS = {"US-CAL-CISO": "CAISO_NORTH"}
# Zones are two letters or have hyphens; what looks otherwise is a region's own name.
OWN_NAME = re.compile(r"[A-Z0-9_]{3,40}")
MODEL_DATE = r"\d{4}-\d{2}-\d{2}"


class Settings(ProviderSettings):
    """``regions`` adds to the zones known; ``login_url`` is ``/login`` at the host of ``base_url``.

    ``model`` pins the date of a model, as levels move with it; None takes the newest.
    """

    base_url: str = "https://api.watttime.org/v3"
    login_url: str | None = None
    username_env: str = "WATTTIME_USERNAME"
    key_env: str = "WATTTIME_PASSWORD"
    signal_type: Literal["co2_moer", "co2_aoer"] = "co2_moer"
    horizon_hours: Annotated[int, Field(ge=1, le=72)] = 24
    model: Annotated[str, StringConstraints(pattern=f"^{MODEL_DATE}$")] | None = None
    regions: dict[str, str] = Field(default_factory=dict)
    ttl_s: Annotated[float, Field(ge=0)] = 300.0
    timeout_s: Annotated[float, Field(gt=0)] = 20.0
    final_after_h: Annotated[float, Field(ge=0)] = 72.0


class WattTime:
    """Regions by their own names, and the zones that ``regions`` maps to them."""

    def __init__(self, settings: Settings, here: Surroundings) -> None:
        self._settings, self._here = settings, here
        self._base = settings.base_url.rstrip("/")
        self._regions = REGIONS | settings.regions
        name = f"{NAME} {settings.signal_type}"
        # 3,000 calls in 5 minutes are allowed, but 100 logins, for both signals together.
        self._http = Http(Policy(name, settings.ttl_s, 50, 300.0, settings.timeout_s), here)
        self._token, self._token_until = "", 0.0
        marginal = settings.signal_type == "co2_moer"
        self.info = SourceInfo(
            name=name,
            title=f"{'marginal' if marginal else 'average'} emissions by grid region, with an "
            "account (watttime.org)",
            signal="marginal" if marginal else "average",
            # Both are operating emissions: of the plants alone, in CO2.
            factors="direct",
            # The marginal rate follows power across borders, the average one does not.
            flow=None if marginal else "production",
            licence="WattTime's terms of use",
            step_s=300.0 if marginal else HOUR_S,
            # Of average emissions there is no forecast.
            horizon_h=settings.horizon_hours if marginal else 0,
            has_actuals=True,
            shiftable=True,
            needs=f"an account: its name in {settings.username_env}, its password in "
            f"{settings.key_env}",
            free="the region CAISO_NORTH (zone US-CAL-CISO)",
            key_env=settings.key_env,
            # Averages are published within 72 h; when a marginal rate is final is not told.
            final_after_s=settings.final_after_h * HOUR_S,
            live=True,
        )

    def zones(self) -> frozenset[str] | None:
        """The zones mapped to regions; regions are taken by their own names too."""
        return frozenset(self._regions)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """From the current five minutes on."""
        region = region_of(zone, self._regions)
        low, high = to_unix(start), to_unix(end)
        hours = self.info.horizon_h or 0
        if low < high and not hours:
            raise NoData(f"{self.info.name} has no forecast (zone {zone})")
        if low >= high or low >= to_unix(now) + hours * HOUR_S:
            return empty(zone, self.info.signal, "forecast", now)
        params: Params = {"horizon_hours": self._settings.horizon_hours}
        return self._series(zone, region, "forecast", now, [params]).clip(low, high)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What was."""
        region = region_of(zone, self._regions)
        low, high = to_unix(start), to_unix(end)
        return self._series(zone, region, "actual", end, list(ranges(start, end))).clip(low, high)

    def _series(
        self, zone: str, region: str, kind: Kind, issued_at: datetime, asked: list[Params]
    ) -> Series:
        signal = self._settings.signal_type
        common: Params = {"region": region, "signal_type": signal}
        common |= {"model": self._settings.model} if self._settings.model else {}
        told: dict[str, list[Point]] = {}
        for params in asked:
            body = self._ask("forecast" if kind == "forecast" else "historical", common | params)
            model = model_of(body)
            name = f"{self.info.name} (model {model})" if model else self.info.name
            told.setdefault(name, []).extend(points_of(body, region, signal))
        whole = empty(zone, self.info.signal, kind, issued_at)
        for name, points in told.items():
            info = replace(self.info, name=name)
            whole = whole.fill_from(series_of(info, zone, kind, issued_at, points))
        return whole

    def _ask(self, path: str, params: Params) -> Any:
        """A body; a token that is refused though it was good before is renewed once."""
        fresh = time.monotonic() >= self._token_until
        if fresh:
            self._login()
        try:
            return self._get(path, params)
        except AccessDenied as e:
            if fresh or "scope" in str(e).lower():
                raise
        self._login()
        return self._get(path, params)

    def _get(self, path: str, params: Params) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            answer = self._http.get(f"{self._base}/{path}", params=params, headers=headers)
        except (AccessDenied, NoData) as e:
            scope = "scope" in str(e).lower()
            raise (AccessDenied if scope else type(e))(f"{e} (region {params['region']})") from None
        return body_of(answer, self._token)

    def _login(self) -> None:
        settings = self._settings
        name = key_from(self._here, settings.username_env, NAME, HAD_AT)
        password = key_from(self._here, settings.key_env, NAME, HAD_AT)
        url = settings.login_url or urljoin(f"{self._base}/", "/login")
        self._token_until = 0.0
        body = self._http.get(url, auth=(name, password), ttl_s=0).json()
        token = body.get("token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise BadData(f"{NAME} answered the login with no token")
        self._token, self._token_until = token, time.monotonic() + TOKEN_S


def region_of(zone: str, regions: Mapping[str, str]) -> str:
    """WattTime's name of a zone."""
    if zone in regions:
        return regions[zone]
    if OWN_NAME.fullmatch(zone):
        return zone
    raise NoData(
        f"{NAME}: no region is known for zone {zone}; known are {', '.join(sorted(regions))}; name "
        "it in this source's setting `regions` (WattTime's /v3/region-from-loc tells it)"
    )


def ranges(start: datetime, end: datetime) -> Iterator[Params]:
    """Whole hours, in pieces that the API takes."""
    first, last = to_unix(start) // HOUR_S * HOUR_S, -(-to_unix(end) // HOUR_S) * HOUR_S
    for low, high in spans(from_unix(first if start < end else last), from_unix(last), LONGEST):
        times = (f"{at.astimezone(UTC):%Y-%m-%dT%H:%M+00:00}" for at in (low, high))
        yield dict(zip(("start", "end"), times, strict=True))


def model_of(body: Any) -> str | None:
    """The date of the model that told an answer; None where it is not said."""
    if isinstance(body, list):
        raise BadData(f"{NAME} answered a list, as its API v2 did, which is gone: see base_url")
    meta = member(NAME, body, "meta")
    model = meta.get("model") if isinstance(meta, dict) else None
    date = None if model is None else member(NAME, model, "date")
    if date is not None and not (isinstance(date, str) and re.fullmatch(MODEL_DATE, date)):
        raise wrong(NAME, "model.date", date, "a day")
    return date


def points_of(body: Any, region: str, signal: str) -> Iterator[Point]:
    """The values of one region in g/kWh."""
    meta = member(NAME, body, "meta")
    for key, asked in (("region", region), ("signal_type", signal), ("units", UNITS)):
        if member(NAME, meta, key) != asked:
            raise wrong(NAME, key, meta[key], asked)
    step = number(NAME, member(NAME, meta, "data_point_period_seconds"), "the period")
    if step is None or not 0 < step <= HOUR_S:
        raise wrong(NAME, "data_point_period_seconds", step, "up to an hour")
    for point in items(NAME, member(NAME, body, "data"), "data"):
        start = moment(NAME, member(NAME, point, "point_time"), "point_time")
        value = number(NAME, member(NAME, point, "value"), "value")
        yield start, start + step, None if value is None else value * G_PER_KWH


def build(settings: Mapping[str, Any], here: Surroundings) -> WattTime:
    """The source of marginal emissions."""
    return WattTime(checked(Settings, settings, "watttime"), here)
