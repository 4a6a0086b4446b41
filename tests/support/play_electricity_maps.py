"""Plays Electricity Maps: tokens, plans, limits and bodies as recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from support.clock import NOW
from support.server import Asked, Play, Reply

TOKEN = "an-invented-token-of-electricity-maps"
HOUR = timedelta(hours=1)
KNOWN = ("DE", "FR", "US-CAL-CISO")


def value(start: datetime) -> int:
    """The intensity of an hour: a daily course."""
    return round(300 + 120 * math.sin(start.timestamp() / 86400 * 2 * math.pi))


def entry(zone: str, start: datetime, **fields: Any) -> dict[str, Any]:
    """An hour that was."""
    return {
        "zone": zone,
        "carbonIntensity": value(start),
        "datetime": f"{start:%Y-%m-%dT%H:%M:%S}.000Z",
        "updatedAt": "2026-03-02T08:10:00.000Z",
        "emissionFactorType": "lifecycle",
        "isEstimated": False,
        "estimationMethod": None,
        **fields,
    }


def playing(*, horizon: int = 24, past_range: bool = True) -> Play:
    """A plan: so many hours ahead (0: none), and whether ranges of the past are told."""

    def play(asked: Asked) -> Reply:
        query = asked.query
        if asked.headers.get("auth-token") != TOKEN:
            return Reply('{"error":"Invalid auth-token"}', 401)
        # Without a zone the caller's own address would stand for one.
        zone = query.get("zone") or ("" if query.get("disableCallerLookup") == "true" else "FR")
        if zone not in KNOWN:
            return Reply(json.dumps({"error": f"Zone '{zone}' does not exist."}), 404)
        what = asked.path.rpartition("/carbon-intensity/")[2]
        hour = NOW.replace(minute=0)
        try:
            if what == "forecast":
                wanted = int(query.get("horizonHours", 24))
                if wanted > horizon:
                    return Reply('{"message":"Token unauthorized for this horizon"}', 403)
                rows = [entry(zone, hour + i * HOUR) for i in range(wanted + 1)]
                told = [{k: r[k] for k in ("carbonIntensity", "datetime")} for r in rows]
                return _body({"zone": zone, "forecast": told, "updatedAt": rows[0]["updatedAt"]})
            if what == "history":
                recent = [hour - i * HOUR for i in reversed(range(24))]
                return _body({"zone": zone, "history": [entry(zone, at) for at in recent]})
            if what == "past-range" and past_range:
                return _range(zone, query)
        except (KeyError, ValueError):
            return Reply('{"error":"Bad parameter"}', 400)
        return Reply('{"error":"Endpoint not available on your plan"}', 403)

    return play


def _range(zone: str, query: Mapping[str, str]) -> Reply:
    low, high = (datetime.fromisoformat(query[key]) for key in ("start", "end"))
    if high - low > timedelta(days=10):
        return Reply('{"error":"The range may not be longer than 10 days"}', 400)
    hours = math.ceil((min(high, NOW) - low) / HOUR)
    first = low.astimezone(UTC)
    data = [entry(zone, first + i * HOUR, temporalGranularity="hourly") for i in range(hours)]
    return _body({"zone": zone, "temporalGranularity": "hourly", "data": data})


def _body(body: Mapping[str, Any]) -> Reply:
    return Reply(json.dumps(body))


play = playing()
