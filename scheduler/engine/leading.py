"""One leader among all that share a database: it asks the sources and plans, for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.engine.context import Context
    from scheduler.store.leases import Lease

NAME = "leader"
# A leader that looks this many times within its lease renews it in time, also after a slow pass.
LOOKS = 3


def take(ctx: Context, now: datetime) -> bool:
    """Become the leader, or stay it; False while another one leads.

    Two that both think so for a moment (a pass outlasted its lease) do no harm: a plan is put in
    only where the job still stands as it was read, and a start is claimed once.
    """
    settings = ctx.config.settings
    duration_s = max(settings.lease, LOOKS * settings.tick)
    return ctx.store.leases.take(NAME, ctx.here.owner, now, duration_s)


def give_up(ctx: Context) -> None:
    """Let another one lead at once."""
    ctx.store.leases.release(NAME, ctx.here.owner)


def leader(ctx: Context, now: datetime) -> Lease | None:
    """Who leads now; None: nobody."""
    return ctx.store.leases.holder(NAME, now)
