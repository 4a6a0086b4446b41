"""Plays NESO's Carbon Intensity API: bodies, limits and oddities as recorded."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from support.clock import NOW
from support.server import Asked, Reply

HALF = timedelta(minutes=30)
AHEAD = timedelta(hours=48)
# Ranges from 14 days on are refused.
LONGEST = timedelta(days=14)
PATH = re.compile(
    r"(?P<regional>/regional)?/intensity/(?P<low>[^/]+)/(?P<high>[^/]+)"
    r"(?:/(?P<by>regionid|postcode)/(?P<name>[^/]+))?"
)


def _refusal(status: int, message: str) -> Reply:
    code = {400: "400 Bad Request", 404: "404 Not Found"}[status]
    return Reply(json.dumps({"error": {"code": code, "message": message}}), status)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)


def value(start: datetime) -> int:
    """The forecast of a half hour: a daily course, whole numbers."""
    return round(180 + 70 * math.sin(start.timestamp() / 86400 * 2 * math.pi))


def _period(start: datetime, regional: bool) -> dict[str, Any]:
    intensity: dict[str, Any] = {"forecast": value(start), "index": "moderate"}
    if not regional:
        intensity["actual"] = value(start) - 6 if start + HALF <= NOW else None
    return {
        "from": f"{start:%Y-%m-%dT%H:%MZ}",
        "to": f"{start + HALF:%Y-%m-%dT%H:%MZ}",
        "intensity": intensity,
    }


def play(asked: Asked) -> Reply:
    """Answer ``/intensity/{from}/{to|fw48h}`` and its regional sister."""
    found = PATH.fullmatch(asked.path)
    if found is None:
        return _refusal(404, "Requested resource not found.")
    regional = bool(found["regional"])
    if regional and found["by"] == "postcode" and not re.match(r"[A-Z]{1,2}\d", found["name"]):
        return _refusal(400, "Please enter a valid outward postcode i.e. RG41, SW1, TF8.")
    if regional and found["by"] == "regionid" and not 1 <= int(found["name"]) <= 17:
        return _refusal(400, "Please enter a valid regionid.")
    try:
        low = _time(found["low"])
        high = low + AHEAD if found["high"] == "fw48h" else _time(found["high"])
    except ValueError:
        return _refusal(400, "Please enter a valid date in ISO8601 format 'YYYY-MM-DDThh:mmZ'.")
    if high - low >= LONGEST:
        return _refusal(400, "The maximum date range is limited to 14 days.")
    # On a boundary the half hour before it belongs to the answer too.
    first = datetime.fromtimestamp(math.ceil(low.timestamp() / 1800 - 1) * 1800, UTC)
    periods = []
    while first < min(high, NOW + AHEAD):
        periods.append(_period(first, regional))
        first += HALF
    if not regional:
        return Reply(json.dumps({"data": periods}))
    name = {found["by"]: found["name"]}
    return Reply(json.dumps({"data": {"regionid": 13, "shortname": "London", **name,
                                      "data": periods}}))  # fmt: skip
