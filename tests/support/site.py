"""lowtide beside a real engine, with the machine's clock."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.testing import FakeProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.models import Attempt, Job

# Engines and machines are shared: how long something takes says nothing.
PATIENCE_S = 240.0
HOURS = 72


class Site:
    """A home with a clean zone ``SE-SE3`` and a dirty one ``DE``, told by a played source."""

    def __init__(self, folder: Path, settings: str) -> None:
        (folder / "config.yaml").write_text(settings)
        self.folder = folder
        self.config = config.load(None, {"LOWTIDE_HOME": str(folder / "home")}, folder)
        begin = datetime.now(UTC) - timedelta(hours=1)
        self.source = FakeProvider(begin, {"SE-SE3": [50.0] * HOURS, "DE": [500.0] * HOURS})
        self.ctx = self.open()

    def open(self) -> Context:
        return Context.open(self.config, datetime.now(UTC), sources={"fake": self.source})

    def submit(self, *argv: str, **fields: Any) -> str:
        now = datetime.now(UTC)
        request = Request(argv=argv, **({"duration": "1m", "power": "100W"} | fields))
        spec = submission.to_spec(request, self.config, now, "me", self.folder, need_duration=True)
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)[0]

    def tick(self) -> None:
        now = datetime.now(UTC)
        engine.tick(self.ctx, now, now + timedelta(seconds=1))

    def until(self, done: Callable[[], bool]) -> None:
        patience = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > patience:
                jobs = self.ctx.store.jobs
                pytest.fail("\n".join(f"{e}" for j in jobs.find() for e in jobs.events(j.id)))
            self.tick()
            time.sleep(0.2)

    def job(self, job_id: str) -> Job:
        return self.ctx.store.jobs.get(job_id)

    def attempt(self, job_id: str) -> Attempt:
        return self.ctx.store.jobs.attempts(job_id)[-1]

    def ended(self, job_id: str) -> bool:
        return self.job(job_id).state.ended

    def told(self, job_id: str, kind: str) -> list[str]:
        events = self.ctx.store.jobs.events(job_id)
        return [event.detail or "" for event in events if event.kind == kind]
