"""Whatever a job is called: no path is made of it, and what cannot be stored is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = (
    "../../../../tmp/up", "/etc/passwd", ".", "..", "a\nb", "a\tb", "-rf", "--help", "*", "~",
    "$HOME",
    "a/b/c", "\\x00", "'; DROP TABLE job; --", "%n", "x" * 5000, " ", "\u202edne",
)  # fmt: skip
BYTES = b"x\xff"


def _files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda n: repr(n)[:20])
def test_no_path_is_made_of_what_a_job_is_called(
    lowtide: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    labels = [f"--{field}={name}" for field in ("name", "group", "project", "unit")]
    done = lowtide("submit", "--duration", "1h", *labels, "--json", "--", "true")
    assert done.code == 0, done.err
    (told,) = lowtide("status", "--json").json["jobs"]
    assert (told["name"], told["group"], told["project"]) == (name, name, name)
    # The run folder's name is the id alone; the rest is the same for every job.
    job_id = done.json["job_id"]
    assert re.fullmatch(r"[0-9a-f]{8}", job_id)
    assert _files(tmp_path / "home" / "runs") == {job_id, f"{job_id}/env.json"}
    assert _files(tmp_path) >= {"home/lowtide.db"}
    assert {p.name for p in tmp_path.iterdir()} == {"home"}


FIELDS = (
    "name",
    "group",
    "project",
    "region",
    "home",
    "unit",
    "env",
    "cwd",
    "tz",
    "after",
    "weigh",
)


@pytest.mark.parametrize(
    "words",
    [
        *([f"--{field}=".encode() + BYTES, b"--", b"true"] for field in FIELDS),
        [b"--", b"true", BYTES],
    ],
    ids=lambda words: repr(words[0]),
)
@pytest.mark.parametrize("verb", ["submit", "run"])
def test_what_is_no_utf_8_is_one_line_and_exit_2_and_queues_nothing(
    lowtide: Callable[..., Any], verb: str, words: list[bytes]
) -> None:
    option = words[0].partition(b"=")[0].decode()
    if verb == "run" and option in {"--tz", "--after"}:
        pytest.skip("only submit has this option")
    done = lowtide(verb, "--duration=1h", *map(os.fsdecode, words))
    assert done.code == 2
    (line,) = done.err.splitlines()
    said = "the command" if option == "--" else option
    assert line.startswith(f"lowtide: {said} is no UTF-8 text")
    assert lowtide("status", "--json", "--all").json["jobs"] == []


@pytest.mark.parametrize(
    "asked", [("show",), ("why",), ("logs",), ("cancel",), ("report",), ("report", "--group")]
)
def test_who_asks_for_what_is_no_utf_8_is_told_so(
    lowtide: Callable[..., Any], asked: tuple[str, ...]
) -> None:
    done = lowtide(*asked, os.fsdecode(BYTES))
    assert done.code == 2
    assert done.err.splitlines() == ["lowtide: 'x\\udcff' is no UTF-8 text: no such name is stored"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name: "a\\0b"', "--name has a NUL character in it"),
        ('group: "\\0"', "--group has a NUL character in it"),
        ('argv: [echo, "a\\0b"]', "the command has a NUL character in it"),
        ('command: "a\\0b"', "the command has a NUL character in it"),
        ('env: ["SECRET=a\\0b"]', "--env has a NUL character in it"),
    ],
)
def test_a_nul_of_a_job_file_is_refused_and_its_text_is_not_repeated(
    lowtide: Callable[..., Any], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "job.yaml").write_text(text)
    done = lowtide("submit", "-f", "job.yaml", "--duration", "1h", "--", "true")
    assert done.code == 3
    (line,) = done.err.splitlines()
    assert said in line
    assert "SECRET" not in line
    assert lowtide("status", "--json", "--all").json["jobs"] == []


@pytest.mark.parametrize(
    ("variable", "said"),
    [("LOWTIDE_HOST", "LOWTIDE_HOST is no UTF-8 text"), ("LOWTIDE_HOME", "is no UTF-8 text")],
)
def test_a_home_or_host_that_is_no_utf_8_is_exit_3(
    tmp_path: Path, variable: str, said: str
) -> None:
    kept = {os.fsencode(k): os.fsencode(v) for k, v in os.environ.items() if "LOWTIDE" not in k}
    home = {b"LOWTIDE_HOME": os.fsencode(tmp_path / "home")}
    named = {variable.encode(): os.fsencode(tmp_path) + b"/" + BYTES}
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", "submit", "--duration", "1h", "--", "true"],
        env=kept | home | named, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
