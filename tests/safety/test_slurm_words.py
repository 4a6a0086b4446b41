"""Words that mean something to a shell, sbatch or squeue, in every field, through a real Slurm."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from support.site import Site

from providers.executors.slurm.commands import Commands
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.slurm import Cluster

EVIL = "a,b=c;--wrap=id'\"\\ $(touch owned)`touch owned`\n#SBATCH --hold\n%j|&>owned \té"
# In a path: all but the separator.
FOLDER = "home, 'of' \"me\"=$(touch owned) `x`; %j %u\\ & é"
SETTINGS = {
    "providers": ["fake"], "home": EVIL, "refresh": "1s", "tick": "1s",
    "regions": {
        EVIL: {"zone": "SE-SE3", "executor": "slurm", "engine": {"partition": "eu-north-1"}}
    },
}  # fmt: skip
ECHO = (
    "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), os.environ['EVIL'], "
    "os.environ['LOWTIDE_REGION']]))"
)


@pytest.fixture
def site(tmp_path: Path, slurm: Cluster) -> Iterator[Site]:
    folder = tmp_path / FOLDER
    folder.mkdir()
    made = Site(folder, json.dumps(SETTINGS))
    yield made
    made.ctx.close()


class Asked(Commands):
    """Slurm that knows no job, and what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[tuple[str, ...]] = []

    def run(self, *argv: str, stdin: str = "") -> str:
        self.words.append(argv)
        return '{"jobs": []}'


def test_only_jobs_of_our_own_user_are_looked_at() -> None:
    """Anybody may give a job of theirs a comment of ours."""
    asked = Asked()
    assert asked.by_comment("lowtide:a:1:b") is None
    ((command, *options),) = asked.words
    assert command == "squeue"
    assert f"--user={os.getuid()}" in options


def test_every_field_comes_through_slurm_as_it_is(site: Site, slurm: Cluster) -> None:
    job_id = site.submit(
        sys.executable, "-c", ECHO, EVIL, name=EVIL, group=EVIL, project=EVIL, unit=EVIL,
        region=(EVIL,), env=(f"EVIL={EVIL}",), cwd=str(site.folder), deadline="1h",
    )  # fmt: skip
    site.until(lambda: site.ended(job_id))
    job = site.job(job_id)
    assert (job.state, job.reason, job.region) == (JobState.SUCCEEDED, "exit code 0", EVIL)
    run_dir = site.folder / "home" / "runs" / job_id / "1"
    said = json.loads((run_dir / "stdout.log").read_text())
    assert said == [[EVIL], str(site.folder), EVIL, EVIL]
    # What other users of the cluster can see holds ids, and no word of the user.
    seen = slurm.run("squeue", "-h", "-t", "all", "-o", "%i|%j|%k|%o|%Z")
    (row,) = [line for line in seen.splitlines() if job_id in line]
    _, name, comment, *rest = row.split("|")
    assert name == f"lowtide-{job_id}"
    assert comment.startswith(f"lowtide:{job_id}:1:")
    assert "touch" not in "".join((name, comment))
    assert rest[-1] == "/"
    assert not [p for p in site.folder.rglob("*") if p.name == "owned"]
