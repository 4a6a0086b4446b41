"""The use cases: submit, plan, tick (reap, refresh, plan, dispatch, settle), cancel."""

from scheduler.engine.context import Context
from scheduler.engine.engine import cancel, follow, plan, sole_daemon, submit, tick, watcher_seen
from scheduler.engine.settling import compute as settlement_of

__all__ = [
    "Context",
    "cancel",
    "follow",
    "plan",
    "settlement_of",
    "sole_daemon",
    "submit",
    "tick",
    "watcher_seen",
]
