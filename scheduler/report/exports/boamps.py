"""A BoAmps report (Boavizta, format 1.1.0, CC BY 4.0; github.com/Boavizta/BoAmps, ``model/``).

What lowtide does not know stays out, or is ``unknown`` or ``other`` where the format demands a
word: what kind of task the job was can only be told by the user (:mod:`boamps_task`).
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from scheduler.errors import UsageError
from scheduler.report.exports.boamps_task import UNTOLD
from scheduler.report.unsettled import unsettled

if TYPE_CHECKING:
    from datetime import datetime

    from providers.base import Triple
    from scheduler.models import Settlement
    from scheduler.report.exports import Entry

FORMAT = "1.1.0"
SPECIFICATION = "https://github.com/Boavizta/BoAmps/tree/main/model"
# The format's words for a share of error (report_schema.json, `quality`).
_QUALITY = ((0.10, "high"), (0.25, "medium"), (0.50, "low"))
_TYPES = {"cpu": "cpu", "dram": "ram", "gpu": "gpu"}
# As the format writes times; they are UTC.
_TIME = "%Y-%m-%d %H:%M:%S"


def write(entry: Entry, now: datetime, task: dict[str, Any] | None = None) -> str:
    """One report about one job; ``task`` is the format's object of that name.

    :class:`UsageError` where the energy is not known: the format has no word for that.
    """
    s, job = entry.settlement, entry.job
    if s is None or s.reserved_kwh is None:
        why = s.nulls.get("energy_kwh.reserved", "") if s is not None else unsettled(job)
        raise UsageError(f"a BoAmps report needs an energy figure, job {job.id} has none: {why}")
    if not s.reserved_kwh.bounded:
        raise UsageError(
            "a BoAmps report needs a whole energy figure and has no word for a part of it, as job "
            f"{job.id} has: {s.nulls.get('high', '')}"
        )
    made_at = entry.versions[-1].made_at if entry.versions else now
    made = {
        "header": {
            "formatVersion": FORMAT,
            "formatVersionSpecificationUri": SPECIFICATION,
            "reportId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{job.id} {len(entry.versions)}")),
            "reportDatetime": made_at.astimezone(UTC).strftime(_TIME),
            "reportStatus": "final" if s.status == "final" else "draft",
        },
        "task": _task(s, task),
        "measures": [_measure(s, s.reserved_kwh)],
        "system": {"os": "linux"},
        "infrastructure": _infrastructure(entry, s),
    }
    if environment := _environment(s):
        made["environment"] = environment
    if quality := _quality(s.reserved_kwh):
        made["quality"] = quality
    return json.dumps(made, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _task(s: Settlement, told: dict[str, Any] | None) -> dict[str, Any]:
    task = dict(UNTOLD if told is None else told)
    accuracy = s.metrics.get("accuracy")
    if accuracy is not None and 0 <= accuracy <= 1:
        task = {"measuredAccuracy": accuracy} | task
    if s.unit == "epochs" and s.unit_count is not None and len(task["algorithms"]) == 1:
        task["algorithms"] = [{"epochsNumber": s.unit_count} | task["algorithms"][0]]
    return task


def _measure(s: Settlement, reserved: Triple) -> dict[str, Any]:
    begun = min(a.started_at for a in s.attempts)
    measure: dict[str, Any] = {
        "measurementMethod": "lowtide",
        "version": version("lowtide"),
        "powerConsumption": reserved.value,
        "measurementDateTime": begun.astimezone(UTC).strftime(_TIME),
    }
    for kind, field in (("cpu", "cpuTrackingMode"), ("gpu", "gpuTrackingMode")):
        found = [c for c in s.components if c.name.split(":")[0] == kind]
        if found:
            said = dict.fromkeys(f"{c.method}: {c.source}" for c in found)
            measure[field] = "; ".join(said)
    if all(a.ended_at is not None for a in s.attempts):
        runs = [(a.ended_at - a.started_at).total_seconds() for a in s.attempts if a.ended_at]
        measure["measurementDuration"] = sum(runs)
    return measure


def _infrastructure(entry: Entry, s: Settlement) -> dict[str, Any]:
    """Where it ran; a place of the config is only on premises where its machine is declared."""
    where, kinds = s.place, [c.name.split(":")[0] for c in s.components]
    place: dict[str, Any] = {"infraType": "other"}
    if where is not None and where.provider != "own":
        place = {"infraType": "publicCloud", "cloudProvider": where.provider}
    elif where is not None and where.declared:
        place = {"infraType": "onPremise"}
    if where is not None and where.instance is not None:
        place |= {"infraType": "publicCloud", "cloudInstance": where.instance}
    counts = {"cpu": entry.job.spec.slots, "dram": 1, "gpu": kinds.count("gpu")}
    names = {"cpu": "logical CPU", "dram": "memory of the logical CPUs", "gpu": "GPU"}
    place["components"] = [
        {"componentName": names[kind], "componentType": _TYPES[kind], "nbComponent": counts[kind]}
        for kind in dict.fromkeys(kinds)
    ]
    return place


def _environment(s: Settlement) -> dict[str, Any]:
    """The country of the place, else of its grid zone (zones begin with ISO 3166-1 alpha-2)."""
    place = s.place
    if place is None:
        return {}
    head = (place.zone or "").split("-")[0]
    country = place.country or (head if len(head) == 2 else None)
    if country is None:
        return {}
    found: dict[str, Any] = {"country": country}
    if place.name is not None:
        found["location"] = place.name
    if place.lat is not None and place.lon is not None:
        found |= {"latitude": place.lat, "longitude": place.lon}
    if s.intensity is not None:
        found["powerSourceCarbonIntensity"] = s.intensity.g_per_kwh.value
    return found


def _quality(energy: Triple) -> str | None:
    """The format's word for the larger side of the bounds; None beyond its words."""
    if energy.value <= 0:
        return None
    error = max(energy.value - energy.low, energy.high - energy.value) / energy.value
    return next((word for bound, word in _QUALITY if error <= bound + 1e-9), None)
