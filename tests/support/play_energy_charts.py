"""Plays Energy-Charts: bodies, limits and oddities as recorded."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from support.clock import NOW
from support.server import Asked, Reply

STEP_S = 900
COUNTRIES = ("de", "fr", "dk", "se")
# Measured values come about an hour late.
LATE = timedelta(hours=1)
UNKNOWN = (
    "'{}' is not the code for an available country. Please refer to the API doc for information"
    " about available countries"
)


def value(seconds: float) -> float:
    """The intensity of a quarter hour: a daily course."""
    return round(380 + 120 * math.cos(seconds / 86400 * 2 * math.pi), 1)


def published_until() -> datetime:
    """The end of today where the country is."""
    local = NOW.astimezone(ZoneInfo("Europe/Berlin"))
    return (local.replace(hour=0, minute=0) + timedelta(days=1)).astimezone(UTC)


def play(asked: Asked) -> Reply:
    """Answer ``/co2eq?country=&start=&end=``."""
    if asked.path != "/co2eq":
        return Reply('{"detail":"Not Found"}', 404)
    country = asked.query.get("country", "de")
    if country not in COUNTRIES:
        return Reply(UNKNOWN.format(country), 400, {"Content-Type": "text/plain"})
    low, high = (datetime.fromisoformat(asked.query[key]) for key in ("start", "end"))
    first = math.ceil(low.timestamp() / STEP_S) * STEP_S
    last = min(high.timestamp() + STEP_S, published_until().timestamp())
    # The end belongs to the answer.
    times = list(range(first, math.ceil(last), STEP_S))
    if not times:
        return Reply('{"detail":"no content available"}', 404)
    measured = (NOW - LATE).timestamp()
    body = {
        "unix_seconds": times,
        "co2eq": [value(t) if t < measured else None for t in times],
        "co2eq_forecast": [None if t < measured else value(t) for t in times],
        "deprecated": False,
    }
    return Reply(json.dumps(body))
