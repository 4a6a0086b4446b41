"""What people type wrongly: one line that says what was asked, what was found, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR = ("--duration", "1h")
JOB = ("--", "true")


def _refused(result: Any, *said: str, code: int = 2) -> None:
    lines = [line for line in str(result.err).splitlines() if line]
    assert result.code == code, result
    assert len(lines) == 1, lines
    for text in said:
        assert text in lines[0], (text, lines[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("submitt",), ("no command 'submitt'", "did you mean `submit`?")),
        (("stat",), ("did you mean `status`?",)),
        (("runn",), ("did you mean `run`?",)),
        (("zzzz",), ("`lowtide -h`",)),
        (
            ("submit", *HOUR, "python", "x.py", "--lr", "1"),
            ("--lr is not an option of submit", "put `--` before the job's command"),
        ),
        (("run", "python", "x.py", "--lr=1"), ("--lr is not an option of run", "put `--` before")),
        (("submit", "--duratoin", "1h", *JOB), ("did you mean --duration?",)),
        (("status", "--jsn"), ("did you mean --json?",)),
        (
            ("submit", *HOUR, "--", "python3 x.py --lr 0.1"),
            (
                "the command is one word",
                "python3 x.py --lr 0.1",
                "[python3, x.py, --lr, 0.1]",
                "sh -c",
            ),
        ),
        (("submit", *HOUR, "--", "no-such-program"), ("executable 'no-such-program'", "full path")),
        (("submit", *HOUR, "--slots", "0", *JOB), ("--slots must be at least 1, not 0",)),
        (("submit", *HOUR, "--retries", "-1", *JOB), ("--retries must be at least 0, not -1",)),
        (("submit", *HOUR, "--gpus", "-1", *JOB), ("--gpus must be at least 0, not -1",)),
        (("submit", *HOUR, "--after", "zzzz", *JOB), ("--after: no job 'zzzz'",)),
        (("show", "zzzz"), ("no job 'zzzz'", "`lowtide status --all`")),
        (("cancel", "rzzz"), ("no active series 'rzzz'",)),
        (("regions", "--duration", "foo"), ("--duration: invalid duration 'foo'",)),
        (("regions", "--slack", "90"), ("--slack: '90' could be", "90s or 90m")),
        (("submit", *HOUR, "--energy", "5", *JOB), ("--energy: '5'", "kWh")),
        (("submit", *HOUR, "--every", "daily", *JOB), ("write @daily", "--every needs --within")),
        (("submit", *HOUR, "--every", "@daily", *JOB), ("--every needs --within",)),
        (("report", "--since", "soon"), ("--since: 'soon' is not a time",)),
    ],
)
def test_a_slip_is_answered_with_what_would_do(
    lowtide: Callable[..., Any], words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    _refused(lowtide(*words), *said)
    assert lowtide("status", "--json", "--all").json["jobs"] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("DE", ("grid zone", "aws:eu-central-1", "more")),
        ("de", ("grid zone", "aws:eu-central-1")),
        ("aws", ("a cloud", "aws:", "more")),
        ("eu-north-1", ("aws:eu-north-1",)),
        ("Frankfurt", ("a place", "gcp:europe-west3")),
        ("US", ("a country", "aws:us-")),
        ("SE-SE", ("zones",)),
        ("EE", ("grid zone without a listed region", "zone: EE")),
        ("aws:eu-nort-1", ("nearest", "aws:eu-north-1")),
        ("zzzzzz", ("aws:eu-north-1",)),
    ],
)
def test_an_unknown_region_is_met_with_those_that_were_meant(
    lowtide: Callable[..., Any], name: str, said: tuple[str, ...]
) -> None:
    _refused(lowtide("submit", *HOUR, "--region", name, *JOB), f"unknown region {name!r}", *said)
    _refused(lowtide("forecast", name), *said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("command: python3 train.py\nduration: 1h\n", (2, "one word", "[python3, train.py]")),
        ("command: ['true']\nduration: 1h\nretries: yes\n", (3, "retries", "whole number", "yes")),
        ("command: ['true']\nduration: 1h\nslots: 1.5\n", (3, "slots", "whole number", "1.5")),
        ("command: ['true']\nduration: 90\n", (2, "90s or 90m")),
        ("command: {a: b}\nduration: 1h\n", (3, "command", "must be a list")),
        ("command: ['true']\nduration: 1h\npausable: maybe\n", (3, "pausable", "true or false")),
    ],
)
def test_a_job_file_with_a_slip(
    lowtide: Callable[..., Any], tmp_path: Path, text: str, said: tuple[int, str]
) -> None:
    (tmp_path / "job.yaml").write_text(text)
    code, *words = said
    _refused(lowtide("submit", "-f", "job.yaml"), *map(str, words), code=code)


def test_a_job_file_takes_the_words_of_a_command_line(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(
        "command: [echo, 0.10, 1e-3, yes, null, 2026-01-01, 18:00, 007, ~]\n"
        "duration: 90min\ndeadline: 18:00\nretries: 2\nname: 123\nmin-saving: 0.05\ngroup:\n"
        "power: 350\n"
    )
    made = lowtide("submit", "-f", "job.yaml", "--json")
    assert made.code == 0, made.err
    assert "--deadline 18:00 is " in made.err
    assert "taken as 350 W" in made.err
    job = lowtide("show", made.json["job_id"], "--json").json["job"]
    words = ["echo", "0.10", "1e-3", "yes", "null", "2026-01-01", "18:00", "007", "~"]
    assert job["argv"] == words
    assert (job["name"], job["group"]) == ("123", None)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.yaml", None, "absent.yaml: no such file"),
        ("data.npz", b"PK\x03\x04\xff\xfe\x00\x01", "data.npz is not a text file"),
    ],
)
def test_what_is_no_job_file_is_said(
    lowtide: Callable[..., Any], tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    _refused(lowtide("submit", "-f", name, *JOB), said, code=3)


def test_an_id_that_matches_two_jobs_names_both(lowtide: Callable[..., Any]) -> None:
    ids = [lowtide("submit", *HOUR, "--json", *JOB).json["job_id"] for _ in range(17)]
    first = next(c for c in "0123456789abcdef" if sum(i.startswith(c) for i in ids) > 1)
    alike = sorted(i for i in ids if i.startswith(first))
    _refused(lowtide("show", first), f"{first!r} matches", *alike[:5], "write more of the id")


def test_logs_of_a_job_that_waits_say_when_it_is_planned(lowtide: Callable[..., Any]) -> None:
    made = lowtide("submit", *HOUR, "--earliest", "5h", "--json", *JOB).json
    said = lowtide("logs", made["job_id"])
    assert (said.code, said.out) == (0, "")
    assert f"{made['job_id']} has not started: planned for " in said.err
    lowtide("cancel", made["job_id"])
    assert "never started: cancelled" in lowtide("logs", made["job_id"]).err
