"""The tables of Dodge et al. (FAccT 2022): flexible start, and pause and resume, on real years.

Their eleven trainings and eight slacks; their figures are means over 16 regions on WattTime's
marginal intensity of 5 min (licensed), ours means over the cloud zones and the balancing
authorities on average hourly intensity of 2021, both at five starts a month. So the shape can
be compared, not the digits: hourly averages swing less and in longer waves.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from scheduler.planner.segments import cheapest, cost_of
from scheduler.simulate import LogJob, Rules, read, simulate
from scheduler.simulate.knowledge import Knowledge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark

MODELS = ("BERT ft", "BERT LM", "6B", "Dn121", "Dn169", "Dn201", "ViT-Ti", "ViT-S", "ViT-B",
          "ViT-L", "ViT-H")  # fmt: skip
# The DenseNets took 20 to 25 min.
HOURS = (6.0, 36.0, 192.0, 1 / 3, 22 / 60, 25 / 60, 19.0, 19.0, 21.0, 90.0, 216.0)
HOURLY, SHARES = (6, 12, 18, 24), (0.25, 0.5, 0.75, 1.0)
# Their tables 4 to 13: percent saved by flexible start / by pause and resume.
THEIRS = """
6.9/9.4 1.2/2.9 0.2/0.8 15.3/15.8 14.9/15.5 14.5/15.3 2.3/5.5 2.2/5.3 1.7/4.8 0.5/1.5 0.2/0.7
10.1/13.8 2.3/5.3 0.3/1.4 21.6/22.2 21.1/21.7 20.6/21.5 3.8/8.3 3.6/8.1 2.7/7.7 0.8/2.7 0.3/1.3
13.3/17.4 2.9/7.0 0.4/2.0 24.1/24.9 23.7/24.5 23.2/24.2 4.9/10.8 4.6/10.5 3.6/9.9 1.1/3.8 0.4/1.9
14.5/19.0 3.4/8.5 0.5/2.5 26.8/27.7 26.4/27.3 25.9/27.1 5.6/12.5 5.3/12.3 4.2/11.7 1.3/4.7 0.5/2.4
1.9/3.1 1.7/4.1 0.8/4.5 0.6/0.7 0.4/0.6 0.4/0.5 1.8/4.5 1.8/4.6 1.6/4.4 1.3/4.4 0.9/4.5
3.6/5.5 2.9/7.0 1.5/7.4 1.0/1.1 1.3/1.5 1.2/1.6 3.3/7.2 3.1/7.0 2.5/7.0 2.1/7.3 1.6/7.4
5.4/7.6 3.6/9.2 2.0/9.6 1.5/1.6 1.7/2.0 1.9/2.4 4.2/9.2 4.0/9.3 3.3/9.2 2.8/9.6 2.2/9.6
7.0/9.5 4.1/11.0 2.6/11.4 1.8/2.0 2.5/2.8 2.7/3.1 5.0/11.0 4.8/11.0 3.9/10.8 3.3/11.4 3.0/11.3
"""
FILES = ("em-cloud-2021-2022.csv.gz", "us-ba-2019-2022.csv.gz")
# In whole seconds, so that nothing depends on rounding.
STARTS_S = [
    datetime(2021, month, day, hour, 20, tzinfo=UTC).timestamp()
    for month in range(1, 13)
    for day, hour in ((2, 3), (8, 8), (14, 13), (20, 18), (26, 23))
]


def _slacks(hours: float) -> list[float]:
    return [float(n) for n in HOURLY] + [share * hours for share in SHARES]


def _zones(shared: Callable[[str], Path]) -> list[Knowledge]:
    """The zones of both files, each once: the first file's series where both have it."""
    found: dict[str, Knowledge] = {}
    for name in FILES:
        path = shared(f"traces/{name}")
        every = read(path, None, [])
        for i, zone in enumerate(every.regions):
            row = every.actual[i : i + 1]
            found.setdefault(zone, Knowledge((zone,), every.start_s, every.step_s, row))
    return list(found.values())


