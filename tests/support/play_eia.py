"""Plays EIA's API v2, hourly generation by fuel: keys, pages, and rows a day late."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from support.clock import NOW
from support.server import Asked, Reply

KEY = "an-invented-key-of-forty-characters-00000"
HOUR = timedelta(hours=1)
# Rows are told up to here. (The real source is a day late; the contract asks for the last hours.)
LAST = NOW.replace(minute=0)
MOST = 5000
KNOWN = ("CISO", "PJM")


def mwh(fuel: str, start: datetime) -> int:
    """What a fuel gave in an hour."""
    sun = -math.cos(start.timestamp() / 86400 * 2 * math.pi)
    return {
        "COL": 500,
        "NG": 9000,
        "NUC": 2200,
        "OTH": 400,
        "SUN": max(-20, round(11000 * sun)),
        "WND": 2500,
        "BAT": round(3000 * -sun),
    }[fuel]


FUELS = ("BAT", "COL", "NG", "NUC", "OTH", "SUN", "WND")


def row(fuel: str, period: str, value: Any, respondent: str = "CISO") -> dict[str, Any]:
    """A row; ``period`` is the end of the hour."""
    return {
        "period": period,
        "respondent": respondent,
        "respondent-name": "California Independent System Operator",
        "fueltype": fuel,
        "type-name": fuel.title(),
        "value": value if value is None else str(value),
        "value-units": "megawatthours",
    }


def play(asked: Asked) -> Reply:
    """Answer ``/electricity/rto/fuel-type-data/data/``, sorted by hour and fuel."""
    query = asked.query
    if query.get("api_key") != KEY:
        code = "API_KEY_INVALID" if query.get("api_key") else "API_KEY_MISSING"
        said = {"error": {"code": code, "message": "An invalid api_key was supplied."}}
        return Reply(json.dumps(said), 403)
    low, high = (datetime.fromisoformat(query[k]).replace(tzinfo=UTC) for k in ("start", "end"))
    hours = max(0, int((min(high, LAST) - low) / HOUR) + 1)
    respondent = query.get("facets[respondent][]", "")
    rows = [
        row(fuel, f"{low + i * HOUR:%Y-%m-%dT%H}", mwh(fuel, low + (i - 1) * HOUR), respondent)
        for i in range(hours if respondent in KNOWN else 0)
        for fuel in FUELS
    ]
    length, offset = min(MOST, int(query.get("length", MOST))), int(query.get("offset", 0))
    response = {
        "total": str(len(rows)),
        "dateFormat": 'YYYY-MM-DD"T"HH24',
        "frequency": "hourly",
        "data": rows[offset : offset + length],
    }
    # The question comes back too; here even with its key.
    request = {"command": asked.path, "params": dict(query)}
    return Reply(json.dumps({"response": response, "request": request, "apiVersion": "2.1.8"}))
