"""What the store remembers of a group's runs, and where a job's duration comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import JOULES_PER_KWH
from scheduler.errors import UsageError
from scheduler.models import GIVEN
from scheduler.planner import history
from scheduler.planner.history import PastRun
from scheduler.quantities import LONGEST_S, MOST_W

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Triple
    from scheduler.engine.context import Context
    from scheduler.engine.request import Request
    from scheduler.models import JobSpec, Power, Settlement

# Enough for any quantile up to 0.98; older runs tell of code and data that have changed since.
NEWEST = 50
# Against a figure that the user gave: two runs show no spread to speak of.
CONVINCING = 3


def past_runs(ctx: Context, user: str, group: str | None) -> tuple[PastRun, ...]:
    """The newest :data:`NEWEST` successful runs of the user's group, newest last.

    A run lasts over all its attempts, without what it waited between them; one whose start or
    end nobody saw is left out.
    """
    if group is None:
        return ()
    found = []
    for job in ctx.store.jobs.succeeded(user, group, NEWEST):
        seconds = job.ran_s
        if seconds and seconds <= LONGEST_S:
            watts = _watts(ctx.store.settlements.latest(job.id), seconds)
            found.append(PastRun(seconds, watts, job.spec.slots, job.spec.gpus))
    return tuple(found)


def _watts(settlement: Settlement | None, seconds: float) -> Triple | None:
    """Mean power of what the run held (W); None where a held part was not read.

    The reserved energy, which holds the active one: what full load is assumed of, too.
    """
    if settlement is None or settlement.reserved_kwh is None:
        return None
    unread = any(c.energy_kwh is None for c in settlement.components)
    # A meter that counted nothing was too coarse for the run.
    if unread or settlement.reserved_kwh.value <= 0:
        return None
    watts = settlement.reserved_kwh.scaled(JOULES_PER_KWH / seconds)
    # A journal is its job's own file: what no machine draws teaches nothing.
    return watts if watts.high <= MOST_W else None


def duration(
    request: Request, given_s: float | None, past: Sequence[PastRun], quantile: float, *, need: bool
) -> tuple[float | None, str]:
    """The duration to plan with (s), and its source: ``given``, or the sentence of what is learned.

    Learned where none was given and one is needed, or where history is asked for; against a
    given one it takes :data:`CONVINCING` runs. :class:`UsageError` for history without a group.
    """
    asked = request.duration_from == "history"
    if asked and request.group is None:
        raise UsageError("--duration-from history needs --group: whose past runs to learn from")
    wanted = asked or (need and given_s is None and request.duration_from is None)
    enough = 1 if given_s is None else CONVINCING
    if request.group is None or not wanted or len(past) < enough:
        return given_s, GIVEN
    learned = history.duration([run.duration_s for run in past], quantile, request.group)
    assert learned is not None  # there is a run
    return learned.value, learned.detail


def power(spec: JobSpec, past: Sequence[PastRun]) -> Power | None:
    """What runs of the group that held the same slots and GPUs drew; None where none was read."""
    alike = [r.watts for r in past if (r.slots, r.gpus) == (spec.slots, spec.gpus)]
    return history.power([w for w in alike if w is not None], spec.group or "")
