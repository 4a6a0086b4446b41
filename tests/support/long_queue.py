"""A home whose queue is as long as asked for, filled as submissions would have filled it.

As a program, ``long_queue.py HOME COUNT``, it submits so many jobs and prints when it began and
when it was done; ``LOWTIDE_DATABASE`` may name a database.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import insert

from scheduler import config, engine
from scheduler.engine import Context, promises, submission
from scheduler.engine.request import Request
from scheduler.store import reservations, values
from scheduler.store.rows import EventRow, JobRow, ReservationRow
from scheduler.testing import FakeExecutor, FixedClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scheduler.models import Job, JobSpec, Plan

# Jobs of ten minutes with two days of slack, planned over the 44 hours from the second on.
DURATION_S, SLACK_H, FIRST_H, OVER_H = 600, 48, 2, 44
FARTHEST_H = SLACK_H + FIRST_H + 1
PAGE = 5000


class LongQueue:
    """A context with fakes at the border, whose jobs wait for their hour."""

    def __init__(
        self, home: Path, now: datetime, database: Mapping[str, str] = {}, slots: int = 1000
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "config.yaml").write_text(f"regions: {{local: {{zone: DE, slots: {slots}}}}}\n")
        self.clock = FixedClock(now)
        self.executor = FakeExecutor(clock=self.clock, run_s=DURATION_S, capacity=slots)
        self.config = config.load(None, {"LOWTIDE_HOME": str(home / "home"), **database}, home)
        self.ctx = Context.open(
            self.config, now, executors={"local": self.executor}, clock=lambda: self.clock.now
        )

    def submit(self, **fields: Any) -> str:
        """Submit one job."""
        given = {"duration": f"{DURATION_S}s", "deadline": f"{SLACK_H}h", "power": "1kW"} | fields
        request = Request(argv=("true",), **given)
        spec = submission.to_spec(
            request, self.config, self.clock.now, "me", Path("/"), need_duration=True
        )
        return engine.submit(self.ctx, request, spec, dict(os.environ), self.clock.now)[0]

    def tick(self, **span: float) -> datetime | None:
        """One pass, so much later."""
        self.clock.advance(**span)
        return engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def fill(self, count: int) -> None:
        """Add so many jobs like one that is submitted, their starts evenly over :data:`OVER_H`."""
        # Its forecast reaches as far as any of them may run.
        first = self.ctx.store.jobs.get(self.submit(deadline=f"{FARTHEST_H}h"))
        assert first.plan is not None
        step_s = OVER_H * 3600 / count
        for page in range(0, count, PAGE):
            rows: dict[type, list[dict[str, Any]]] = {
                JobRow: [],
                EventRow: [],
                ReservationRow: [],
            }
            sums: Counter[tuple[str, str, int]] = Counter()
            for i in range(page, min(count, page + PAGE)):
                start = self.clock.now + timedelta(hours=FIRST_H, seconds=i * step_s)
                # One after the other, as by the same `submit` again and again.
                at = self.clock.now + timedelta(milliseconds=i)
                spec, plan = _later(first.spec, first.plan, start, at)
                self._add(rows, sums, f"f{i:07x}", first, spec, plan)
            with self.ctx.store._database.write() as session:
                for table, content in rows.items():
                    session.connection().execute(insert(table), content)
                steps = [
                    {"region": r, "host": h, "at_s": at_s, "slots": n, "gpus": 0}
                    for (r, h, at_s), n in sums.items()
                ]
                session.connection().execute(reservations.ADD, steps)

        engine.cancel(self.ctx, first.id, self.clock.now)

    def _add(
        self,
        rows: dict[type, list[dict[str, Any]]],
        sums: Counter[tuple[str, str, int]],
        job_id: str,
        like: Job,
        spec: JobSpec,
        plan: Plan,
    ) -> None:
        at, latest = spec.submitted_at.timestamp(), spec.latest_start
        assert latest is not None
        rows[JobRow].append(
            {
                "id": job_id,
                "state": "planned",
                "spec": spec.model_dump_json(),
                "plan": values.plans().dump_json(plan).decode(),
                "region": plan.window.region,
                "slots": spec.slots,
                "submitted_at": at,
                "latest_start": latest.timestamp(),
                "planned_start": plan.start.timestamp(),
                "reason": plan.reason,
                "user": spec.user,
                "host": spec.origin.host if spec.origin else "",
                "places": values.places(spec.home, spec.regions),
                # As the pass after its submission has left it.
                "sight": f"- {values.sight(plan.forecast_ids)}",
                "release": spec.release.timestamp(),
                "until": latest.timestamp() + DURATION_S,
                "waits": False,
                "attempt": 0,
                "cancel_requested": False,
                "priority": 0,
                "waited_s": 0.0,
            }
        )
        rows[EventRow].append(
            {"job_id": job_id, "at": at, "kind": "submitted", "detail": f"by {spec.user}"}
        )
        for part in promises.reservations(self.ctx, replace(like, spec=spec), plan):
            rows[ReservationRow].append(
                {
                    "job_id": job_id,
                    "begins": part.begins,
                    "ends": part.ends,
                    "region": part.region,
                    "host": part.host,
                    "slots": part.slots,
                    "gpus": part.gpus,
                    "late": int(part.late),
                    "made_at": plan.made_at.timestamp(),
                }
            )
            sums[part.region, part.host, part.begins] += part.slots
            sums[part.region, part.host, part.ends] -= part.slots


def _later(spec: JobSpec, plan: Plan, start: datetime, at: datetime) -> tuple[JobSpec, Plan]:
    """The same job, submitted ``at``, with its window, and with it its deadline, at ``start``."""
    length = timedelta(seconds=DURATION_S)
    window = replace(plan.window, start=start, end=start + length)
    deadline = start + length + timedelta(hours=SLACK_H - OVER_H)
    latest = deadline - length
    # Released at its start: at equal carbon it would be moved ahead.
    times = {"release": start, "deadline": deadline, "submitted_at": at}
    spec = spec.model_copy(update=times)
    return spec, replace(plan, window=window, latest_safe_start=latest)


if __name__ == "__main__":
    queue = LongQueue(Path(sys.argv[1]), datetime.now(UTC), dict(os.environ))
    queue.submit()
    Path(sys.argv[1], f"ready-{os.getpid()}").touch()
    while not Path(sys.argv[1], "go").exists():
        time.sleep(0.01)
    begun = time.time()
    for _ in range(int(sys.argv[2])):
        queue.submit()
    sys.stdout.write(f"{begun} {time.time()}\n")
