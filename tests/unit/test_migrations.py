"""A database of an earlier version is brought up, and all that was in it is still there."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from scheduler.models import Settlement
from scheduler.store import Store, migrations

# As versions up to this one made it; statements are frozen, so that they may be run here.
LAST = "0003-pauses-and-queue-plan"
SETTLED = {
    "status": "provisional", "active_kwh": {"low": 1.0, "value": 1.0, "high": 1.0},
    "reserved_kwh": None, "components": [], "measured_percent": None, "intensity": None,
    "pue": {"low": 1.0, "value": 1.0, "high": 1.0}, "pue_source": "declared",
    "operational_g": {"low": 4.0, "value": 5.0, "high": 6.0}, "embodied_g": None,
    "total_g": None, "unit": "job", "unit_count": 1.0, "sci_g_per_unit": None,
    "basis": "operational", "baseline_g": None, "saved_g": None, "saving_estimated": False,
    "largest_uncertainty": "the meter", "conformance": [], "attempts": [],
    "nulls": {"total_g": "no M"}, "notes": ["a note"],
}  # fmt: skip


def _forecast(now_s: float) -> bytes:
    content = {
        "zone": "DE",
        "signal": "average",
        "kind": "forecast",
        "factors": None,
        "flow": "consumption",
        "issued_at": now_s,
        "starts": [now_s, now_s + 3600],
        "ends": [now_s + 3600, now_s + 7200],
        "g_per_kwh": [200.5, 100.25],
        "low": [190.0, 90.0],
        "high": [210.0, 110.0],
        "sources": ["neso", "climatology"],
        "notes": ["climatology fills in"],
    }
    return zlib.compress(json.dumps(content).encode())


def _make_old(path: Path, now_s: float) -> None:
    names = [name for name, _ in migrations.MIGRATIONS]
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE migration (name VARCHAR PRIMARY KEY, applied_at FLOAT)")
        for name, statements in migrations.MIGRATIONS[: names.index(LAST) + 1]:
            for statement in statements:
                raw.execute(statement)
            raw.execute("INSERT INTO migration VALUES (?, ?)", (name, now_s))
        spec = {
            "argv": ["true"], "cwd": "/", "name": "old", "user": "me", "duration_s": 60.0,
            "submitted_at": "2026-03-02T08:00:00Z", "release": "2026-03-02T08:00:00Z",
            "home": "local",
        }  # fmt: skip
        raw.execute(
            "INSERT INTO job (id, state, spec, slots, attempt, submitted_at, ended_at, "
            "cancel_requested, reason) VALUES ('j', 'succeeded', ?, 1, 1, ?, ?, 0, '')",
            (json.dumps(spec), now_s, now_s),
        )
        raw.execute(
            "INSERT INTO forecast (zone, chain, issued_at, checked_at, starts, ends, payload) "
            "VALUES ('DE', 'c', ?, ?, ?, ?, ?)",
            (now_s, now_s + 60, now_s, now_s + 7200, _forecast(now_s)),
        )
        raw.execute(
            "INSERT INTO settlement (job_id, version, made_at, status, payload) "
            "VALUES ('j', 1, ?, 'provisional', ?)",
            (now_s, json.dumps(SETTLED)),
        )
        raw.execute("INSERT INTO queue_plan VALUES (1, ?, 3, 1, 9.5, 9.0, 0)", (now_s,))
        raw.execute("INSERT INTO beat VALUES ('daemon', ?)", (now_s,))


def test_a_database_before_actuals_is_brought_up(tmp_path: Path, now: datetime) -> None:
    _make_old(tmp_path / "lowtide.db", now.timestamp())
    hour = timedelta(hours=1)
    store = Store(tmp_path, now + hour)
    newest = store.forecasts.newest("c", "DE")
    assert newest is not None
    assert newest.notes == ("climatology fills in",)
    assert newest.checked_at == now + timedelta(seconds=60)
    assert newest.series.g_per_kwh.tolist() == [200.5, 100.25]
    assert newest.series.sources.tolist() == ["neso", "climatology"]
    assert (newest.series.flow, newest.series.factors) == ("consumption", None)
    assert store.forecasts.remember("c", newest.series, now + hour) == newest.row_id, "still said"
    settled = store.settlements.latest("j")
    assert isinstance(settled, Settlement)
    assert settled.operational_g is not None
    assert asdict(settled.operational_g) == SETTLED["operational_g"]
    assert settled.notes == ("a note",)
    assert (settled.units, settled.metrics, settled.uncertainty) == ({}, {}, ())
    assert settled.planned_against_realized is None
    assert store.settlements.owed(now + hour / 2, 3600) == [], "looked at when it was made"
    assert store.settlements.owed(now + hour, 3600) == ["j"]
    assert store.settlements.add("j", settled, now + hour) is None
    assert store.settlements.owed(now + hour, 3600) == []
    assert store.jobs.get("j").spec.name == "old"
    plan = store.queue_plans.latest()
    assert plan is not None
    assert plan.jobs == 3
    assert store.beats.last("daemon") == now
    assert store.actuals.stored() == []
    assert store.actuals.remember("s", newest.series, now).new == 2
    assert store.check() == "ok"
    store.close()


def test_what_was_added_since_stands_last() -> None:
    names = [name for name, _ in migrations.MIGRATIONS]
    assert names == sorted(names)
    assert names[:3] == ["0001-first", "0002-recurrence", LAST]
