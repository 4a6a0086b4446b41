"""One attempt under a real runner, with the driver of the machine or a played one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Launch
from providers.runner import journal
from scheduler.testing.nvml import plug

if TYPE_CHECKING:
    from providers.base import Journal, Receipt

ROOT = Path(__file__).parents[2]


def run_attempt(
    root: Path, setup: str | None, *argv: str, gpus: tuple[str, ...]
) -> tuple[Receipt, Journal]:
    """Run a command to its end. ``setup`` is what ``plug`` takes; None: the real library."""
    root.mkdir(exist_ok=True)
    path = [str(ROOT)]
    if setup is not None:
        plug(root / "plugged", setup)
        path.insert(0, str(root / "plugged"))
    run_dir = root / "run"
    run_dir.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOWTIDE", "CUDA"))}
    (root / "env.json").write_text(json.dumps(kept))
    launch = Launch(
        "j", 1, "t", argv, str(root), str(run_dir), str(root / "env.json"), str(root / "units"),
        str(root), "local", 1, gpus=gpus, meters=("nvml",), interval_s=0.5,
    )  # fmt: skip
    journal.write_json(run_dir / "launch.json", asdict(launch))
    with (run_dir / "runner.log").open("w") as log:
        subprocess.run(
            [sys.executable, "-P", "-m", "providers.runner", str(run_dir)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
            stderr=log,
            check=True,
            timeout=300,
        )
    receipt = journal.read_receipt(run_dir)
    assert receipt is not None, (run_dir / "runner.log").read_text()
    return receipt, journal.read_journal(run_dir)
