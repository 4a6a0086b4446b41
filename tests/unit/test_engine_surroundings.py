"""What an engine adds to a job, and what of its submitter's surroundings is not the job's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from providers.base import Launch
from providers.executors.local import Local
from providers.executors.slurm.batch import INHERITED, NEVER_INHERITED
from providers.runner.runner import _environment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_job_submitted_from_within_another_has_nothing_of_that_ones_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {
        "SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "64", "SLURM_EXPORT_ENV": "NONE",
        "TMPDIR": "/mine", "WORDS": "kept",
    }  # fmt: skip
    (tmp_path / "env.json").write_text(json.dumps(kept))
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    monkeypatch.setenv("SLURM_EXPORT_ENV", "NIL")
    monkeypatch.delenv("TMPDIR", raising=False)
    launch = Launch(
        "j", 1, "t", ("true",), "/", str(tmp_path), str(tmp_path / "env.json"), "", "", "north", 1,
        inherit=INHERITED, drop=NEVER_INHERITED,
    )  # fmt: skip
    found = _environment(launch)
    told = {name: value for name, value in found.items() if name.startswith("SLURM_")}
    assert told == {"SLURM_JOB_ID": "2"}
    assert (found["TMPDIR"], found["WORDS"]) == ("/mine", "kept")


def test_a_stop_needs_no_run_folder(tmp_path: Path) -> None:
    """It was taken away before the runner came, which finds the attempt taken."""
    folder = tmp_path / "job" / "1"
    Local().stop(folder, "token", 1.0)
    assert Local().poll(folder, "token").phase == "gone"
