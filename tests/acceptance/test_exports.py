"""Real jobs in every format of the report, and side by side."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE = "regions: {local: {zone: DE, hardware: {ccf_server: {memory_gb: 32}}}}\n"
BOAMPS = Path(__file__).parents[1] / "data" / "boamps" / "schema.json"
NAME = '=cmd|"x",\n\\end'


def _config(tmp_path: Path, text: str = WHOLE) -> None:
    (tmp_path / "config.yaml").write_text(text)


def _run(lowtide: Callable[..., Any], *lines: str, options: tuple[str, ...] = ()) -> str:
    """Run a job that writes ``lines`` to its units file, at once; its id."""
    script = "".join(f"echo {line} >> $LOWTIDE_UNITS; " for line in lines) + "sleep 0.1"
    at_once = () if "--min-saving" in options else ("--now",)
    ran = lowtide("run", *at_once, *options, "--", "sh", "-c", script)
    assert ran.code == 0, ran.err
    return str(ran.err.split()[0])


def _valid(lowtide: Callable[..., Any], command: str, *argv: str) -> Any:
    """The JSON of a reader, checked against the schema that it prints."""
    shown = lowtide(command, "--schema")
    assert shown.code == 0
    schema = shown.json
    jsonschema.Draft202012Validator.check_schema(schema)
    document = lowtide(command, *argv, "--json").json
    jsonschema.validate(document, schema)
    return document


@pytest.mark.parametrize(
    "config",
    [WHOLE, "regions: {local: {zone: DE}}\n", "regions: {}\n"],
    ids=["whole", "no hardware", "no zone"],
)
def test_a_finished_job_is_what_the_schema_says(
    lowtide: Callable[..., Any], tmp_path: Path, config: str
) -> None:
    _config(tmp_path, config)
    _run(lowtide, "epochs=2", options=("--unit", "epochs", "--project", "p"))
    assert lowtide("run", "--now", "--", "false").code == 1
    document = _valid(lowtide, "report")
    assert [job["state"] for job in document["jobs"]] == ["succeeded", "failed"]
    assert (document["jobs"][0]["operational_g"] is None) == ("zone" not in config)
    grouped = _valid(lowtide, "report", "--since", "1h", "--group-by", "project")
    assert [group["name"] for group in grouped["groups"]] == ["p", None]


def test_a_planned_job_of_a_group_is_what_the_schema_says(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    """Its plan is held against what came of it, and the group is reported as one."""
    _config(tmp_path)
    # It starts at release, but its forecast reaches further: a busy machine starts it late.
    late = ("--deadline", "1h", "--min-saving", "100%")
    asked = ("--group", "sweep", "--unit", "tokens", "--duration", "5s", "--power", "50W", *late)
    first = _run(lowtide, "tokens=5", "metric.loss=2", options=asked)
    _run(lowtide, options=asked)
    document = _valid(lowtide, "report", "--group", "sweep")
    assert document["group"]["jobs"] == 2
    told = {job["job_id"]: job for job in document["jobs"]}[first]
    deviation = told["planned_against_realized"]
    assert deviation is not None, told["null_reasons"]
    errors = [v for k, v in deviation.items() if k.endswith("error_g")]
    assert sum(errors) == pytest.approx(told["planned_against_realized"]["difference_g"])
    rows = csv.DictReader(
        io.StringIO(lowtide("report", "--group", "sweep", "--format", "csv").out, newline="")
    )
    assert len(list(rows)) == 2
    refused = lowtide("report", "--group", "sweep", "--format", "markdown")
    assert (refused.code, refused.out) == (2, "")


def test_a_running_and_a_waiting_job_are_what_the_schema_says(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _config(tmp_path)
    asked = ("--duration", "60s", "--deadline", "61s", "--pausable", "--retries", "1", "--json")
    running = lowtide("submit", *asked, "--", "sleep", "60").json["job_id"]
    asked = ("--duration", "1h", "--deadline", "30h", "--earliest", "25h", "--json")
    waiting = lowtide("submit", *asked, "--", "true").json["job_id"]
    end = time.monotonic() + 60
    while lowtide("show", running, "--json").json["job"]["state"] != "running":
        assert time.monotonic() < end
        lowtide("tick")
    document = _valid(lowtide, "report", running, waiting)
    assert [job["state"] for job in document["jobs"]] == ["running", "planned"]
    assert document["jobs"][0]["status"] == "provisional"
    for form in ("csv", "openmetrics", "markdown"):
        assert lowtide("report", running, waiting, "--format", form).code == 0
    refused = lowtide("report", waiting, "--format", "boamps")
    assert (refused.code, refused.out) == (2, "")
    assert "it has not run" in refused.err
    lowtide("cancel", running, waiting)


def test_every_format_says_the_same_of_a_job_with_a_hostile_name(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _config(tmp_path)
    job_id = _run(lowtide, options=("--name", NAME))
    report = lowtide("report", job_id, "--format", "json").json["jobs"][0]
    assert report == lowtide("report", job_id, "--json").json["jobs"][0]
    grams = report["operational_g"]

    row = next(csv.DictReader(io.StringIO(lowtide("report", "--format", "csv").out, newline="")))
    assert row["name"] == f"'{NAME}"
    assert [float(row[f"operational_g{part}"]) for part in ("_low", "", "_high")] == list(
        grams.values()
    )

    families = text_string_to_metric_families(lowtide("report", "--format", "openmetrics").out)
    found = {family.name: family.samples for family in families}
    assert found["lowtide_job_info"][0].labels["name"] == NAME
    carbon = found["lowtide_job_operational_carbon_grams"]
    assert {s.labels["bound"]: s.value for s in carbon} == grams

    shown = lowtide("report", "--format", "boamps")
    assert "--task FILE" in shown.err
    jsonschema.validate(shown.json, json.loads(BOAMPS.read_text(encoding="utf-8")))
    assert (
        shown.json["measures"][0]["powerConsumption"] == (report["energy_kwh"]["reserved"]["value"])
    )
    assert shown.json["environment"]["country"] == "DE"

    markdown = lowtide("report", "--format", "markdown").out
    assert markdown == lowtide("report", "--markdown").out
    assert markdown.splitlines()[1] == ""
    assert lowtide("report").out.splitlines()[1].startswith("  SCI")


def test_the_task_of_a_boamps_report_is_told_in_yaml(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _config(tmp_path)
    _run(lowtide, "epochs=3", options=("--unit", "epochs"))
    task = tmp_path / "task.yaml"
    task.write_text(
        "taskStage: training\ntaskFamily: image classification\nalgorithms: [{framework: sklearn}]"
        "\ndataset: [{dataUsage: input, dataType: image}]\n"
    )
    told = lowtide("report", "--format", "boamps", "--task", "task.yaml")
    assert told.err == ""
    jsonschema.validate(told.json, json.loads(BOAMPS.read_text(encoding="utf-8")))
    assert told.json["task"]["algorithms"] == [{"epochsNumber": 3.0, "framework": "sklearn"}]
    task.write_text("taskStage: training\n")
    wrong = lowtide("report", "--format", "boamps", "--task", "task.yaml")
    assert (wrong.code, wrong.out) == (3, "")
    assert "taskFamily" in wrong.err


def test_an_export_is_written_whole_or_not_at_all(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _config(tmp_path)
    job_id = _run(lowtide)
    out = tmp_path / "lowtide.prom"
    out.write_text("old")
    wrote = lowtide("report", job_id, "--format", "openmetrics", "--output", str(out))
    assert (wrote.code, wrote.out) == (0, "")
    assert out.read_text().endswith("# EOF\n")
    _run(lowtide)
    failed = lowtide("report", "--format", "boamps", "--output", str(out))
    assert failed.code == 2
    assert out.read_text().endswith("# EOF\n"), "the file of the last time stands"
    assert [p.name for p in tmp_path.glob("*.prom*")] == ["lowtide.prom"]
    nowhere = lowtide("report", "--format", "csv", "--out", str(tmp_path / "no" / "x.csv"))
    assert nowhere.code == 2
    assert nowhere.err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--json", "--markdown"), "one format"),
        (("--format", "csv", "--json"), "csv and json"),
        (("--format", "xml"), "xml"),
        (("--task", "x.yaml"), "--format boamps"),
        (("--since", "1h", "--group-by", "user", "--format", "csv"), "--group-by"),
        (("--format", "boamps"), "about one job, here are 0"),
        (("ffffffff", "--format", "csv"), "no job"),
    ],
)
def test_a_wrong_call_gets_one_line(
    lowtide: Callable[..., Any], argv: tuple[str, ...], said: str
) -> None:
    done = lowtide("report", *argv)
    assert (done.code, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]


def test_since_exports_the_jobs_themselves(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    _config(tmp_path)
    job_id = _run(lowtide)
    lowtide("submit", "--duration", "1h", "--deadline", "30h", "--earliest", "25h", "--", "true")
    out = lowtide("report", "--since", "1h", "--format", "csv").out
    assert [row["job_id"] for row in csv.DictReader(io.StringIO(out, newline=""))] == [job_id]
    twice = lowtide("report", job_id, job_id[:6], "--format", "openmetrics").out
    assert twice.count("lowtide_job_info{") == 1


# --- compare --------------------------------------------------------------------------


def test_runs_stand_side_by_side_and_the_front_is_marked(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _config(tmp_path)
    sweep = ("--group", "sweep", "--unit", "epochs")
    short = _run(lowtide, "epochs=1", "metric.accuracy=0.1", "metric.accuracy=0.8", options=sweep)
    wasted = _run(lowtide, "epochs=1", "metric.accuracy=0.5", "sleep; sleep 0.5", options=sweep)
    silent = _run(lowtide, "epochs=1", options=sweep)
    other = _run(lowtide, "metric.loss=3")
    document = _valid(lowtide, "compare", "--group", "sweep", "--by", "accuracy")
    assert (document["metric"], document["better"]) == ("accuracy", "higher")
    assert document["against"] == "total_g"
    runs = {run["job_id"]: run for run in document["runs"]}
    assert set(runs) == {short, wasted, silent}
    assert runs[short]["metrics"] == {"accuracy": 0.8}, "the last value counts"
    assert [runs[i]["pareto"] for i in (short, wasted, silent)] == [True, False, None]
    assert "metric.accuracy" in runs[silent]["null_reasons"]["pareto"]
    report = lowtide("report", short, "--json").json["jobs"][0]
    assert runs[short]["energy_kwh"] == report["energy_kwh"]["reserved"]
    assert runs[short]["sci_g_per_unit"] == report["sci_g_per_unit"]
    watts = report["energy_kwh"]["reserved"]["value"] * 3.6e6 / report["duration"]["actual_s"]
    assert runs[short]["power_w"]["value"] == pytest.approx(watts)

    shown = lowtide("compare", "--group", "sweep", "--by", "accuracy").out
    assert "2 ranked" in shown
    assert f"{silent} is not ranked" in shown
    assert "accuracy against" in shown
    plain = _valid(lowtide, "compare", short, other)
    assert plain["metric"] is None
    assert [run["pareto"] for run in plain["runs"]] == [None, None]
    assert any("different units" in note for note in plain["notes"])
    assert "front" not in lowtide("compare", short, other).out


def test_runs_without_carbon_are_ranked_by_energy(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _config(tmp_path, "regions: {}\n")
    first, second = (_run(lowtide, f"metric.loss={n}") for n in (2, 1))
    document = _valid(lowtide, "compare", first, second, "--minimise", "loss")
    assert (document["against"], document["better"]) == ("energy_kwh", "lower")
    assert document["runs"][1]["pareto"] is True
    assert any("energy is compared" in note for note in document["notes"])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "0 run(s) found"),
        (("--group", "none"), "group 'none'"),
        (("--by", "a", "--minimise", "b"), "one metric"),
        (("ffffffff",), "no job"),
    ],
)
def test_a_wrong_comparison_gets_one_line(
    lowtide: Callable[..., Any], argv: tuple[str, ...], said: str
) -> None:
    done = lowtide("compare", *argv)
    assert (done.code, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]


def test_a_metric_that_nobody_wrote_is_refused_with_those_that_are_there(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    _config(tmp_path)
    ids = [_run(lowtide, "metric.loss=1") for _ in range(2)]
    done = lowtide("compare", *ids, "--by", "acuracy")
    assert (done.code, done.out) == (2, "")
    assert "known: loss" in done.err
