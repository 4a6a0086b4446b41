"""`lowtide providers` and `doctor`: what can be asked, what was reached, what a key takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import play_neso
from support.server import Play, Reply, SourceServer

CONFIG = """
providers: [neso, eia, forecaster, climatology]
sources:
  neso: {{base_url: "{url}", call_every_s: 0.001, ttl_s: 0}}
  eia: {{key_env: MY_OWN_KEY}}
regions:
  local: {{zone: GB, zones: {{nesso: RG10}}}}
"""


def _row(result: Any, name: str) -> dict[str, Any]:
    (row,) = [r for r in result.json["providers"] if r["name"] == name]
    return dict(row)


def test_a_source_is_not_asked_unless_it_is_told_to(
    lowtide: Callable[..., Any], tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(play_neso.play)
    (tmp_path / "config.yaml").write_text(CONFIG.format(url=server.url))
    row = _row(lowtide("providers", "--json"), "neso")
    assert (row["reachable"], row["last_success"], row["last_error"]) == (None, None, None)
    assert server.asked == []
    assert (row["access"], row["horizon_h"], row["step_s"]) == ("open", 48.0, 1800.0)
    checked = lowtide("providers", "--check", "--json")
    row = _row(checked, "neso")
    assert row["reachable"] is True
    assert row["last_success"].endswith("Z")
    assert len(server.asked) == 1
    assert "neso, asked for GB: " in checked.err


def test_a_source_that_fails_says_why_and_its_last_success_stays(
    lowtide: Callable[..., Any], tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(play_neso.play)
    (tmp_path / "config.yaml").write_text(CONFIG.format(url=server.url))
    lowtide("providers", "--check")
    server.play = lambda _: Reply("gone", 503, {"Retry-After": "3600"})
    row = _row(lowtide("providers", "--check", "--json"), "neso")
    assert row["reachable"] is False
    assert row["last_success"] is not None
    assert "503" in row["last_error"]
    found = lowtide("doctor", "--json").json["checks"]
    (mine,) = [c for c in found if c["check"] == "source neso"]
    assert mine["ok"] is False
    assert "503" in mine["detail"]


def test_keys_are_named_by_their_variable_and_never_shown(
    lowtide: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(url="http://127.0.0.1:9"))
    row = _row(lowtide("providers", "--json"), "eia")
    assert (row["available"], row["access"], row["key_env"]) == (False, "no key", "MY_OWN_KEY")
    assert "set MY_OWN_KEY" in lowtide("providers").out
    monkeypatch.setenv("MY_OWN_KEY", "tell-nobody")
    result = lowtide("providers", "--json")
    assert _row(result, "eia")["access"] == "key set"
    assert "tell-nobody" not in result.out + result.err


def test_a_zone_for_a_source_that_does_not_exist_is_found_by_doctor(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(url="http://127.0.0.1:9"))
    checks = {c["check"]: c for c in lowtide("doctor", "--json").json["checks"]}
    assert checks["zones of local"]["ok"] is False
    assert "nesso" in checks["zones of local"]["detail"]
    assert "no key: set MY_OWN_KEY" in checks["source eia"]["detail"]
    assert checks["source forecaster"]["ok"]


def test_a_key_that_a_source_names_is_no_part_of_a_jobs_environment(
    lowtide: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text(
        "sources: {eia: {key_env: MY_OWN_KEY}}\nregions: {local: {zone: DE}}\n"
    )
    monkeypatch.setenv("MY_OWN_KEY", "tell-nobody")
    done = lowtide("run", "--", "env")
    assert done.code == 0
    assert "PATH=" in done.out
    assert "tell-nobody" not in done.out
    kept = [p for p in (tmp_path / "home").rglob("*") if p.is_file()]
    assert kept
    assert not [p for p in kept if b"tell-nobody" in p.read_bytes()]


EMPTY = """
providers: [electricity_maps]
sources:
  electricity_maps: {{base_url: "{url}", ttl_s: 0}}
regions:
  local: {{zone: DE}}
"""


@pytest.mark.parametrize("body", ['{"zone": "DE", "forecast": []}', "{}", '{"data": []}', "[]"])
def test_too_little_is_said_by_the_plan_why_doctor_and_providers(
    lowtide: Callable[..., Any],
    tmp_path: Path,
    serve: Callable[[Play], SourceServer],
    monkeypatch: pytest.MonkeyPatch,
    body: str,
) -> None:
    monkeypatch.setenv("ELECTRICITY_MAPS_TOKEN", "an-invented-key")
    server = serve(lambda _: Reply(body))
    (tmp_path / "config.yaml").write_text(EMPTY.format(url=server.url))
    submitted = lowtide("submit", "--duration", "1h", "--deadline", "9h", "--json", "--", "true")
    assert submitted.code == 0, submitted.err
    assert "Electricity Maps answered" in submitted.json["plan"]["reason"]
    told = " ".join(lowtide("why", submitted.json["job_id"]).out.split())
    assert "Electricity Maps answered" in told
    (row,) = _row(lowtide("providers", "--json"), "electricity_maps")["answers"]
    assert (row["zone"], row["reaches_to"]) == ("DE", None)
    assert "no forecast of DE" in row["detail"]
    assert "Electricity Maps answered" in row["detail"]
    found = lowtide("doctor", "--json").json["checks"]
    (mine,) = [c for c in found if c["check"] == "source electricity_maps"]
    assert mine["ok"] is False
    assert "no forecast of DE" in mine["detail"]


def test_how_far_a_forecast_reaches_is_said_by_doctor_and_providers(
    lowtide: Callable[..., Any],
    tmp_path: Path,
    serve: Callable[[Play], SourceServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ELECTRICITY_MAPS_TOKEN", "an-invented-key")
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [first + timedelta(hours=h) for h in range(9)]
    rows = [{"zone": "DE", "datetime": at.isoformat(), "carbonIntensity": 300} for at in hours]
    body = json.dumps({"zone": "DE", "forecast": rows})
    (tmp_path / "config.yaml").write_text(EMPTY.format(url=serve(lambda _: Reply(body)).url))
    assert lowtide("forecast", "local").code == 0
    until = f"{first + timedelta(hours=9):%Y-%m-%dT%H:%M}"
    (row,) = _row(lowtide("providers", "--json"), "electricity_maps")["answers"]
    assert row["reaches_to"] == f"{until}:00Z"
    found = lowtide("doctor", "--json").json["checks"]
    (mine,) = [c for c in found if c["check"] == "source electricity_maps"]
    assert mine["ok"]
    assert f"forecast of DE to {until}Z" in mine["detail"]
