"""How fast the command answers, as ratios measured in one run (`pytest -m benchmark -s`)."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

ROUNDS = 15
LOWTIDE = Path(sys.executable).with_name("lowtide")
JOB = ("--duration", "2h", "--deadline", "26h", "--power", "350W", "--json", "--", "true")
# Name, argv and the bound as a multiple of the bare import (DESIGN section 10).
COMMANDS = (
    ("python -c 'import click'", (sys.executable, "-c", "import click"), 1.0),
    ("lowtide --help", (str(LOWTIDE), "--help"), 3.0),
    ("lowtide submit --json", (str(LOWTIDE), "submit", *JOB), 15.0),
)


def test_start_up_against_a_bare_import_of_click(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Medians of interleaved runs, so that a busy machine weighs on all of them alike."""
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n", encoding="utf-8")
    left_out = ("LOWTIDE", "PYTHONDONTWRITEBYTECODE")
    env = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    env["LOWTIDE_HOME"] = str(tmp_path / "home")
    # Bytecode is cached as it is for users, but outside the source tree; round 0 fills it.
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path / "bytecode")
    took_s: dict[str, list[float]] = {name: [] for name, _, _ in COMMANDS}
    for round_ in range(ROUNDS + 1):
        for name, argv, _ in COMMANDS:
            begun = time.perf_counter()
            subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, check=True)
            if round_:
                took_s[name].append(time.perf_counter() - begun)
    bare = statistics.median(took_s[COMMANDS[0][0]])
    with capsys.disabled():
        print(f"\n{COMMANDS[0][0]}: {1000 * bare:.0f} ms")
        for name, _, bound in COMMANDS[1:]:
            median = statistics.median(took_s[name])
            print(
                f"{name}: {1000 * median:.0f} ms, {median / bare:.1f} x, aim at most {bound:.0f} x"
            )
