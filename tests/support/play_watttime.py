"""Plays WattTime's API v3: its login, tokens that expire, scopes and limits."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from support.clock import NOW
from support.server import Asked, Reply

USER, PASSWORD = "an-invented-user", "an-invented-password"
REGION = "CAISO_NORTH"
STEP = timedelta(minutes=5)
SCOPE = {
    "error": "Invalid query parameters",
    "message": "Invalid scope. You do not have sufficient access to this resource.",
}


def value(start: datetime) -> float:
    """Pounds a MWh: a daily course."""
    return float(round(850 + 150 * math.sin(start.timestamp() / 86400 * 2 * math.pi)))


def body_of(first: datetime, count: int, model: str = "2023-03-01") -> dict[str, Any]:
    """So many five minutes."""
    starts = [first + i * STEP for i in range(count)]
    return {
        "data": [{"point_time": s.isoformat(), "value": value(s)} for s in starts],
        "meta": {
            "region": REGION,
            "signal_type": "co2_moer",
            "model": {"date": model},
            "units": "lbs_co2_per_mwh",
            "data_point_period_seconds": 300,
            "generated_at": first.isoformat(),
            "generated_at_period_seconds": 300,
            "warnings": [],
        },
    }


class Account:
    """An account whose tokens can be made to expire; the region of a free one alone is open."""

    def __init__(self) -> None:
        self.logins = 0
        self.token = ""

    def expire(self) -> None:
        """No token given so far is good any longer."""
        self.token = ""

    def play(self, asked: Asked) -> Reply:
        """Answer ``/login``, ``/forecast`` and ``/historical``."""
        told = asked.headers.get("Authorization", "")
        if asked.path.endswith("/login"):
            if told != f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}":
                return Reply("<html><body>403 Forbidden</body></html>", 403)
            self.logins += 1
            self.token = f"an-invented-token-{self.logins}"
            return Reply(json.dumps({"token": self.token}))
        if not self.token or told != f"Bearer {self.token}":
            return Reply('{"error":"Unauthorized","message":"Token has expired"}', 401)
        query = asked.query
        if query.get("region") != REGION or query.get("signal_type") != "co2_moer":
            return Reply(json.dumps(SCOPE), 403)
        if asked.path.endswith("/forecast"):
            hours = int(query.get("horizon_hours", 24))
            if not 0 <= hours <= 72:
                return Reply('{"error":"Invalid query parameters"}', 400)
            return Reply(json.dumps(body_of(NOW, 12 * hours + 1)))
        low, high = (datetime.fromisoformat(query[key]).astimezone(UTC) for key in ("start", "end"))
        if high - low > timedelta(days=32):
            return Reply('{"error":"Invalid query parameters","message":"Max 32 days"}', 400)
        return Reply(json.dumps(body_of(low, (min(high, NOW) - low) // STEP)))


def play(asked: Asked) -> Reply:
    """One account for all tests of the contract: its tokens do not expire."""
    return _ACCOUNT.play(asked)


_ACCOUNT = Account()
