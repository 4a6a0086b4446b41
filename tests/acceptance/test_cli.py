"""The command line: what programs read from it, and what people see."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HARDWARE = "hardware: {embodied_kg: {value: 1000, low: 500, high: 2000}, lifespan: 4y, slots: 8, source: test}"  # noqa: E501


def _trace(folder: Path, hours: int = 72) -> datetime:
    """A trace from two hours ago on: DE falls to its lowest in hour 6, FR is flat and low."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    with (folder / "trace.csv").open("w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["timestamp_utc", "region", "g_per_kwh"])
        for hour in range(hours):
            at = f"{start + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"
            rows.writerow([at, "DE", 600 - 80 * hour if hour <= 6 else 500])
            rows.writerow([at, "FR", 50])
    (folder / "config.yaml").write_text(
        "providers: [mine]\n"
        "sources: {mine: {type: trace, path: trace.csv}}\n"
        f"regions:\n  local: {{zone: DE, {HARDWARE}}}\n"
    )
    return start


def _nulls(content: Any, path: str = "") -> list[str]:
    if content is None:
        return [path]
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    return [n for k, v in items for n in _nulls(v, f"{path}.{k}" if path else str(k))]


def _is_triple(figure: Any) -> bool:
    return set(figure) == {"low", "value", "high"} and (
        figure["low"] <= figure["value"] <= figure["high"]
    )


