"""The example of a search over two objectives runs real jobs and tells their front."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the example trains with scikit-learn")
pytest.importorskip("optuna", reason="the example searches with Optuna")

SEARCH = Path(__file__).parents[2] / "examples" / "optuna_digits.py"
TRIALS = 3


def test_the_front_is_made_of_jobs_with_accuracy_and_energy(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    env = kept | {"LOWTIDE_HOME": str(tmp_path / "home")}

    def run(*argv: str) -> str:
        done = subprocess.run(
            argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        return done.stdout

    out = run(sys.executable, str(SEARCH), "--trials", str(TRIALS), "--group", "sweep")
    head, *rows = out.splitlines()
    count = int(re.fullmatch(rf"front: (\d) of {TRIALS} trials", head)[1])  # type: ignore[index]
    front = [row.split() for row in rows[:count]]
    compared = run(
        sys.executable,
        "-m",
        "scheduler",
        "compare",
        "--group",
        "sweep",
        "--by",
        "accuracy",
        "--json",
    )
    runs = {r["job_id"]: r for r in json.loads(compared)["runs"]}
    assert len(runs) == TRIALS
    assert {r["state"] for r in runs.values()} == {"succeeded"}
    for job_id, _, accuracy, mwh, *_ in front:
        assert runs[job_id]["metrics"]["accuracy"] == pytest.approx(float(accuracy), abs=5e-5)
        assert runs[job_id]["energy_kwh"]["value"] * 1e6 == pytest.approx(float(mwh), abs=5e-4)
    values = {i: (-r["metrics"]["accuracy"], r["energy_kwh"]["value"]) for i, r in runs.items()}
    best = {
        i for i, v in values.items()
        if not any(o[0] <= v[0] and o[1] <= v[1] and o != v for o in values.values())
    }  # fmt: skip
    assert {row[0] for row in front} == best
    assert "accuracy against" in out
