"""A Boavizta API as version 2.5.0 answers: shapes as it gave them, figures of our own."""

from __future__ import annotations

import json
from typing import Any

from support.server import Asked, Reply

VERSION = "2.5.0"
LIFE_H = 52560.0
INSTANCES = {"c5.large": (12.0, 20.0, 30.0, 2), "c5a.xlarge": (20.0, 30.0, 50.0, 4)}


def embedded(low: float, value: float, high: float, **verbose: Any) -> dict[str, Any]:
    """The body of an answer."""
    told = {"value": LIFE_H, "status": "COMPLETED", "unit": "hours", "min": LIFE_H, "max": LIFE_H}
    return {
        "impacts": {
            "gwp": {
                "unit": "kgCO2eq",
                "description": "Total climate change",
                "embedded": {
                    "value": value,
                    "min": low,
                    "max": high,
                    "warnings": ["End of life is not included in the calculation"],
                },
                "use": {"value": 300.0, "min": 2.9, "max": 1352.0},
            }
        },
        "verbose": {"hours_life_time": told, **verbose},
    }


def boavizta(asked: Asked) -> Reply:
    """Two instance types, one that is taken for another, and a server by its parts."""
    if asked.path == "/v1/utils/version":
        return Reply(json.dumps(VERSION))
    if asked.path == "/v1/server/":
        parts = json.loads(asked.body)["configuration"]
        gpus = parts.get("gpu", {"units": 0})["units"]
        return Reply(json.dumps(embedded(900.0, 1200.0 + 150 * gpus, 2400.0)))
    assert asked.path == "/v1/cloud/instance", asked
    kind = asked.query["instance_type"]
    if kind == "D4s v3":
        body = embedded(28.39, 49.0, 83.41, vcpu={"value": 4.0, "status": "ARCHETYPE"})
        said = "Instance 'D4s v3' not found; using closest match 'd4s_v3' (fuzzy match)"
        return Reply(json.dumps(body | {"warnings": [said]}))
    if kind not in INSTANCES:
        detail = f"{kind} at {asked.query['provider']} not found"
        return Reply(json.dumps({"detail": detail}), 404)
    *figures, vcpus = INSTANCES[kind]
    vcpu = {"value": float(vcpus), "status": "ARCHETYPE"}
    return Reply(json.dumps(embedded(*figures, vcpu=vcpu)))
