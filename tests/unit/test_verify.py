"""``lowtide verify``: what it takes, what it says, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import reports, verifying

from providers.journal import read
from scheduler.cli.main import cli
from scheduler.errors import UsageError
from scheduler.report import schema
from scheduler.report.verification import check

REFEREE = Path(__file__).parents[2] / "examples" / "verify_report.py"


def verify(*argv: object) -> Result:
    return CliRunner().invoke(cli, ["verify", *map(str, argv)], standalone_mode=False)


@pytest.fixture
def report(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    document = verifying.document(Random(1), tmp_path / "runs")
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document, indent=2))
    return path, document


def test_a_report_is_verified_from_the_journals_that_it_names(report: tuple[Path, Any]) -> None:
    path, _ = report
    found = verify(path)
    assert found.return_value == 0
    assert found.output.count(": verified") == 3, "two jobs and the sums"
    document = json.loads(verify(path, "--json").output)
    assert document["verified"] is True
    assert {c["verdict"] for c in document["checks"]} == {"verified"}


def test_journals_may_be_given_as_files_or_folders(report: tuple[Path, Any]) -> None:
    path, document = report
    folders = sorted((path.parent / "runs").iterdir())
    moved = path.parent / "moved"
    moved.mkdir()
    for folder in folders:
        folder.rename(moved / folder.name)
    assert "is not here" in verify(path).output
    assert verify(path, *moved.iterdir()).return_value == 0
    kept = [f / "journal.jsonl" for f in moved.iterdir()]
    assert verify(path, *kept).return_value == 0
    # One job alone, as `lowtide meter` writes it.
    path.write_text(json.dumps({"schema_version": 1} | document["jobs"][0]))
    own = [k for k in kept if k.parent.name.startswith("0-")]
    assert verify(path, *own).return_value == 0


def test_the_version_of_the_form_is_checked(report: tuple[Path, Any]) -> None:
    """Of a report of several jobs, and of one alone, which the seal of its job does not cover."""
    path, document = report
    for content in (document, {"schema_version": 1} | document["jobs"][0]):
        path.write_text(json.dumps(content | {"schema_version": 2}))
        found = verify(path)
        assert found.return_value == 1
        assert "schema_version" in found.output
    alone = check(content | {"schema_version": 2}, lambda named: read(Path(named.path)))
    assert alone.faults == ("its schema_version is 2, and not 1",)


def test_the_referee_has_the_same_verdicts_and_exit_codes(report: tuple[Path, Any]) -> None:
    path, document = report

    def referee(content: Any, *journals: Path) -> tuple[int, str]:
        path.write_text(json.dumps(content))
        argv = [sys.executable, "-I", REFEREE, path, *journals]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert len(REFEREE.read_text().splitlines()) <= 250
    first, second = (job["job_id"] for job in document["jobs"])
    assert referee(document) == (0, f"job {first}: verified\njob {second}: verified\n")
    code, said = referee(document | {"schema_version": 2})
    assert (code, "schema_version" in said) == (1, True)
    document["jobs"][1]["energy_kwh"]["reserved"]["value"] *= 1.01
    code, said = referee(document)
    assert code == 1
    assert f"job {first}: verified" in said
    assert f"job {second}: differs\n  it was changed since it was made" in said
    assert "energy_kwh reserved value: " in said
    journal = next((path.parent / "runs").glob("0-0/*.jsonl"))
    journal.write_bytes(journal.read_bytes() + b"\n")
    gone = f"job {first}: differs\n  a journal was changed, or is not among those given"
    assert gone in referee(document)[1]
    assert gone in referee(document, journal)[1], "those given are all that is read"


def test_a_changed_figure_and_a_changed_journal_are_named(report: tuple[Path, Any]) -> None:
    path, document = report
    document["jobs"][1]["operational_g"]["value"] *= 1.01
    path.write_text(json.dumps(document))
    found = verify(path)
    assert found.return_value == 1
    assert "operational_g.value: reported" in found.output
    assert "seal does not fit" in found.output
    journal = next((path.parent / "runs").glob("0-0/*.jsonl"))
    journal.write_bytes(journal.read_bytes().replace(b"cpu", b"gpu", 1))
    assert f"was changed: {journal}" in verify(path).output
    copy = path.parent / "copy.jsonl"
    copy.write_bytes(journal.read_bytes())
    assert f"{copy}: its bytes are those of no journal" in verify(path, copy).output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"schema_version": 1, "since": "30d"}, "is a summary, which carries no evidence"),
        ({"other": 1}, "no report is among"),
        ({"jobs": [{}]}, "is no report of `lowtide report --json`"),
    ],
)
def test_what_is_no_report_of_jobs_is_refused(
    tmp_path: Path, content: dict[str, Any], said: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    found = verify(path)
    assert isinstance(found.exception, UsageError)
    assert said in str(found.exception)
    assert isinstance(verify(tmp_path / "none.json").exception, UsageError)


def test_a_report_of_before_has_no_evidence_and_says_so() -> None:
    old = schema.report_json(reports.job(), reports.settlement())
    assert old["evidence"] is None
    found = check(old, lambda _: None)
    assert found.verdict == "unverifiable"
    assert "before lowtide kept" in found.missing[0]
