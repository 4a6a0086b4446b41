"""YAML that blows up, nests for ever or builds things: one line, at once, in every file we read."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support.fleet import PATIENCE_S

from scheduler import documents
from scheduler.documents import LIMIT_BYTES, LIMIT_DEPTH, LIMIT_NODES

if TYPE_CHECKING:
    from pathlib import Path

NAMES = "abcdefghijkl"


def _lines(first: str, each: str) -> str:
    """Each name stands for nine of the one before: 9^11 values in a few hundred bytes."""
    rows = [f"a: &a {first}"]
    for before, name in pairwise(NAMES):
        rows.append(f"{name}: &{name} " + each.format(",".join([f"*{before}"] * 9)))
    return "\n".join(rows) + "\n"


BOMBS = {
    "laughs": (_lines("[x]", "[{}]"), "stands for more than"),
    "merges": (_lines("{x: 1}", "{{<<: [{}]}}"), "stands for more than"),
    "itself": ("a: &a [*a]\n", "stands for more than"),
    "itself as a value": ("a: &a {b: *a}\n", "stands for more than"),
    "chain": ("a0: &a0 1\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(60)), "deep"),
    "deep": ("a: " + "[" * (LIMIT_DEPTH + 1) + "]" * (LIMIT_DEPTH + 1), "nested more than"),
    "very deep": ("a: " + "[" * 5000, "maximum nesting depth"),
    "huge": ("a: " + "x" * LIMIT_BYTES, "longer than 1 MiB"),
    "a command": ("a: !!python/object/apply:os.system [touch owned]", "could not determine"),
    "a module": ("a: !!python/module:os", "could not determine"),
    "a date that is none": ("deadline: 2026-02-31", "line 1"),
    "a number beyond all": ("a: " + "9" * 5000, "line 1"),
    "sexagesimal": ("a: !!int " + "1:" * 500_000 + "1", "more than 1000 digits"),
    "brackets": ("[" * 1_000_000, "maximum nesting depth"),
    "values": ("[" + "a," * 500_000 + "]", "stands for more than"),
    "directives": ("%TAG !a! b\n" * 80_000 + "---\na: 1", "lines begin with %"),
    "a control": ("a: \x07", "control characters"),
}


READS = {
    "config": ("status", "--config", "bomb.yaml"),
    "job": ("submit", "-f", "bomb.yaml", "--duration", "1h", "--", "true"),
    "task": ("report", "--format", "boamps", "--task", "bomb.yaml"),
}
# All are read by one function: each bomb is shown at one place, the worst at every place.
WORST = ("laughs", "merges", "itself", "very deep", "huge", "a command")
CASES = [(where, what) for where in READS for what in (BOMBS if where == "config" else WORST)]
# Twice the address space (RLIMIT_AS) that each of them gets along with on a plain file.
LIMIT_KB = str(400 * 1024)


def _lowtide(
    folder: Path, home: Path, *argv: str, limit_kb: str = LIMIT_KB
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which gets no memory beyond the limit."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    limited = f'ulimit -v {limit_kb}; exec "$@"'
    return subprocess.run(
        ["sh", "-c", limited, "sh", sys.executable, "-P", "-m", "scheduler", *argv],
        cwd=folder,
        env=kept | {"LOWTIDE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which one job has run: what a report can be about."""
    folder = tmp_path_factory.mktemp("yaml")
    done = _lowtide(folder, folder / "home", "run", "--", "true", limit_kb="unlimited")
    assert done.returncode == 0, done.stderr
    return folder / "home"


@pytest.mark.parametrize(("place", "what"), CASES)
def test_a_bomb_is_one_line_and_exit_3(home: Path, tmp_path: Path, place: str, what: str) -> None:
    text, said = BOMBS[what]
    (tmp_path / "bomb.yaml").write_text(text)
    done = _lowtide(tmp_path, home, *READS[place])
    assert done.returncode == 3, done.stderr
    (line,) = done.stderr.splitlines()
    assert said in line
    assert "bomb.yaml" in line
    assert not (tmp_path / "owned").exists()


def test_aliases_in_reason_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")
    assert documents.load(path) == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
    path.write_text("a: [" + "0," * (LIMIT_NODES // 50) + "]\n")
    assert len(documents.load(path)["a"]) == LIMIT_NODES // 50
    path.write_text("")
    assert documents.load(path) is None
