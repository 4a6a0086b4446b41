"""A desk to try use cases on: a fixed clock, fakes at the border, one region with flat carbon."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler import config, engine
from scheduler.engine import Context, dependencies, submission
from scheduler.engine.request import Request
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from scheduler.models import Job, JobSpec, Recurrence

SETTINGS = """
providers: [fake]
timezone: Europe/Berlin
regions:
  local: {zone: DE, slots: 2}
"""


class Desk:
    """A context with fakes, and shortcuts. Jobs run for an hour; intensity never changes."""

    def __init__(
        self, home: Path, now: datetime, database: dict[str, str], settings: str = ""
    ) -> None:
        (home / "config.yaml").write_text(SETTINGS + settings)
        self.clock = FixedClock(now)
        self.executor = FakeExecutor(clock=self.clock, run_s=3600)
        self.config = config.load(None, {"LOWTIDE_HOME": str(home / "home")} | database, home)
        self.provider = FakeProvider(now - timedelta(days=1), {"DE": [100.0] * 24 * 60})
        self.ctx = Context.open(
            self.config, now, sources={"fake": self.provider}, executors={"local": self.executor}
        )

    def submit(self, *argv: str, after: tuple[str, ...] = (), **fields: Any) -> str:
        request, spec = self._spec(argv, {"duration": "1h"} | fields)
        spec = dependencies.resolve(self.ctx, spec, after, self.clock.now)
        return engine.submit(self.ctx, request, spec, dict(os.environ), self.clock.now)[0]

    def repeat(self, *argv: str, **fields: Any) -> tuple[Recurrence, str]:
        given = {"duration": "1h", "every": "0 12 * * *", "within": "3h", "tz": "UTC"} | fields
        request, spec = self._spec(argv, given)
        environ = dict(os.environ)
        series, job_id, _ = engine.submit_series(self.ctx, request, spec, environ, self.clock.now)
        return series, job_id

    def _spec(self, argv: tuple[str, ...], fields: dict[str, Any]) -> tuple[Request, JobSpec]:
        request = Request(argv=argv or ("true",), **fields)
        now = self.clock.now
        spec = submission.to_spec(request, self.config, now, "me", Path("/"), need_duration=True)
        return request, spec

    def tick(self, **span: float) -> None:
        self.clock.advance(**span)
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def job(self, job_id: str) -> Job:
        return self.ctx.store.jobs.get(job_id)

    def jobs(self) -> list[Job]:
        return self.ctx.store.jobs.find()

    def story(self, job_id: str, kind: str) -> list[str]:
        return [e.detail for e in self.ctx.store.jobs.events(job_id) if e.kind == kind]


@pytest.fixture
def desk(tmp_path: Path, now: datetime, database: dict[str, str]) -> Iterator[Desk]:
    """A desk on a Monday at 08:00 UTC."""
    made = Desk(tmp_path, now, database)
    yield made
    made.ctx.close()


@pytest.fixture
def make_desk(
    tmp_path: Path, now: datetime, database: dict[str, str]
) -> Iterator[Callable[[str], Desk]]:
    """Desks with more settings, in YAML."""
    made: list[Desk] = []

    def make(settings: str) -> Desk:
        made.append(Desk(tmp_path, now, database, settings))
        return made[-1]

    yield make
    for each in made:
        each.ctx.close()
