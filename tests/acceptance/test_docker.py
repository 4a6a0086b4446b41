"""Containers of a job's own docker commands are metered with the job, by a real daemon."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from support.docker import IMAGE

from providers.runner.journal import read_journal

if TYPE_CHECKING:
    from pathlib import Path

    from support.docker import Docker

    from providers.base import Journal

# The shell itself says at last how many CPU seconds it has used.
BURN = "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done; times"
RUN = ("docker", "run", "--rm", "--network", "none")
SPENT = re.compile(r"^\s*(\d+)m([\d.]+)s (\d+)m([\d.]+)s$", re.MULTILINE)


def _metered(docker: Docker, home: Path, *argv: str) -> tuple[str, Journal]:
    """What a metered command printed, and its record."""
    lowtide = (sys.executable, "-m", "scheduler", "meter", "--run-dir", str(home / "run"), "--")
    environ = docker.environ | {"LOWTIDE_HOME": str(home)}
    ran = subprocess.run(
        [*lowtide, *argv], env=environ, cwd=home, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, read_journal(home / "run")


def test_a_container_counts_as_the_same_work_in_the_tree(docker: Docker, tmp_path: Path) -> None:
    """Beside one that somebody else started from the same image, which does not count."""
    strange = subprocess.run(
        [*RUN, "-d", IMAGE, "sh", "-c", "while :; do :; done"],
        env=docker.environ, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    said, found = _metered(docker, tmp_path, *RUN, IMAGE, "sh", "-c", BURN)
    subprocess.run(["docker", "kill", strange], env=docker.environ, check=True, capture_output=True)
    minutes, seconds, more, rest = map(float, SPENT.findall(said)[0])
    spent_s = 60 * minutes + seconds + 60 * more + rest
    told = found.meta["attribution"]
    assert told["beside_cpu_s"]["containers"] <= spent_s + 0.5
    assert told["cpu_s"] + told["unseen_cpu_s"] >= spent_s
    assert told["cpu_s"] >= spent_s / 2
    assert not found.meta["left_out"]


def test_a_container_of_before_is_left_out_and_said(docker: Docker, tmp_path: Path) -> None:
    """What ``docker exec`` does there is the work of a container that the job did not start."""
    name = f"before-{tmp_path.name}"
    subprocess.run(
        [*RUN, "-d", "--name", name, IMAGE, "sh", "-c", "while :; do read -t 60 x; done"],
        env=docker.environ, capture_output=True, check=True,
    )  # fmt: skip
    _, found = _metered(docker, tmp_path, "docker", "exec", name, "sh", "-c", BURN)
    subprocess.run(["docker", "kill", name], env=docker.environ, check=True, capture_output=True)
    assert found.meta["attribution"]["beside_cpu_s"]["containers"] == 0
    assert found.meta["left_out"] == ["containers, which belong to a daemon (docker)"]
