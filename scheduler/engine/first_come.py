"""The plain queue of a home: when its jobs would have started, served in order of release."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from providers.errors import LowtideError
from scheduler.planner.first_come import Arrival, Served, serve

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.models import Job

# A job that had ended so long before another one was released was done by then in the plain queue
# as well: lowtide only ever delays what that would start at once.
LOOK_BACK: Final = timedelta(days=1)


class FirstCome:
    """The plain queues of one pass, each computed once."""

    def __init__(self, ctx: Context, now: datetime) -> None:
        self._ctx, self._now = ctx, now
        self._served: dict[tuple[str, str], tuple[datetime, dict[str, Served]]] = {}

    def start(self, job: Job, release: datetime) -> Served | str:
        """When the job would have started, or why that is not known.

        At its ``release`` where its home runs no jobs, and so has no slots.
        """
        try:
            return self._start(job, release)
        except LowtideError as e:
            return f"the slots of {job.spec.home} are not known: {e}"

    def _start(self, job: Job, release: datetime) -> Served:
        ctx, spec = self._ctx, job.spec
        home, at_once = ctx.regions[spec.home], Served(release.timestamp(), known=True)
        if home.executor is None:
            return at_once
        key = spec.home, "" if home.host else ctx.host_of(spec, home)
        since, served = self._served.get(key, (None, {}))
        if since is None or release < since or job.id not in served:
            since = release
            served = self._serve(*key, since)
            self._served[key] = since, served
        return served.get(job.id, at_once)

    def _serve(self, home: str, host: str, since: datetime) -> dict[str, Served]:
        arrivals = [
            Arrival(a.ready_s, a.submitted_s, a.job_id, a.run_s, a.slots, a.known)
            for a in self._ctx.store.arrivals.since(since - LOOK_BACK, self._now)
            if a.home == home and (not host or a.host in {"", host})
        ]
        return serve(arrivals, self._ctx.capacity_by_hour(home))
