"""Work that others did for a run is said: it is no part of its process tree."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from providers.base import Scope
from providers.runner import journal, proc, record
from providers.runner.clients import Clients, client, left_out
from providers.runner.holdings import Holdings
from providers.runner.metering import Metering
from providers.runner.record import Clock, Record
from providers.runner.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/usr/bin/docker", "run", "x"], "docker"),
        (["podman", "run", "x"], "podman"),
        (["kubectl", "apply"], "kubectl"),
        (["ssh", "host", "make"], "ssh"),
        (["python3.11", "/usr/bin/ray", "job", "submit"], "ray"),
        (["python", "-m", "dask"], "dask"),
        (["python", "-c", "import dask"], None),
        (["python", "train.py", "docker"], None),
        (["mpirun", "-n", "4", "./a.out"], None),
        (["mpirun", "--hostfile", "hosts", "./a.out"], "mpirun"),
        (["sh", "-c", "cd /x && docker run -d x; sleep 1"], "docker"),
        (["bash", "-c", "exec srun ./a.out"], "srun"),
        (["sh", "-c", "echo docker"], None),
        (["sh"], None),
        ([], None),
    ],
)
def test_a_client_is_known_by_its_command(argv: Sequence[str], name: str | None) -> None:
    assert client(argv) == name
    assert name is None or name in left_out(name)


def test_a_process_that_becomes_a_client_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {7: ["sh", "-c", "exec $TOOL"]}
    monkeypatch.setattr(proc, "argv", words.__getitem__)
    clients = Clients()
    assert clients.look({7: proc.Stat("R", 5, 0.0, 0, 1, name="sh")}) == []
    words[7] = ["docker", "run"]
    after = {7: proc.Stat("R", 5, 0.0, 0, 1, name="docker")}
    assert clients.look(after) == ["docker"]
    assert clients.look(after) == []


def _record(folder: Path, *argv: str) -> Record:
    return Record(
        folder, 1.0, Clock(), Metering(["model"], Scope(1)), Tree(os.getpid()), Holdings(1), argv
    )


def test_a_record_says_what_was_out_of_reach(tmp_path: Path) -> None:
    made = _record(tmp_path, "docker", "run", "x")
    made.sample()
    killed = journal.read_journal(tmp_path)  # as after a kill: nothing was closed
    assert killed.meta["left_out"] == ["containers, which belong to a daemon (docker)"]
    made.close()
    found = journal.read_journal(tmp_path)
    assert found.meta["left_out"] == killed.meta["left_out"]
    assert "not metered: containers, which belong to a daemon (docker)" in found.notes


@pytest.mark.parametrize("rested", [False, True])
def test_a_run_that_slept_on_a_busy_machine_gets_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rested: bool
) -> None:
    monkeypatch.setattr(record, "HINT_AFTER_S", 0.0)
    busy_s = iter([100.0])
    monkeypatch.setattr(record, "busy_cpu_s", lambda: next(busy_s, 1e6))
    monkeypatch.setattr(Tree, "final_cpu_s", lambda self: 0.0)
    made = _record(tmp_path)
    made.close(rested=rested)
    hints = [note for note in journal.read_journal(tmp_path).notes if "if they worked" in note]
    assert len(hints) == (0 if rested else 1)


def test_work_of_a_client_stands_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scheduler.meter import track

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path))
    tool = tmp_path / "docker"
    tool.write_text("#!/bin/sh\nsleep 60\n")
    tool.chmod(0o755)
    with track(zone="DE", interval_s=0.01) as run, subprocess.Popen([tool]) as child:
        while "docker" not in str(run._read().meta.get("left_out")):
            time.sleep(0.01)
        for pid in proc.below(child.pid):
            os.kill(pid, 9)
        child.kill()
    found = run.report()
    assert found.settlement.left_out == ("containers, which belong to a daemon (docker)",)
    content = found.json()
    assert found.settlement.left_out[0] in content["boundary"]["out"]
    assert content["conformance"][0]["verdict"] == "not_met"
    assert "not for containers" in content["attempts"][0]["attribution"]
