"""Exports say the same as the JSON report, whatever a job is called."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_0_0_4
from support.reports import START, component, entry, job, settlement

from providers.base import Triple
from providers.surroundings import Surroundings
from scheduler.config import RegionSettings
from scheduler.errors import UsageError
from scheduler.machines import Machines
from scheduler.models import JobState, Water, WaterUse
from scheduler.regions import Region
from scheduler.report import exports, markdown, terminal
from scheduler.report.exports import Entry, boamps, columns, openmetrics
from scheduler.report.exports.boamps_task import Task

BOAMPS = json.loads(
    (Path(__file__).parents[1] / "data" / "boamps" / "schema.json").read_text(encoding="utf-8")
)
# Any text that a shell, YAML or a program can hand over; UTF-8 has no surrogates.
HOSTILE = (
    '=cmd|"/c calc"!A1', "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "a,b", 'say "x"', "two\nlines",
    "a|b", "\\|", "\\", "\\n", "`x`", "<script>", "[a](http://b)", "\x1b[2J", "# EOF", "＝1",
)  # fmt: skip
names = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40
) | st.sampled_from(HOSTILE)


def _unread() -> Entry:
    """A job of which nothing could be read."""
    lost = settlement(component("cpu", None), grams=None, embodied=None, status="provisional")
    why = {"energy_kwh.active": "no meter", "energy_kwh.reserved": "no meter"}
    return Entry(job(), replace(lost, active_kwh=None, nulls=why, measured_percent=None))


def _never_run() -> Entry:
    waiting = replace(job(state=JobState.QUEUED), started_at=None, ended_at=None, region=None)
    return Entry(waiting, None)


WATER = Water(Triple(0.001, 0.002, 0.003), WaterUse(Triple.exact(1.0), "a water bill"))
ENTRIES = {
    "whole": entry(),
    "unread": _unread(),
    "never run": _never_run(),
    "water": Entry(job(), settlement(water=WATER)),
    "no embodied": Entry(job(), settlement(embodied=None)),
}


def _samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = list(text_string_to_metric_families(text))
    found = [s for family in families for s in family.samples]
    made = {(s.name, frozenset(s.labels.items())): s.value for s in found}
    assert len(made) == len(found), "every sample is another one"
    return made


# --- JSON -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ENTRIES)
def test_a_report_is_what_its_schema_says(what: str) -> None:
    schema = json.loads(exports.published("report"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(exports.document([ENTRIES[what]]), schema)


def _changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(content))
    at = copy
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("new",), 1),
        (("jobs", 0, "new"), 1),
        (("jobs", 0, "components", 0, "new"), 1),
        (("totals", "energy_kwh", "new"), 1),
        (("jobs", 0, "operational_g"), {"low": -1.0, "value": 1.0, "high": 2.0}),
        (("jobs", 0, "started_at"), "2026-03-02 08:00"),
        (("jobs", 0, "null_reasons", "x"), ""),
        (("schema_version",), 2),
    ],
)
def test_a_field_that_the_schema_does_not_know_or_a_wrong_one_is_refused(
    path: tuple[Any, ...], value: Any
) -> None:
    """The check can fail: nothing comes into the JSON without its line in the schema."""
    wrong = _changed(exports.document([ENTRIES["whole"]]), path, value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json.loads(exports.published("report")))


def test_every_object_of_the_schemas_is_closed() -> None:
    def objects(node: Any) -> list[Any]:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        own = [node] if isinstance(node, dict) and node.get("type") == "object" else []
        return own + [found for each in inner for found in objects(each)]

    for name in ("report", "compare"):
        found = objects(json.loads(exports.published(name)))
        assert len(found) >= 6
        assert all("additionalProperties" in each for each in found)


# --- CSV ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ENTRIES)
def test_csv_has_the_numbers_of_the_json(what: str) -> None:
    row = next(csv.DictReader(io.StringIO(columns.write([ENTRIES[what]]), newline="")))
    report = ENTRIES[what].as_json()
    assert tuple(row) == columns.COLUMNS
    reasons = json.loads(row["reasons"] or "{}")
    for name in ("operational_g", "embodied_g", "total_g", "sci_g_per_unit", "saved_g"):
        cells = [row[f"{name}_low"], row[name], row[f"{name}_high"]]
        if report[name] is None:
            assert cells == ["", "", ""]
            assert reasons[name] == report["null_reasons"][name]
        else:
            assert [float(cell) for cell in cells] == list(report[name].values())
    empty = {n for n, cell in row.items() if not cell and not n.endswith(("_low", "_high"))}
    assert empty - {"methods", "metrics", "notes", "reasons"} == set(reasons)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_comes_back_to_the_last_digit(value: float) -> None:
    made = replace(settlement(), saved_g=Triple.exact(value))
    row = next(csv.DictReader(io.StringIO(columns.write([Entry(job(), made)]), newline="")))
    assert float(row["saved_g"]) == value


@given(names)
def test_csv_keeps_any_name_in_its_cell_and_runs_no_formula(name: str) -> None:
    text = columns.write([entry(name, project=name), entry("next")])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == 3
    assert {len(row) for row in rows} == {len(columns.COLUMNS)}
    for column in ("name", "project"):
        cell = rows[1][columns.COLUMNS.index(column)]
        assert cell in {name, f"'{name}"}
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


# --- OpenMetrics ----------------------------------------------------------------------


@pytest.mark.parametrize("what", ENTRIES)
def test_openmetrics_has_the_numbers_of_the_json_and_no_sample_for_what_is_unknown(
    what: str,
) -> None:
    text = openmetrics.write([ENTRIES[what]])
    assert text.endswith("# EOF\n")
    samples, report = _samples(text), ENTRIES[what].as_json()
    found = {dict(k)["bound"]: v for (n, k), v in samples.items() if n.endswith("water_liters")}
    assert found == (report["water"]["litres"] if report["water"] else {})
    for figure in ("operational", "embodied", "total"):
        family, known = f"lowtide_job_{figure}_carbon_grams", report[f"{figure}_g"]
        found = {dict(k)["bound"]: v for (n, k), v in samples.items() if n == family}
        assert found == (known or {})
    told = {dict(k)["figure"]: dict(k) for n, k in samples if n == "lowtide_job_unknown"}
    assert {n: labels["reason"] for n, labels in told.items()} == report["null_reasons"]


def test_openmetrics_of_a_job_that_never_ran_has_reasons_only() -> None:
    names_there = {name for name, _ in _samples(openmetrics.write([ENTRIES["never run"]]))}
    assert names_there == {"lowtide_job_info", "lowtide_job_unknown"}
    unread = {name for name, _ in _samples(openmetrics.write([ENTRIES["unread"]]))}
    assert not {n for n in unread if "energy" in n or "carbon" in n or "measured" in n}


def test_openmetrics_is_in_base_units_and_names_the_methods() -> None:
    samples = _samples(openmetrics.write([entry()]))
    key = {"job_id": "0a1b2c3d", "kind": "reserved", "bound": "value"}
    joules = samples["lowtide_job_energy_joules", frozenset(key.items())]
    assert joules == pytest.approx(0.002 * 3.6e6)
    info = next(dict(labels) for name, labels in samples if name == "lowtide_job_info")
    assert info["methods"] == "cpu=modelled,dram=modelled"
    assert info["signal"] == "average"


@given(st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), max_size=3))
def test_metrics_come_back_from_csv_and_openmetrics(metrics: dict[str, float]) -> None:
    made = [Entry(job(), settlement(metrics=metrics))]
    samples = _samples(openmetrics.write(made)).items()
    found = {dict(k)["metric"]: v for (n, k), v in samples if n == "lowtide_job_metric"}
    assert found == metrics
    row = next(csv.DictReader(io.StringIO(columns.write(made), newline="")))
    assert json.loads(row["metrics"] or "{}") == metrics


@given(names, names)
def test_any_name_comes_back_from_openmetrics(name: str, project: str) -> None:
    text = openmetrics.write([entry(name, project=project), entry("next", job_id="00000000")])
    info = [dict(labels) for family, labels in _samples(text) if family == "lowtide_job_info"]
    assert [each["name"] for each in info if each["job_id"] == "0a1b2c3d"] == [name]
    assert {each.get("project") for each in info} == {project, None}


def test_the_older_format_that_node_exporter_reads_is_served_by_the_same_text() -> None:
    text = openmetrics.write([entry(), ENTRIES["unread"]])
    kinds = {line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}
    assert kinds == {"gauge"}, "a type that text format 0.0.4 does not know makes it refuse all"
    assert len(list(parse_0_0_4(text))) == text.count("# TYPE")


def test_nothing_to_export_is_a_whole_text() -> None:
    assert openmetrics.write([]) == "# EOF\n"
    assert columns.write([]).splitlines() == [",".join(columns.COLUMNS)]


# --- BoAmps ---------------------------------------------------------------------------


def _region(name: str, **settings: Any) -> Region:
    own = RegionSettings(**settings)
    return Region(
        name, own.place or "own", own.zone, None, None, Triple.exact(1.0), "x", None, (),
        own.hardware, Machines(Surroundings.at(Path())), country=own.country, lat=own.lat,
        lon=own.lon,
    )  # fmt: skip


def _report(region: Region | None = None, *, task: Any = None, **fields: Any) -> Any:
    made = Entry(job(), settlement(place=region and region.site.place, **fields))
    report = json.loads(boamps.write(made, START, task))
    jsonschema.validate(report, BOAMPS)
    return report


def test_boamps_holds_what_is_known_and_invents_nothing() -> None:
    report = _report()
    assert report["measures"][0]["powerConsumption"] == 0.002
    assert report["measures"][0]["measurementDuration"] == 3600.0
    assert report["quality"] == "high"
    assert report["infrastructure"]["infraType"] == "other"
    assert (report["task"]["taskStage"], report["task"]["algorithms"]) == ("unknown", [{}])
    assert not {"software", "environment", "publisher"} & {*report, *report["header"]}


def test_boamps_tells_the_place_as_far_as_it_is_known() -> None:
    server = {"ccf_server": {"memory_gb": 64}}
    lab = _report(_region("lab", zone="DE", hardware=server, lat=52.5, lon=13.4, place="Berlin"))
    assert lab["infrastructure"]["infraType"] == "onPremise"
    assert lab["environment"] == {
        "country": "DE", "location": "Berlin", "latitude": 52.5, "longitude": 13.4,
        "powerSourceCarbonIntensity": 100.0,
    }  # fmt: skip
    cloud = _report(_region("aws:eu-north-1", zone="SE-SE3", country="SE"))
    assert cloud["infrastructure"]["cloudProvider"] == "aws"
    rented = _report(_region("box", hardware={"instance": "aws/c5.large"}), grams=None)
    assert rented["infrastructure"]["cloudInstance"] == "aws/c5.large"
    assert rented["infrastructure"]["infraType"] == "publicCloud"
    assert "environment" not in rented, "no zone, no country"


@pytest.mark.parametrize(
    ("high", "word"), [(1.1, "high"), (1.2, "medium"), (1.5, "low"), (1.6, None), (0.0, None)]
)
def test_boamps_says_how_good_a_figure_is_by_its_bounds(high: float, word: str | None) -> None:
    energy = Triple(1.0, 1.0, high) if high else Triple.exact(0.0)
    assert _report(reserved_kwh=energy).get("quality") == word


def test_boamps_takes_epochs_and_what_the_user_tells() -> None:
    assert _report(unit="epochs", unit_count=5.0)["task"]["algorithms"] == [{"epochsNumber": 5.0}]
    told = Task.model_validate(
        {
            "taskStage": "training",
            "taskFamily": "image classification",
            "algorithms": [{"algorithmName": "mlp", "epochsNumber": 4}],
            "dataset": [{"dataUsage": "input", "dataType": "image", "dataQuantity": 1797}],
        }
    ).told()
    task = _report(task=told, unit="epochs", unit_count=5.0)["task"]
    assert task["taskStage"] == "training"
    assert task["algorithms"] == [{"algorithmName": "mlp", "epochsNumber": 4.0}]
    assert "taskDescription" not in task
    assert _report(metrics={"accuracy": 0.9})["task"]["measuredAccuracy"] == 0.9
    assert "measuredAccuracy" not in _report(metrics={"accuracy": 90.0})["task"]


@pytest.mark.parametrize(("what", "why"), [("unread", "no meter"), ("never run", "has not run")])
def test_boamps_without_energy_is_refused(what: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        boamps.write(ENTRIES[what], START)


def test_boamps_of_a_run_that_goes_on_has_no_duration() -> None:
    going = settlement(attempts=(replace(settlement().attempts[0], ended_at=None),))
    made = json.loads(boamps.write(Entry(job(), going), START))
    assert "measurementDuration" not in made["measures"][0]


def test_a_board_is_counted_and_its_meter_named() -> None:
    boards = [component(f"gpu:GPU-{i}", 0.1, "measured") for i in range(2)]
    made = Entry(job(gpus=2), settlement(component("cpu", 0.1), *boards))
    report = json.loads(boamps.write(made, START))
    jsonschema.validate(report, BOAMPS)
    found = {c["componentType"]: c["nbComponent"] for c in report["infrastructure"]["components"]}
    assert found == {"cpu": 1, "gpu": 2}
    assert report["measures"][0]["gpuTrackingMode"] == "measured: a meter"


# --- Markdown and the terminal --------------------------------------------------------


@given(names)
def test_any_name_stays_on_its_line(name: str) -> None:
    made = entry(name, unit=name)
    unit = replace(settlement(), unit=name)
    quiet = markdown.report(job(), unit, tz=START.tzinfo)  # type: ignore[arg-type]
    shown = markdown.report(made.job, unit, tz=START.tzinfo)  # type: ignore[arg-type]
    assert len(shown.splitlines()) == len(quiet.splitlines())
    plain = settlement()
    head = terminal.report(made.job, plain, tz=START.tzinfo)  # type: ignore[arg-type]
    assert head.splitlines()[0].startswith("0a1b2c3d")
    assert not any(ord(c) < 32 for c in head.splitlines()[0])


@pytest.mark.parametrize("name", ["a|b", "\\|", "<b>", "`x`", "[a](b)", "*a*", "a\nb"])
def test_a_name_is_no_markup(name: str) -> None:
    line = markdown.report(job(name=name), None, tz=START.tzinfo)  # type: ignore[arg-type]
    head = line.splitlines()[0]
    for mark in "|<`[*":
        assert head.count(mark) == head.count(f"\\{mark}")
    assert head.endswith("(0a1b2c3d): succeeded")


# --- the deadline ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "attempt", "met", "why"),
    [
        (JobState.SUCCEEDED, 1, True, ""),
        (JobState.CANCELLED, 0, None, "ended as cancelled before it began"),
        (JobState.CANCELLED, 1, None, "ended as cancelled: only a success"),
        (JobState.FAILED, 1, None, "ended as failed: only a success"),
        (JobState.LOST, 1, None, "ended as lost: only a success"),
        (JobState.RUNNING, 1, None, "it has not ended"),
    ],
)
def test_only_a_success_meets_its_deadline(
    state: JobState, attempt: int, met: bool | None, why: str
) -> None:
    due = job(state=state, deadline=START + timedelta(hours=2))
    ran = settlement() if attempt else None
    made = Entry(replace(due, attempt=attempt), ran)
    report = made.as_json()
    assert report["deadline_met"] is met
    assert why in report["null_reasons"].get("deadline_met", "")
    assert ("deadline_met" in report["null_reasons"]) is (met is None)
    row = next(csv.DictReader(io.StringIO(columns.write([made]), newline="")))
    assert row["deadline_met"] == ("true" if met else "")
    if ran is not None and state.ended:
        said = "before it" if met else f"neither met nor missed: it {why}"
        assert said in terminal.report(due, ran, tz=UTC)


def test_a_success_after_its_deadline_has_missed_it() -> None:
    late = Entry(job(deadline=START + timedelta(minutes=30)), settlement())
    assert late.as_json()["deadline_met"] is False
    assert "after it" in terminal.report(late.job, late.settlement, tz=UTC)
