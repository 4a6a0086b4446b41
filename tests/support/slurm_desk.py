"""A job on a played Slurm, with a clock that is set; the batch script and the runner are real."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.base import CHECKPOINTED, Launch, Receipt, RunState
from providers.executors.slurm.executor import Slurm
from providers.executors.slurm.settings import parse
from providers.runner import journal
from support.played_slurm import PlayedSlurm

if TYPE_CHECKING:
    import pytest


class Desk:
    """Two attempts at a job, and an executor; the first may have checkpointed in Slurm's job 1."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.slurm, self.now = folder, PlayedSlurm(folder), 1000.0
        self.settings: dict[str, Any] = {"partition": "north"}
        env = folder / "env.json"
        env.write_text(json.dumps({"PATH": os.environ["PATH"]}))
        self.launch = Launch(
            job_id="j1", attempt=1, token="0123456789abcdef", cwd=str(folder),
            argv=("sh", "-c", "echo $LOWTIDE_ATTEMPT >> starts"),
            run_dir=str(folder / "job" / "1"), env_file=str(env), units_file=str(folder / "units"),
            work_dir=str(folder), region="north", slots=1, meters=("model",),
            pause_signal="checkpoint",
        )  # fmt: skip
        self.next = replace(
            self.launch, attempt=2, token="fedcba9876543210", run_dir=str(folder / "job" / "2")
        )

    @property
    def executor(self) -> Slurm:
        """One that remembers nothing of what another one did."""
        made = Slurm(parse(self.settings), lambda: self.now)
        made._commands.clock = lambda: self.now
        return made

    def checkpoint(self, **settings: Any) -> None:
        self.settings |= settings
        self.executor.start(self.launch)
        folder, at = Path(self.launch.run_dir), self.now
        journal.claim(folder / "started", {"at": at})
        receipt = Receipt("j1", 1, "paused", at, at, CHECKPOINTED, None, 0.0)
        journal.write_json(folder / "receipt.json", asdict(receipt))
        self.slurm.change("1", job_state="FAILED", end_time=at)

    def poll(self, launch: Launch) -> RunState:
        self.now += 2
        return self.executor.poll(Path(launch.run_dir), launch.token)

    def hand_over(self, begin_s: float | None = None) -> list[RunState]:
        """Passes, until Slurm has it: the states that were told."""
        told = [RunState("absent")]
        while told[-1].phase == "absent":
            assert len(told) < 40
            self.executor.start(self.next, begin_s)
            told.append(self.poll(self.next))
        return told

    def starts(self) -> list[str]:
        return (self.folder / "starts").read_text().split()

    def alive(self) -> list[str]:
        jobs = self.slurm.read()["jobs"]
        return [str(job["job_id"]) for job in jobs if not job["end_time"]]


def made_desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose Slurm is the one on PATH."""
    (folder / "job").mkdir()
    made = Desk(folder)
    monkeypatch.setenv("PATH", made.slurm.install(), prepend=os.pathsep)
    return made
