"""Hardware as a user meets it: in a report, with a Boavizta server, and in ``regions``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.play_boavizta import boavizta
from support.server import Play, Reply, SourceServer

from scheduler import config
from scheduler.engine import Context, settling
from scheduler.testing import FixedClock

WORK = ("--", sys.executable, "-c", "sum(range(10**6))")
OLD, NEW = "aws/c5.xlarge", "aws/c5a.xlarge"


def _config(folder: Path, hardware: str, home: str = "local") -> None:
    (folder / "config.yaml").write_text(
        f"home: {home}\nmeters: [model]\n"
        f"regions:\n  local: {{zone: DE, slots: 2, hardware: {{{hardware}}}}}\n"
        f"  aws:eu-central-1: {{hardware: {{instance: {OLD}}}}}\n"
    )


def _ask(url: str, more: str = "") -> str:
    return f"boavizta: {{url: '{url}', provider: aws, instance: c5.large{more}}}"


def _report(lowtide: Callable[..., Any]) -> Any:
    return lowtide("report", "--json").json["jobs"][0]


def test_a_report_tells_the_machine_its_life_and_the_share_that_was_held(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _config(tmp_path, "instance: aws/a1.large, lifespan: 6y, lifespan_source: asset register")
    assert lowtide("run", *WORK).code == 0
    job = _report(lowtide)
    used = job["hardware"]
    assert used["total_kg"] == {"low": 1022.21 / 2, "value": 1022.21, "high": 1022.21 * 2}
    assert "aws a1.large" in used["source"]
    assert (used["lifespan_h"], used["lifespan_source"]) == (6 * 8760, "asset register")
    assert (used["slots"], used["gpus"]) == (16, 0)
    # Less than a sixteenth where other runs held more than this machine has meanwhile.
    assert 0 < used["reserved_share"] <= 2 / 16
    assert "of 16 slots (vCPUs of the platform" in used["reserved_share_source"]
    assert job["pue"]["source"]
    assert "hardware" not in job["null_reasons"]
    shown = lowtide("report").out
    for line in (
        "  hardware     1022 kg (511 kg to 2044 kg) in all: ",
        "  lifespan     6 years: asset register",
        "  reserved     ",
        "  PUE          1: a machine",
    ):
        assert line in shown
    page = lowtide("report", "--markdown").out
    assert "| lifespan | 6 years: asset register |" in page
    assert "| reserved |" in page


def test_without_hardware_the_report_says_why(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("meters: [model]\nregions: {local: {zone: DE}}\n")
    assert lowtide("run", *WORK).code == 0
    job = _report(lowtide)
    assert job["hardware"] is None
    assert "no hardware is declared for local" in job["null_reasons"]["hardware"]
    assert "  lifespan " not in lowtide("report").out


# --- a Boavizta server ----------------------------------------------------------------------


def test_the_bounds_of_a_boavizta_server_become_those_of_m(
    lowtide: Callable[..., Any], tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(boavizta)
    _config(tmp_path, _ask(server.url))
    for command in (("status",), ("--help",), ("report",), ("doctor",)):
        lowtide(*command)
    assert server.asked == [], "nobody needed M"
    assert lowtide("run", *WORK).code == 0
    used = _report(lowtide)["hardware"]
    assert used["total_kg"] == {"low": 12, "value": 20, "high": 30}
    assert used["slots"] == 2
    times = len(server.asked)
    lowtide("plan", "--duration", "1h", "--deadline", "5h", "--power", "100W")
    lowtide("regions", "--region", "local", "--power", "100W")
    assert len(server.asked) == times, "every process asked anew"


@pytest.mark.parametrize("play", [lambda _: Reply("", 500), lambda _: Reply("<html>", 200)])
def test_a_job_runs_and_says_what_is_missing_where_the_server_tells_nothing(
    play: Play,
    lowtide: Callable[..., Any],
    tmp_path: Path,
    serve: Callable[[Play], SourceServer],
) -> None:
    _config(tmp_path, _ask(serve(play).url))
    done = lowtide("run", *WORK)
    assert done.code == 0
    job = _report(lowtide)
    assert (job["embodied_g"], job["sci_g_per_unit"], job["hardware"]) == (None, None, None)
    assert "Boavizta API" in job["null_reasons"]["embodied_g"]
    assert "fallback: ccf" in job["null_reasons"]["embodied_g"]
    planned = lowtide("plan", "--duration", "1h", "--deadline", "9h", "--power", "100W", "--json")
    assert planned.json["plan"]["basis"] == "operational"
    assert planned.json["plan"]["expected_g"] is not None


def test_a_server_that_starts_later_completes_the_settlement(
    lowtide: Callable[..., Any], tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(lambda _: Reply("", 503))
    _config(tmp_path, _ask(server.url))
    lowtide("run", *WORK)
    job = _report(lowtide)
    assert (job["status"], job["embodied_g"]) == ("provisional", None)
    server.play = boavizta
    loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    clock = FixedClock(datetime.now(UTC) + timedelta(days=1))
    ctx = Context.open(loaded, clock.now, clock=lambda: clock.now)
    try:
        settling.settle(ctx, clock.now)
    finally:
        ctx.close()
    job = _report(lowtide)
    assert job["status"] == "final"
    assert job["embodied_g"] is not None
    assert [s["status"] for s in job["settlements"]] == ["provisional", "final"]


def test_a_stated_fallback_is_named(
    lowtide: Callable[..., Any], tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> None:
    _config(tmp_path, _ask(serve(lambda _: Reply("", 500)).url, ", fallback: ccf"))
    lowtide("run", *WORK)
    job = _report(lowtide)
    assert job["status"] == "final"
    assert job["hardware"]["source"].endswith("fallback, for Boavizta does not answer")
    assert job["sci_g_per_unit"] is not None


# --- regions --instances --------------------------------------------------------------------

FIELDS = {
    "instance", "region", "vcpus", "architectures", "power_w", "runtime_s", "start", "end",
    "g_per_kwh", "pue", "energy_kwh", "operational_g", "embodied_g", "embodied_source", "total_g",
    "ranked_g_per_unit", "same_basis", "null_reasons",
}  # fmt: skip


@pytest.fixture
def instances(lowtide: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    _config(tmp_path, "ccf_server: {memory_gb: 16}", home="aws:eu-central-1")
    return lambda *argv: lowtide("regions", "--provider", "aws", "--within", "DE,SE", *argv)


def test_types_are_ranked_with_every_figure_its_bounds_and_source(
    instances: Callable[..., Any],
) -> None:
    asked = ("--instances", f"{OLD},{NEW},aws/c7g.xlarge", "--speed", f"{NEW}=1.2")
    found = instances(*asked, "--duration", "4h", "--unit", "epochs=20", "--json")
    assert found.code == 0
    content = found.json
    assert content["schema_version"] == 1
    assert content["functional_unit"] == {"name": "epochs", "count": 20}
    assert {(r["instance"], r["region"]) for r in content["instances"]} == {
        (t, r) for t in (OLD, NEW) for r in ("aws:eu-central-1", "aws:eu-north-1")
    }
    for row in content["instances"]:
        assert row.keys() == FIELDS
        for name in ("power_w", "runtime_s", "g_per_kwh", "pue"):
            assert row[name]["low"] <= row[name]["value"] <= row[name]["high"]
            assert row[name]["source"]
        each = row["ranked_g_per_unit"]["value"]
        assert each == pytest.approx(row["total_g"]["value"] / 20)
    assert [o["instance"] for o in content["left_out"]] == ["aws/c7g.xlarge"]
    levers = {s["lever"] for s in content["verdict"]["savings"]}
    assert levers == {"hardware", "place", "time"}
    text = instances(*asked, "--duration", "4h", "--unit", "epochs=20").out
    assert "per epochs" in text
    assert text.splitlines()[-1].startswith("Place beats ")


def test_alone_the_option_takes_the_types_of_the_config_and_of_the_speeds(
    instances: Callable[..., Any],
) -> None:
    found = instances("--instances", "--speed", f"{NEW}=1.2", "--json").json
    assert {r["instance"] for r in found["instances"]} == {OLD, NEW}
    runtime = next(r["runtime_s"] for r in found["instances"] if r["instance"] == OLD)
    assert runtime["source"] == "1 h, where no --duration is given"


def test_embodied_carbon_may_come_from_a_boavizta_server(
    instances: Callable[..., Any], serve: Callable[[Play], SourceServer]
) -> None:
    url = serve(boavizta).url
    found = instances("--instances", NEW, "--boavizta", url, "--json").json
    assert {r["embodied_source"].split(" (")[0] for r in found["instances"]} == {"Boavizta API"}
    gone = instances("--instances", NEW, "--boavizta", "http://127.0.0.1:9", "--json").json
    assert gone["basis"] == "operational"
    assert "does not answer" in gone["instances"][0]["null_reasons"]["embodied_g"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--speed", f"{NEW}=2"), "--speed belongs to --instances"),
        (("--speed-equal",), "--speed-equal belongs to --instances"),
        (("--instances", NEW, "--power", "3W"), "--power and --instances exclude each other"),
        (("--instances", NEW, "--speed", f"{NEW}=0"), "no name with a number above zero"),
        (("--instances", NEW, "--speed", "=2"), "no name with a number above zero"),
        (("--instances", NEW, "--speed", f"{NEW}=inf"), "no name with a number above zero"),
        (("--instances", NEW, "--speed", f"{OLD}=2"), "it is not compared"),
        (("--instances", NEW, "--unit", "epochs"), "--unit 'epochs' is no name"),
        (("--instances", NEW, "--boavizta", "localhost:5000"), "is no address"),
        (("--instances", NEW, "--duration", "soon"), "invalid duration 'soon': use e.g. 90s"),
    ],
)
def test_bad_input_is_one_clear_line(
    argv: tuple[str, ...], said: str, instances: Callable[..., Any]
) -> None:
    found = instances(*argv)
    assert (found.code, found.out) == (2, "")
    assert said in found.err
    assert found.err.count("\n") == 1


def test_without_any_type_the_option_says_how_to_name_one(
    lowtide: Callable[..., Any],
) -> None:
    found = lowtide("regions", "--instances")
    assert found.code == 2
    assert "--instances names no type" in found.err
