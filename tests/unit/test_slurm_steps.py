"""Steps of a Slurm job, by Slurm's control groups or by looks at their daemons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from providers.runner import proc, slurm_steps
from providers.runner.slurm_steps import Steps

if TYPE_CHECKING:
    from pathlib import Path

JOB = {"SLURM_JOB_ID": "12"}
SRUN = {50: proc.Stat("S", 5, 0.0, 0, 1, 1, name="srun")}
SEEN = {"srun": None}


def _stat(cpu_s: float, parent: int, name: str) -> proc.Stat:
    return proc.Stat("R", 7, cpu_s, 1000, 1, parent, name=name)


class Node:
    """Processes of a node that come and go, with their command lines."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.here: dict[int, tuple[proc.Stat, str]] = {}
        monkeypatch.setattr(proc, "PROC", folder)
        monkeypatch.setattr(proc, "stat", lambda pid: self.here.get(pid, (None,))[0])
        monkeypatch.setattr(proc, "argv", lambda pid: [self.here[pid][1]])
        monkeypatch.setattr(
            proc,
            "below",
            lambda pid: {p: s for p, (s, _) in self.here.items() if s.parent == pid},
        )

    def add(self, pid: int, cpu_s: float, parent: int, name: str, title: str = "") -> None:
        (self.folder / str(pid)).touch()
        self.here[pid] = _stat(cpu_s, parent, name), title

    def end(self, *pids: int) -> None:
        for pid in pids:
            (self.folder / str(pid)).unlink()
            del self.here[pid]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """The job's batch script, another job's step, and one of this job that has begun."""
    made = Node(tmp_path, monkeypatch)
    monkeypatch.setattr(slurm_steps, "OWN_GROUPS", tmp_path / "absent")
    made.add(100, 9.0, 1, "slurmstepd", "slurmstepd: [12.batch]")
    made.add(101, 9.0, 1, "slurmstepd", "slurmstepd: [120.0]")
    made.add(102, 9.0, 1, "slurmstepd", "slurmstepd: [12.extern]")
    made.add(200, 0.25, 1, "slurmstepd", "slurmstepd: [12.0]")
    made.add(201, 3.0, 200, "python")
    return made


def test_a_step_is_the_tree_below_its_daemon(node: Node) -> None:
    steps = Steps(JOB)
    steps.look({})
    assert (steps.cpu_s, steps.hurried) == (0.0, False)
    steps.look(SRUN)
    assert (steps.cpu_s, set(steps.living), steps.hurried) == (3.25, {200, 201}, True)
    node.add(201, 4.0, 200, "python")
    steps.look(SRUN)
    node.end(200, 201)
    steps.look({})
    steps.look({})
    assert (steps.cpu_s, steps.hurried) == (4.25, False)
    assert steps.unmetered(SEEN) is None


def test_both_processes_of_an_srun_are_one_client(node: Node) -> None:
    steps = Steps(JOB)
    steps.look({**SRUN, 51: proc.Stat("S", 6, 0.0, 0, 1, 50, name="srun")})
    assert steps.unmetered(SEEN) is None


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (JOB, "no look met their processes"),
        (JOB | {"SLURM_JOB_NUM_NODES": "3"}, "3 nodes"),
        ({}, "outside of this job"),
    ],
)
def test_steps_that_were_not_met_are_said(node: Node, environ: dict[str, str], said: str) -> None:
    node.end(200, 201)
    steps = Steps(environ)
    assert steps.unmetered({}) is None
    steps.look(SRUN)
    found = steps.unmetered(SEEN)
    assert found is not None
    assert found.startswith("steps not metered: ")
    assert said in found


@pytest.mark.parametrize(
    ("line", "root", "file", "unit"),
    [
        ("0::/system.slice/slurmstepd.scope/job_12/step_batch/user", "", "cpu.stat", 1e6),
        ("5:cpu,cpuacct:/slurm/uid_0/job_12/step_batch", "cpuacct", "cpuacct.usage", 1e9),
    ],
)
def test_the_group_of_the_job_counts_all_steps_but_our_own(
    node: Node,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    root: str,
    file: str,
    unit: float,
) -> None:
    def count(folder: Path, seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        usage = f"{seconds * unit:.0f}"
        (folder / file).write_text(f"usage_usec {usage}\n" if file == "cpu.stat" else usage)

    (tmp_path / "own").write_text(f"{line}\n")
    monkeypatch.setattr(slurm_steps, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(slurm_steps, "CGROUP", tmp_path / "cgroup")
    path = line.rpartition(":")[2]
    job = tmp_path / "cgroup" / root / path[1 : path.index("job_12")] / "job_12"
    count(job, 2.0)
    count(job / "step_batch", 1.5)
    count(tmp_path / "cgroup" / root / path[1:], 1.5)
    steps = Steps(JOB)
    count(job, 9.0)
    count(job / "step_batch", 2.5)
    steps.look(SRUN)
    assert (steps.cpu_s, steps.unseen_s, steps.hurried) == (pytest.approx(6.0), 0.0, False)
    node.end(200, 201)
    steps.look({})
    assert steps.unmetered(SEEN) is None
