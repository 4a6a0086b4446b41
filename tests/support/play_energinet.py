"""Plays Energinet's Energi Data Service: bodies, limits and oddities as recorded."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from support.clock import NOW
from support.server import Asked, Reply

STEP = timedelta(minutes=5)
AHEAD = timedelta(hours=9, minutes=40)
DENMARK = ZoneInfo("Europe/Copenhagen")
DEFAULT_LIMIT = 100


def value(start: datetime) -> float:
    """The intensity of five minutes: a daily course."""
    return float(round(120 + 60 * math.sin(start.timestamp() / 86400 * 2 * math.pi)))


def play(asked: Asked) -> Reply:
    """Answer ``/dataset/{CO2EmisProg|CO2Emis}``; times are Danish unless UTC is asked for."""
    dataset = asked.path.removeprefix("/dataset/")
    if dataset not in ("CO2EmisProg", "CO2Emis"):
        return Reply('{"message":"Dataset not found"}', 404)
    query = asked.query
    zone = UTC if query.get("timezone") == "UTC" else DENMARK
    try:
        low, high = (
            datetime.strptime(query[key], "%Y-%m-%dT%H:%M").replace(tzinfo=zone).astimezone(UTC)
            for key in ("start", "end")
        )
        areas = json.loads(query["filter"])["PriceArea"]
    except ValueError:
        return Reply('{"message":"Bad parameter"}', 400)
    high = min(high, NOW + AHEAD if dataset == "CO2EmisProg" else NOW)
    low = datetime.fromtimestamp(math.ceil(low.timestamp() / 300) * 300, UTC)
    records = []
    while low < high:
        records += [
            {
                "Minutes5UTC": f"{low:%Y-%m-%dT%H:%M:%S}",
                "Minutes5DK": f"{low.astimezone(DENMARK):%Y-%m-%dT%H:%M:%S}",
                "PriceArea": area,
                "CO2Emission": value(low),
            }
            for area in areas
        ]
        low += STEP
    limit = int(query.get("limit", DEFAULT_LIMIT))
    told = records[:limit] if limit else records
    body = {"total": len(records), "limit": limit, "dataset": dataset, "records": told}
    return Reply(json.dumps(body))
