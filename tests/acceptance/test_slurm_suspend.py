"""Pauses by ``scontrol suspend`` on a real Slurm: told as pauses, whoever stopped the runner."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Launch, Receipt
from providers.executors.slurm import Slurm
from providers.executors.slurm.settings import parse
from providers.runner import journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.slurm import Cluster

PATIENCE_S = 120.0
# It counts its own fifths of a second, and burns CPU meanwhile.
WORKS = "while :; do echo x >> ticks; for i in 1 2 3 4 5 6 7 8 9; do :; done; sleep 0.2; done"


class Desk:
    """A running attempt at an engine that may suspend."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        env = folder / "env.json"
        env.write_text(json.dumps({"PATH": os.environ["PATH"]}))
        self.folder, self.cluster = folder / "run", cluster
        self.executor = Slurm(parse({"suspend": True}))
        self.launch = Launch(
            job_id="j1", attempt=1, token=f"t-{folder}", argv=("sh", "-c", WORKS),
            cwd=str(folder), run_dir=str(self.folder), env_file=str(env),
            units_file=str(folder / "units"), work_dir=str(folder), region="north", slots=1,
            meters=("model",), pause_signal="stop", time_limit_s=3600.0,
        )  # fmt: skip
        self.ticks = folder / "ticks"
        self.executor.start(self.launch)
        self.until(self.ticks.exists)

    def until(self, done: Callable[[], bool]) -> None:
        patience = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < patience, self.phase()
            time.sleep(0.1)

    def phase(self) -> str:
        return self.executor.poll(self.folder, "").phase

    def ask(self, verb: str) -> None:
        getattr(self.executor, verb)(self.folder, "")

    def stands(self) -> bool:
        """Whether the job has not ticked for a second: five times as long as between two ticks."""
        size = self.ticks.stat().st_size
        time.sleep(1.0)
        return self.ticks.stat().st_size == size

    def slurm_id(self) -> str:
        """Other tests' jobs are on the same cluster, under the same name."""
        return str(json.loads((self.folder / "slurm.json").read_text())["job_id"])

    def state(self) -> str:
        return self.cluster.run(
            "squeue", "-h", "-t", "all", "-j", self.slurm_id(), "-o", "%T"
        ).strip()

    def stop(self) -> Receipt:
        def ended() -> bool:
            self.executor.stop(self.folder, "", 5.0)
            return self.phase() == "ended"

        self.until(ended)
        receipt = journal.read_receipt(self.folder)
        assert receipt is not None
        assert (receipt.reason, receipt.signal) == ("stopped", 15)
        return receipt


@pytest.fixture
def desk(tmp_path: Path, slurm: Cluster) -> Desk:
    return Desk(tmp_path, slurm)


def test_a_suspension_is_a_pause_and_no_gap_of_the_machine(desk: Desk) -> None:
    assert desk.executor.capabilities.suspend
    for _ in range(2):
        for _ in range(2):
            desk.ask("pause")
        assert desk.phase() == "paused"
        desk.until(lambda: desk.state() == "SUSPENDED")
        desk.until(desk.stands)  # Slurm warns by TSTP first
        size = desk.ticks.stat().st_size
        time.sleep(2.5)
        assert desk.ticks.stat().st_size == size
        assert desk.phase() == "paused"
        desk.ask("resume")
        desk.until(lambda size=size: desk.ticks.stat().st_size > size)  # type: ignore[misc]
        desk.until(lambda: desk.phase() == "running")
    receipt = desk.stop()
    assert len(receipt.pauses) == 2
    assert all(end - begin > 4 for begin, end in receipt.pauses)
    found = journal.read_journal(desk.folder)
    assert found.meta["suspended_s"] < 1  # the machine did not sleep
    # Nothing is drawn by work that stands still: the CPU seconds of the pauses are none.
    stood = [
        (a, b) for a, b in zip(found.samples, found.samples[1:], strict=False) if b.at - a.at > 3
    ]
    assert stood
    for a, b in stood:
        assert b.cpu_s - a.cpu_s < 0.5 * (b.at - a.at)


def test_what_is_suspended_can_be_stopped(desk: Desk) -> None:
    desk.ask("pause")
    desk.until(lambda: desk.state() == "SUSPENDED")
    ((begin, end),) = desk.stop().pauses
    assert begin <= end


def test_what_an_operator_suspends_is_a_pause_too_but_not_ours_to_end(desk: Desk) -> None:
    slurm_id = desk.slurm_id()
    desk.cluster.run("scontrol", "suspend", slurm_id)
    time.sleep(6)
    assert desk.phase() == "running"
    desk.cluster.run("scontrol", "resume", slurm_id)
    desk.until(lambda: bool(journal.read_pauses(desk.folder)))
    assert len(desk.stop().pauses) == 1


def test_where_slurm_refuses_the_runner_stops_the_job_and_that_is_told(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken = shutil.which("scontrol"), tmp_path / "bin" / "scontrol"
    broken.parent.mkdir()
    broken.write_text(
        '#!/bin/sh\n[ "$1" != suspend ] || { echo "slurm_suspend error: Access/permission denied"'
        f' >&2; echo asked >> {tmp_path}/asked; exit 1; }}\nexec {real} "$@"\n'
    )
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    for _ in range(2):
        desk.ask("pause")
        desk.until(lambda: desk.phase() == "paused")
        told: Any = desk.executor.poll(desk.folder, "")
        assert told.detail == (
            "Slurm does not suspend it (scontrol: slurm_suspend error: Access/permission denied): "
            "paused by signals"
        )
        assert desk.state() == "RUNNING"
        desk.ask("resume")
        desk.until(lambda: desk.phase() == "running")
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert len(desk.stop().pauses) == 2