def test_a_plan_in_json_has_every_field_and_reasons_for_nulls(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    start = _trace(tmp_path)
    result = lowtide(
        "plan", "--duration", "1h", "--deadline", "24h", "--power", "1kW", "--region", "local",
        "--region", "aws:eu-west-3", "--alone", "--json",
    )  # fmt: skip
    assert result.code == 0
    document = result.json
    assert set(document) == {"schema_version", "plan"}
    plan = document["plan"]
    assert set(plan) == {
        "region", "start", "end", "segments", "basis", "expected_g", "run_now_g",
        "g_per_kwh", "band_percent",
        "saving_percent", "signal", "power", "forecast", "latest_safe_start", "reason",
        "alternatives", "assumed", "cost", "goes_on_at", "null_reasons",
    }  # fmt: skip
    assert plan["region"] == "aws:eu-west-3"
    assert plan["basis"] == "operational", "M is not known for aws:eu-west-3"
    assert _is_triple(plan["expected_g"])
    assert plan["expected_g"]["value"] == pytest.approx(50 * 1.35), "the PUE that AWS published"
    assert plan["power"] == {
        "value_w": 1000, "low_w": 1000, "high_w": 1000, "source": "declared", "detail": "--power",
    }  # fmt: skip
    assert plan["g_per_kwh"]["value"] == pytest.approx(50)
    assert plan["band_percent"] is None
    assert "not calibrated" in plan["null_reasons"]["band_percent"]
    assert plan["segments"] == [{k: plan[k] for k in ("region", "start", "end")}]
    assert [a["region"] for a in plan["alternatives"]] == ["local"]
    assert plan["alternatives"][0]["dispatchable"] is True
    best = start + timedelta(hours=6)
    assert plan["alternatives"][0]["start"] == f"{best:%Y-%m-%dT%H:%M:%SZ}"
    saved = plan["run_now_g"]["value"] - plan["expected_g"]["value"]
    assert plan["saving_percent"] == pytest.approx(100 * saved / plan["run_now_g"]["value"])
    assert sorted(plan["null_reasons"]) == sorted(
        n for n in _nulls(plan) if not n.startswith("null_reasons")
    )


def test_without_a_zone_every_gram_is_null_with_its_reason(lowtide: Callable[..., Any]) -> None:
    plan = lowtide("plan", "--duration", "1h", "--region", "local", "--json").json["plan"]
    assert plan["expected_g"] is None
    assert "zone: DE" in plan["null_reasons"]["expected_g"]
    assert set(plan["null_reasons"]) == set(_nulls(plan)) - {"null_reasons"}
    assert all(plan["null_reasons"].values())


def test_without_named_regions_the_catalogue_is_compared(lowtide: Callable[..., Any]) -> None:
    plan = lowtide("plan", "--duration", "1h", "--json").json["plan"]
    names = {a["region"] for a in plan["alternatives"]}
    assert {"aws:eu-north-1", "gcp:europe-west1", "azure:swedencentral"} <= names
    grams = [a["expected_g"]["value"] for a in plan["alternatives"]]
    assert grams == sorted(grams)


def test_submit_plan_and_dry_run_agree(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    _trace(tmp_path)
    common = ("--duration", "1h", "--deadline", "24h", "--json", "--", "true")
    dry = lowtide("submit", "--dry-run", *common).json
    assert set(dry) == {"schema_version", "plan"}
    done = lowtide("submit", *common).json
    assert set(done) == {"schema_version", "job_id", "plan"}
    assert done["plan"]["start"] == dry["plan"]["start"]
    jobs = lowtide("status", "--json").json["jobs"]
    assert [j["job_id"] for j in jobs] == [done["job_id"]]
    assert jobs[0]["state"] == "planned"


def test_a_job_file_holds_the_same_fields_and_options_win(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(
        "name: from-file\nproject: p1\nduration: 2h\nmin-saving: 5%\n"
        "deadline: 2099-01-01T00:00:00+01:00\ncommand: [sh, -c, 'echo hi']\n"
    )
    job_id = lowtide("submit", "-f", "job.yaml", "--project", "p2", "--json").json["job_id"]
    job = lowtide("show", job_id, "--json").json["job"]
    assert (job["name"], job["project"], job["duration_s"]) == ("from-file", "p2", 7200)
    assert job["deadline"] == "2098-12-31T23:00:00Z"
    assert job["argv"] == ["sh", "-c", "echo hi"]


def test_secrets_in_a_command_are_never_shown(lowtide: Callable[..., Any]) -> None:
    words = ("true", "--api-key", "hunter2hunter2", "TOKEN=hunter2hunter2")
    job_id = lowtide("submit", "--duration", "1h", "--json", "--", *words).json["job_id"]
    for command in (("show", job_id), ("show", job_id, "--json"), ("why", job_id), ("status",)):
        assert "hunter2" not in lowtide(*command).out


def test_the_report_adds_up(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    _trace(tmp_path)
    # Equal carbon all day: it starts at once, and how late that is on a busy machine is all one.
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("zone: DE", "zone: FR"))
    script = "echo epochs=2 >> $LOWTIDE_UNITS; echo epochs=3 >> $LOWTIDE_UNITS; sleep 1"
    ran = lowtide(
        "run", "--unit", "epochs", "--project", "p", "--duration", "10s", "--deadline", "1h",
        "--region", "local", "--", "sh", "-c", script,
    )  # fmt: skip
    assert ran.code == 0
    document = lowtide("report", "--json").json
    assert set(document) == {"schema_version", "jobs", "totals"}
    job = document["jobs"][0]
    assert {
        "job_id", "name", "project", "user", "state", "status", "region", "zone", "started_at",
        "ended_at", "deadline_met", "energy_kwh", "components", "measured_percent", "intensity",
        "pue", "operational_g", "embodied_g", "total_g", "functional_unit", "sci_g_per_unit",
        "basis", "planned_g", "baseline_g", "saved_g", "saved_percent", "largest_uncertainty",
        "conformance", "attempts",
    } <= set(job)  # fmt: skip
    assert (job["state"], job["status"], job["zone"]) == ("succeeded", "final", "FR")
    assert job["deadline_met"] is True
    reserved = job["energy_kwh"]["reserved"]
    for bound in ("low", "value", "high"):
        parts = sum(c["energy_kwh"][bound] for c in job["components"])
        assert parts == pytest.approx(reserved[bound], rel=1e-9)
    used = job["intensity"]
    assert (used["kind"], used["signal"]) == ("actual", "average")
    assert job["operational_g"]["value"] == pytest.approx(
        reserved["value"] * used["g_per_kwh"] * job["pue"]["value"], rel=1e-6
    )
    total = job["operational_g"]["value"] + job["embodied_g"]["value"]
    assert job["total_g"]["value"] == pytest.approx(total)
    assert job["functional_unit"] == {"name": "epochs", "count": 5}
    assert job["sci_g_per_unit"]["value"] == pytest.approx(total / 5)
    assert job["baseline_g"]["value"] - job["saved_g"]["value"] == pytest.approx(total, rel=1e-6)
    assert job["basis"] == "total"
    assert set(job["null_reasons"]) == {n for n in _nulls(job) if not n.startswith("null_reasons")}
    told = job["planned_against_realized"]
    assert told["realized_g"] == pytest.approx(job["operational_g"]["value"], rel=1e-6)
    errors = [told[f"{cause}_error_g"] for cause in ("forecast", "start", "duration", "power")]
    assert sum(errors) == pytest.approx(told["difference_g"], rel=1e-9)
    assert told["duration_error_g"] < 0, "taken to last 10 s, it lasted one"
    assert {c["verdict"] for c in job["conformance"]} <= {"met", "not_met", "not_applicable"}
    assert document["totals"]["jobs"] == 1
    assert document["totals"]["saved_g"] == job["saved_g"]
    shown = lowtide("report").out
    assert "SCI" in shown
    assert "per epochs" in shown
    assert "# sh" in lowtide("report", "--markdown").out
    grouped = lowtide("report", "--since", "1h", "--group-by", "project", "--json").json
    assert grouped["groups"][0]["name"] == "p"
    assert lowtide("report", "--since", "1h", "--group-by", "user").code == 0


def test_a_sweep_is_reported_as_one_with_what_failed(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _trace(tmp_path)
    options = ("--duration", "5s", "--deadline", "6s", "--group", "sweep", "--unit", "token")
    script = "echo token=$1 >> $LOWTIDE_UNITS; echo metric.accuracy=0.$1 >> $LOWTIDE_UNITS; exit $2"
    assert lowtide("run", *options, "--", "sh", "-c", script, "sh", "40", "0").code == 0
    assert lowtide("run", *options, "--", "sh", "-c", script, "sh", "10", "3").code == 3
    assert lowtide("run", "--duration", "5s", "--deadline", "6s", "--", "true").code == 0
    document = lowtide("report", "--group", "sweep", "--json").json
    found, jobs = document["group"], document["jobs"]
    assert [job["metrics"] for job in jobs] == [{"accuracy": 0.4}, {"accuracy": 0.1}]
    assert (found["jobs"], found["attempts"], found["failed_jobs"]) == (2, 2, 1)
    assert found["units"] == {"tokens": 50}
    total = sum(job["total_g"]["value"] for job in jobs)
    assert found["total_g"]["value"] == pytest.approx(total)
    assert found["functional_units"][0]["sci_g_per_unit"]["value"] == pytest.approx(total / 50)
    shown = lowtide("report", "--group", "sweep").out
    assert "2 job(s), 2 attempt(s), 1 not successful" in shown
    assert "per million tokens" in shown
    for words in (("x",), ("--since", "1d"), ("--markdown",)):
        assert lowtide("report", "--group", "sweep", *words).code == 2
    unknown = lowtide("report", "--group", "other")
    assert unknown.code == 2
    assert unknown.err == (
        "lowtide: --group other: no job of that group has run; groups that have: sweep\n"
    )


def test_without_hardware_there_is_no_score(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    assert lowtide("run", "--", "true").code == 0
    job = lowtide("report", "--json").json["jobs"][0]
    assert job["embodied_g"] is None
    assert job["total_g"] is None
    assert job["sci_g_per_unit"] is None
    assert "hardware" in job["null_reasons"]["sci_g_per_unit"]
    assert job["operational_g"] is not None
    assert job["intensity"]["kind"] == "estimate"
    assert job["status"] == "final"
    assert "estimated" in lowtide("report").out
    assert "no score" in lowtide("report").out


def test_a_queued_job_has_a_report_that_says_so(lowtide: Callable[..., Any]) -> None:
    job_id = lowtide("submit", "--duration", "1h", "--json", "--", "true").json["job_id"]
    job = lowtide("report", job_id, "--json").json["jobs"][0]
    assert job["null_reasons"]["operational_g"] == "the job has not run"
    assert "has not run" in lowtide("report", job_id).out
    assert "has not run" in lowtide("report", job_id, "--markdown").out
    assert lowtide("report").err.startswith("no job has run yet")


def test_regions_ranks_by_grams(lowtide: Callable[..., Any]) -> None:
    rows = lowtide("regions", "--duration", "2h", "--power", "1kW", "--json").json["regions"]
    assert len(rows) > 100
    grams = [r["expected_g"]["value"] for r in rows]
    assert grams == sorted(grams)
    shown = lowtide("regions", "--region", "aws:eu-north-1", "--region", "aws:eu-central-1").out
    assert shown.index("aws:eu-north-1") < shown.index("aws:eu-central-1")
    assert lowtide("regions", "--slack", "soon").code == 2


def test_forecast_shows_table_and_plot(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    _trace(tmp_path)
    shown = lowtide("forecast", "local", "--hours", "12").out
    assert "g/kWh" in shown
    assert "trace trace.csv" in shown
    assert "┤" in shown
    document = lowtide("forecast", "local", "--hours", "12", "--json").json
    assert document["zone"] == "DE"
    assert document["intervals"][-1]["end"] > document["intervals"][0]["start"]
    assert lowtide("forecast", "nowhere").code == 2


def test_why_and_show_tell_the_plan(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    _trace(tmp_path)
    job_id = lowtide(
        "submit", "--duration", "1h", "--deadline", "24h", "--json", "--", "true"
    ).json["job_id"]  # fmt: skip
    shown = lowtide("show", job_id).out
    assert "window" in shown
    assert "┤" in shown
    story = lowtide("why", job_id).out
    assert "submitted" in story
    assert "lowest forecast carbon" in story
    kinds = [e["kind"] for e in lowtide("why", job_id, "--json").json["job"]["events"]]
    assert kinds == ["submitted", "planned"]
    assert "latest safe start" in lowtide("status").out


def test_providers_and_doctor_say_what_works(lowtide: Callable[..., Any]) -> None:
    rows = {r["name"]: r for r in lowtide("providers", "--json").json["providers"]}
    assert rows["climatology"]["available"] is True
    assert rows["climatology"]["licence"].startswith("ODbL")
    assert rows["model"]["kind"] == "meter"
    assert "climatology" in lowtide("providers").out
    found = lowtide("doctor", "--json").json["checks"]
    checks = {c["check"]: c["ok"] for c in found}
    tables = {c["check"].removeprefix("table of "): c["detail"] for c in found}
    age = datetime.now(UTC).year - 2025
    assert tables["intensity, yearly level"].startswith(f"2025: {age} year")
    assert tables["intensity, shape of the day and year"].startswith("2022: ")
    assert tables["PUE by region"].startswith("2024 to 2025: ")
    assert tables["water use by region"].startswith("2024: ")
    assert tables["country means"].startswith("20")
    assert checks["database"] is True
    assert "database: ok" in lowtide("doctor").out


def test_up_install_prints_a_cron_line_or_writes_a_unit(
    lowtide: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("LOWTIDE_DATABASE", "postgresql://me@db/q%20q")
    line = lowtide("up", "--install").out
    assert line.startswith("* * * * * LOWTIDE_HOME=")
    assert r"LOWTIDE_DATABASE=postgresql://me@db/q\%20q" in line
    assert "tick" in line
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "systemctl").write_text("#!/bin/sh\n")
    (bin_dir / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_dir))
    assert "systemctl --user" in lowtide("up", "--install").out
    unit = (tmp_path / ".config/systemd/user/lowtide.service").read_text()
    assert "KillMode=process" in unit
    assert 'Environment="LOWTIDE_DATABASE=postgresql://me@db/q%%20q"' in unit


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(lowtide: Callable[..., Any], shell: str) -> None:
    assert "_LOWTIDE_COMPLETE" in lowtide("completion", shell).out


def test_version_and_help(lowtide: Callable[..., Any]) -> None:
    assert lowtide("--version").out.startswith("lowtide 0.")
    shown = lowtide("-h").out
    assert "submit" in shown
    assert "Example" in shown


def test_logs_keep_the_streams_apart(lowtide: Callable[..., Any]) -> None:
    lowtide("run", "--", "sh", "-c", "echo out; echo err >&2")
    job_id = lowtide("status", "--json").json["jobs"][0]["job_id"]
    result = lowtide("logs", job_id)
    assert (result.out, result.err) == ("out\n", "err\n")
    assert lowtide("logs", "-f", job_id).out == "out\n"


def test_a_group_that_has_run_needs_neither_duration_nor_power(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _trace(tmp_path)
    group = ("--group", "nightly", "--region", "local")
    refused = lowtide("submit", *group, "--", "true")
    assert refused.code == 2
    assert "no successful run of group nightly" in refused.err
    for _ in range(3):
        assert lowtide("run", *group, "--", "sleep", "1.5").code == 0
    shown = lowtide("submit", *group, "--", "true")
    assert "assumed duration: the 90 % bound of 3 runs of group nightly" in shown.err
    job = lowtide("show", shown.out.split()[0], "--json").json["job"]
    plan = job["plan"]
    assert plan["assumed"]["duration_s"] == job["duration_s"] == job["duration"]["assumed_s"]
    assert 2 <= job["duration_s"] <= 10
    assert plan["assumed"]["duration_source"].startswith("the 90 % bound of 3 runs")
    assert job["duration"]["actual_s"] is None
    assert job["null_reasons"]["duration.actual_s"] == "it has not run to its end"
    assert plan["power"]["source"] == "history"
    assert plan["power"]["detail"] == "the mean of 3 metered runs of group nightly"
    assert "90 % bound" in lowtide("show", job["job_id"]).out
    given = lowtide("plan", *group, "--duration", "1h", "--power", "5W", "--json").json["plan"]
    assert given["assumed"] == {"duration_s": 3600, "duration_source": "given"}
    assert given["power"]["source"] == "declared"
    ended = lowtide("report", "--json").json["jobs"][0]
    assert ended["duration"]["assumed_s"] is None
    assert ended["null_reasons"]["duration.assumed_s"] == "not given"
    assert ended["duration"]["actual_s"] >= 1.5
