"""The same on a real Slurm: runners die on its nodes, and daemons amid their calls to it."""

from __future__ import annotations

from collections import Counter
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
        count = max(SHARE, setting(KILLS, 100) // SHARE)
        life.suffer(count, WIDTH, {})
        assert life.journal.counts().keys() >= {"executor call", "transaction"}
        life.recover()
        life.assert_held()
        with life.store() as store:
            jobs = {job.id for job in store.jobs.find()}
    # Other tests' jobs are on the same cluster.
    said = [words.split(":") for words in slurm.run("squeue", "-ht", "all", "-o", "%k").split()]
    ours = [words for words in said if words[0] == "lowtide" and words[1] in jobs]
    assert ours, "Slurm knows none of them"
    twice = {words for words, count in Counter(map(tuple, ours)).items() if count > 1}
    assert not twice, "an attempt was submitted twice"
