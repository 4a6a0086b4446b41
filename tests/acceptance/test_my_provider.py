"""The example of a source of one's own: found by its entry point, asked over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.server import Asked, Play, Reply, SourceServer

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG = """
providers: [my_utility]
sources:
  my_utility: {{type: my_utility, base_url: "{url}"}}
regions:
  local: {{zone: DE}}
"""


def _play(asked: Asked) -> Reply:
    """Every hour that was asked for; the third one from now is the lowest."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    first = datetime.fromisoformat(asked.query["from"]).replace(minute=0, second=0, microsecond=0)
    end = datetime.fromisoformat(asked.query["to"])
    points = []
    while first < end:
        low = first == now + timedelta(hours=3)
        points.append({"at": first.isoformat(), "g_per_kwh": 100.0 if low else 400.0})
        first += timedelta(hours=1)
    return Reply(json.dumps({"points": points}))


@pytest.fixture
def plugged(tmp_path: Path) -> dict[str, str]:
    """An environment in which a package with the example's entry point is installed."""
    installed = tmp_path / "site" / "my_provider-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-provider\nVersion: 1.0\n")
    entry = "[lowtide.intensity]\nmy_utility = my_provider:build\n"
    (installed / "entry_points.txt").write_text(entry)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    path = os.pathsep.join((str(tmp_path / "site"), str(EXAMPLES)))
    return kept | {"PYTHONPATH": path, "LOWTIDE_HOME": str(tmp_path / "home")}


def test_the_example_plans_on_what_its_utility_says(
    tmp_path: Path, plugged: dict[str, str], serve: Callable[[Play], SourceServer]
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(url=serve(_play).url))
    argv = ["plan", "--duration", "30m", "--deadline", "8h", "--power", "100W", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", *argv, "--", "true"],
        cwd=tmp_path,
        env=plugged,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)["plan"]
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
    assert datetime.fromisoformat(plan["start"]) == hour
    assert plan["forecast"]["source"] == "my utility"


def test_what_was_not_agreed_is_one_clear_line(
    tmp_path: Path, plugged: dict[str, str], serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(lambda _: Reply(json.dumps({"points": [{"at": "soon"}]})))
    (tmp_path / "config.yaml").write_text(CONFIG.format(url=server.url))
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", "forecast", "local"],
        cwd=tmp_path,
        env=plugged,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "my utility: the answer is not what was agreed" in done.stderr
    assert done.stderr.count("\n") == 1
