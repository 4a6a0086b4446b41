"""The same on a real Slurm: runners die on its nodes, and daemons amid their calls to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.ordeal import KILLS, ordeal, setting

if TYPE_CHECKING:
    from pathlib import Path

    from support.slurm import Cluster

# All that is planned may be handed over: who waits for whom is Slurm's.
REGIONS = """
home: north
regions:
  north: {zone: DE, executor: slurm, engine: {partition: eu-north-1}, slots: 1000}
"""
# One tenth of what this machine sees.
SHARE = 10
WIDTH = 4


def test_nothing_is_lost_whatever_is_killed_beside_slurm(tmp_path: Path, slurm: Cluster) -> None:
    with ordeal(tmp_path, REGIONS) as life:
        life.suffer(max(SHARE, setting(KILLS, 100) // SHARE), WIDTH, {})
        life.recover()
        life.assert_held()
    comments = slurm.run("squeue", "-h", "-t", "all", "-o", "%k").split()
    ours = [said for said in comments if said.startswith("lowtide:")]
    assert len(ours) == len(set(ours)), "an attempt was submitted twice"
