"""The example of an executor of one's own: found by its entry point, held to the contract."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CONTRACT = ROOT / "tests" / "contract" / "test_executor_contract.py"
CONFIG = """
providers: [country_mean]
executors:
  my_machine: {{cpus: 2, reach: {reach}}}
regions:
  local: {{zone: DE, executor: my_machine}}
"""


@pytest.fixture
def plugged(tmp_path: Path) -> dict[str, str]:
    """An environment in which a package with the example's entry point is installed."""
    installed = tmp_path / "site" / "my_executor-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-executor\nVersion: 1.0\n")
    entry = "[lowtide.executors]\nmy_machine = my_executor:build\n"
    (installed / "entry_points.txt").write_text(entry)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOWTIDE", "PYTEST"))}
    path = os.pathsep.join((str(tmp_path / "site"), str(EXAMPLES)))
    return kept | {"PYTHONPATH": path, "LOWTIDE_HOME": str(tmp_path / "home")}


def _lowtide(folder: Path, plugged: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scheduler", *argv], cwd=folder, env=plugged, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_the_example_keeps_the_contract(plugged: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*argv, str(CONTRACT), "-k", "my_machine"], cwd=ROOT, env=plugged, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"^1[0-9] passed, [0-9]+ deselected in", done.stdout, re.MULTILINE)


def test_a_job_runs_there_and_is_metered(tmp_path: Path, plugged: dict[str, str]) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(reach='["sh", "-c"]'))
    done = _lowtide(tmp_path, plugged, "run", "--", "sh", "-c", "echo on my machine")
    assert done.returncode == 0, done.stderr
    assert "on my machine" in done.stdout
    told = _lowtide(tmp_path, plugged, "report", "--json")
    (job,) = json.loads(told.stdout)["jobs"]
    assert job["state"] == "succeeded"


def test_one_that_cannot_be_reached_is_one_clear_line_in_its_story(
    tmp_path: Path, plugged: dict[str, str]
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(reach='["/nowhere/ssh"]'))
    sent = _lowtide(tmp_path, plugged, "submit", "--duration", "1m", "--json", "--", "true")
    assert sent.returncode == 0, sent.stderr
    assert _lowtide(tmp_path, plugged, "tick").returncode == 0
    told = _lowtide(tmp_path, plugged, "why", json.loads(sent.stdout)["job_id"])
    assert "my machine cannot be reached" in told.stdout