def _saved(knowledge: Knowledge, hours: float, slack: float, policy: str) -> tuple[float, float]:
    """The mean over all starts of the percent saved, and the least of them.

    The replay plans each job for itself: none limits another.
    """
    d = float(round(hours * 3600))
    jobs = [
        LogJob(str(n), at, d, at + d + float(round(slack * 3600)), 1, 1000.0)
        for n, at in enumerate(STARTS_S)
    ]
    made = simulate(jobs, knowledge, Rules(policy=policy))  # type: ignore[arg-type]
    assert made.jobs == len(jobs)
    assert made.missed_deadlines == 0
    grams = dict.fromkeys((job.id for job in jobs), 0.0)
    for part in made.schedule:
        grams[part.job_id] += part.grams
    edges = knowledge.start_s + knowledge.step_s * np.arange(knowledge.actual.shape[1] + 1.0)
    rates = knowledge.actual[0] / 3600.0
    now = [cost_of(edges, rates, ((at, at + d),)) for at in STARTS_S]
    shares = [100 * (1 - grams[job.id] / g) for job, g in zip(jobs, now, strict=True)]
    return float(np.mean(shares)), min(shares)


def test_flexible_start_and_pause_and_resume(shared: Callable[[str], Path]) -> None:
    zones = _zones(shared)
    rows = [line.split() for line in THEIRS.split("\n") if line]
    ours = np.zeros((len(HOURLY) + len(SHARES), len(MODELS), 2, len(zones)))
    for m, hours in enumerate(HOURS):
        for s, slack in enumerate(_slacks(hours)):
            for z, knowledge in enumerate(zones):
                for p, policy in enumerate(("window", "segments")):
                    mean, least = _saved(knowledge, hours, slack, policy)
                    ours[s, m, p, z] = mean
                    assert least >= -1e-6, (zones[z].regions, hours, slack, policy)
    names = ", ".join(k.regions[0] for k in zones)
    print(f"\npercent saved, theirs -> ours, flexible start / pause and resume; {names}:")
    print("           " + "".join(f"{name:>24}" for name in MODELS))
    means = np.round(ours.mean(axis=3), 2) + 0.0
    labels = [f"+{n} h" for n in HOURLY] + [f"+{100 * share:.0f} %" for share in SHARES]
    for s, label in enumerate(labels):
        cells = [
            f"{theirs} -> {means[s, m, 0]:.1f}/{means[s, m, 1]:.1f}"
            for m, theirs in enumerate(rows[s])
        ]
        print(f"{label:>10} " + "".join(f"{cell:>24}" for cell in cells))
    # In every zone, not only in the mean.
    assert (ours[:, :, 1] >= ours[:, :, 0] - 1e-6).all()
    for block in (ours[: len(HOURLY)], ours[len(HOURLY) :]):
        assert (np.diff(block, axis=0) >= -1e-6).all()
    given = np.array([[[float(x) for x in cell.split("/")] for cell in row] for row in rows])
    for p, name in enumerate(("flexible start", "pause and resume")):
        alike = np.corrcoef(given[:, :, p].ravel(), means[:, :, p].ravel())[0, 1]
        print(f"{name}: correlation of the two tables {alike:.3f}")


def test_free_pausing_is_the_cheapest_moments(shared: Callable[[str], Path]) -> None:
    """Against filling the cheapest five-minute steps by hand, as they do."""
    knowledge = _zones(shared)[0]
    low = int((STARTS_S[0] - 1200 - knowledge.start_s) // 3600)
    rates = np.repeat(knowledge.actual[0, low : low + 48], 12)
    edges = STARTS_S[0] - 1200 + 300.0 * np.arange(len(rates) + 1)
    spans = cheapest(edges, rates, 36 * 3600.0)
    assert spans is not None
    filled = float(np.sort(rates)[: 36 * 12].sum() * 300)
    assert cost_of(edges, rates, spans) == pytest.approx(filled, rel=1e-12)
