"""The oracle of small logs against the exact optimum (HiGHS), and punctual where one can be."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_matrix

from scheduler.simulate import POLICIES, Knowledge, LogJob, Rules, simulate

HOUR = 3600.0
START = 1_767_225_600.0
HOURS, SLOTS = 24, 2
# Fixed draws: tight queues of whole hours, of which most jobs may pause.
SEEDS = range(24)


def _drawn(seed: int) -> tuple[list[LogJob], Knowledge]:
    draw = np.random.default_rng(seed)
    jobs = []
    for n in range(int(draw.integers(3, 6))):
        length, release = int(draw.integers(1, 6)), int(draw.integers(0, 9))
        end = min(release + length + int(draw.integers(0, 10)), HOURS)
        jobs.append(
            LogJob(
                id=f"j{n}",
                submitted_s=START + release * HOUR,
                duration_s=length * HOUR,
                deadline_s=START + end * HOUR,
                slots=int(draw.integers(1, SLOTS + 1)),
                power_w=float(draw.choice([100.0, 200.0])),
                pausable=bool(draw.random() < 0.8),
            )
        )
    intensity = draw.integers(1, 10, size=(1, HOURS)) * 50.0
    jobs.sort(key=lambda job: job.submitted_s)
    return jobs, Knowledge(("X",), START, HOUR, intensity)


def _exact(jobs: list[LogJob], knowledge: Knowledge) -> float | None:
    """The least grams of all punctual schedules by whole hours; None: there is none."""
    row = knowledge.actual[0]
    columns: list[tuple[int, range]] = []
    for i, job in enumerate(jobs):
        first, last = (round((t - START) / HOUR) for t in (job.submitted_s, job.deadline_s))
        width = 1 if job.pausable else round(job.duration_s / HOUR)
        columns += [(i, range(h, h + width)) for h in range(first, last - width + 1)]
    matrix = lil_matrix((len(jobs) + HOURS, len(columns)))
    for n, (i, hours) in enumerate(columns):
        matrix[i, n] = len(hours)
        for h in hours:
            matrix[len(jobs) + h, n] = jobs[i].slots
    need = np.array([round(job.duration_s / HOUR) for job in jobs])
    found = milp(
        [jobs[i].power_w / 1000 * row[hours].sum() for i, hours in columns],
        constraints=LinearConstraint(
            matrix.tocsr(),
            np.append(need, np.zeros(HOURS)),
            np.append(need, np.full(HOURS, SLOTS)),
        ),
        integrality=np.ones(len(columns)),
        bounds=Bounds(0, 1),
    )
    return float(found.fun) if found.status == 0 else None


def test_pausable_jobs_on_few_slots_are_near_the_optimum_and_punctual() -> None:
    over = []
    for seed in SEEDS:
        jobs, knowledge = _drawn(seed)
        best = _exact(jobs, knowledge)
        if best is None:
            continue
        made = simulate(jobs, knowledge, Rules(policy="oracle", capacity=SLOTS, iterations=1))
        assert made.missed_deadlines == made.made.unplaced == 0, seed
        # Parts of hours can be better than whole ones, never better than the bound.
        over.append(made.emissions_g / best - 1)
    assert len(over) >= 10
    assert np.mean(over) < 0.01, over


def test_no_policy_with_as_few_misses_is_below_the_oracle() -> None:
    for seed in SEEDS[:8]:
        jobs, knowledge = _drawn(seed)
        for policy in POLICIES:
            made = simulate(jobs, knowledge, Rules(policy=policy, capacity=SLOTS, iterations=1))
            if made.captured_percent is not None:
                assert made.oracle_g <= made.emissions_g * (1 + 1e-9), (seed, policy)
            if made.made.missed > made.oracle.missed:
                assert made.captured_percent is None
