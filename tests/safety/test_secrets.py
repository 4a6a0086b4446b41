"""Keys and passwords: not in the database, in no log, record or message, and not in a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler import config
from scheduler.engine import submission
from scheduler.engine.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "s3cr3t-7f2a9c"
CONFIG = """
regions:
  local: {zone: DE, engine: {}}
  far: {zone: FR, executor: ray, engine: {token_env: FAR_TOKEN}, slots: 1, host: elsewhere}
sources: {mine: {type: electricity_maps, key_env: MY_MAPS_KEY}}
executors: {ray: {token_env: RAY_TOKEN}}
secrets: [MY_OWN]
"""
KEYS = ("MY_MAPS_KEY", "FAR_TOKEN", "RAY_TOKEN", "MY_OWN", "PGPASSWORD", "ELECTRICITY_MAPS_TOKEN",
        "WATTTIME_PASSWORD", "EIA_API_KEY", "ENTSOE_TOKEN")  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("asked", [False, True])
def test_a_key_of_lowtide_is_in_no_jobs_environment(tmp_path: Path, name: str, asked: bool) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    settings = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    request = Request(argv=("true",), env=(name,) if asked else ())
    kept = submission.job_environment(request, {name: SECRET, "PATH": "/bin"}, settings)
    assert kept == {"PATH": "/bin"}


def _everywhere(folder: Path) -> list[Path]:
    """Files that hold the secret."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return [p for p in files if SECRET.encode() in p.read_bytes()]


READERS = (
    ("status", "--json"), ("status",), ("show", "ID", "--json"), ("show", "ID"), ("why", "ID"),
    ("why", "ID", "--json"), ("report", "ID", "--json"), ("report", "ID"), ("doctor",),
    ("providers", "--json"), ("report", "--format", "csv"), ("report", "--format", "openmetrics"),
)  # fmt: skip


def test_the_environment_of_a_job_is_in_its_run_folder_until_it_ends_and_nowhere_else(
    lowtide: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    monkeypatch.setenv("ELECTRICITY_MAPS_TOKEN", SECRET)
    monkeypatch.setenv("JOBS_OWN_TOKEN", SECRET)
    script = (
        "import os; assert 'ELECTRICITY_MAPS_TOKEN' not in os.environ; "
        "print(len(os.environ['JOBS_OWN_TOKEN']))"
    )
    waiting = lowtide("submit", "--duration", "1h", "--earliest", "5h", "--json", "--", "true")
    kept = tmp_path / "home" / "runs" / waiting.json["job_id"] / "env.json"
    assert _everywhere(tmp_path) == [kept]
    assert json.loads(kept.read_text())["JOBS_OWN_TOKEN"] == SECRET
    assert "ELECTRICITY_MAPS_TOKEN" not in json.loads(kept.read_text())
    ran = lowtide("run", "--now", "--", sys.executable, "-c", script)
    assert ran.code == 0, ran.err
    assert ran.out == f"{len(SECRET)}\n"
    assert lowtide("cancel", waiting.json["job_id"]).code == 0
    assert _everywhere(tmp_path) == []
    for words in READERS:
        named = [waiting.json["job_id"] if word == "ID" else word for word in words]
        done = lowtide(*named)
        assert SECRET not in done.out + done.err, words


def test_a_secret_on_the_command_line_is_stored_to_be_run_and_never_shown(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    """It must be kept: it is part of the command. The docs say to use the environment."""
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    job_id = lowtide(
        "submit", "--duration", "1h", "--json", "--",
        "true", "--api-key", SECRET, f"--token={SECRET}", f"https://me:{SECRET}@host/x",
    ).json["job_id"]  # fmt: skip
    for words in READERS:
        done = lowtide(*(job_id if word == "ID" else word for word in words))
        assert SECRET not in done.out + done.err, words
    assert {p.name.partition("-")[0] for p in _everywhere(tmp_path)} <= {"lowtide.db"}


def test_an_attempt_passes_on_nothing_of_the_daemons_environment(tmp_path: Path) -> None:
    """What a job sees was its submitter's; what the daemon was started with stays its own."""
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    base = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    base["LOWTIDE_HOME"] = str(tmp_path / "home")
    words = [sys.executable, "-m", "scheduler"]
    soon = ["--duration", "1s", "--start-by", "5s"]
    subprocess.run(
        [*words, "submit", *soon, "--", "sh", "-c", "sleep 0.2; env"],
        cwd=tmp_path, env=base | {"MINE": "yes"}, check=True, capture_output=True,
    )  # fmt: skip
    deadline = 60
    for _ in range(deadline * 4):
        subprocess.run(
            [*words, "tick"], cwd=tmp_path, env=base | {"DAEMONS_SECRET": SECRET}, check=True,
            capture_output=True,
        )  # fmt: skip
        found = [*(tmp_path / "home" / "runs").glob("*/1/receipt.json")]
        if found:
            break
    said = found[0].with_name("stdout.log").read_text()
    assert "MINE=yes" in said.splitlines()
    assert _everywhere(tmp_path) == []
