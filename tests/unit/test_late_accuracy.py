"""``forecast --accuracy`` over jobs that were released after their latest safe start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from providers.meters import nvml
from scheduler.engine import accuracy

if TYPE_CHECKING:
    from conftest import Desk


def test_the_plan_of_a_job_released_too_late_is_judged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its power is unknown, so its baseline moves with its release.
    monkeypatch.setattr(nvml, "gpu_limits_w", dict)
    desk.executor.gpus = ("GPU-1",)
    desk.executor.run_s = 4 * 3600
    desk.provider.actuals = True
    since = desk.clock.now
    first = desk.submit(deadline="8h", min_saving="99%")
    late = desk.submit(after=(first,), deadline="3h", gpus=1)
    for _ in range(36):
        desk.tick(minutes=20)
    plan = desk.job(late).plan
    assert plan is not None
    assert plan.latest_safe_start is not None
    assert plan.run_now.start > plan.latest_safe_start
    score = accuracy.of_plans(desk.ctx, since, desk.clock.now)
    assert (score.jobs, score.left_out) == (2, {})
