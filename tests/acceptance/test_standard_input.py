"""``lowtide run`` passes its standard input on to the job."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    return {**kept, "LOWTIDE_HOME": str(tmp_path / "home")}


def _run(
    environ: dict[str, str], folder: Path, *words: str, given: bytes | None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "scheduler", "run", "--now", *words]
    source = {"input": given} if given is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, timeout=60, check=False, **source
    )


def test_a_pipe_comes_whole_and_ends(environ: dict[str, str], tmp_path: Path) -> None:
    given = os.urandom(1 << 20)  # more than a pipe holds
    done = _run(environ, tmp_path, "--", "cat", given=given)
    assert done.returncode == 0, done.stderr
    assert done.stdout == given


def test_a_job_that_reads_little_or_nothing_ends(environ: dict[str, str], tmp_path: Path) -> None:
    given = b"first\n" + b"x" * (1 << 20)
    assert _run(environ, tmp_path, "--", "head", "-n1", given=given).stdout == b"first\n"
    assert _run(environ, tmp_path, "--", "true", given=given).returncode == 0


def test_a_retry_reads_an_end_and_not_for_ever(environ: dict[str, str], tmp_path: Path) -> None:
    script = "cat; test -e again || { touch again; exit 1; }"
    words = ("--retries", "1", "--", "sh", "-c", script)
    done = _run(environ, tmp_path, *words, given=b"once\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"once\n"


def test_without_input_a_job_reads_an_end(environ: dict[str, str], tmp_path: Path) -> None:
    assert _run(environ, tmp_path, "--", "cat", given=None).returncode == 0


def test_nothing_is_left_of_the_pipe(environ: dict[str, str], tmp_path: Path) -> None:
    assert _run(environ, tmp_path, "--", "cat", given=b"x").stdout == b"x"
    assert not list((tmp_path / "home" / "runs").glob("*/stdin"))
