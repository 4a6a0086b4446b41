"""The use cases: submit, plan, tick (reap, repeat, refresh, plan, dispatch, settle), cancel."""

from scheduler.engine.context import Context
from scheduler.engine.engine import (
    cancel,
    cancel_series,
    follow,
    kept_waiting,
    next_moment,
    otherwise_configured,
    sole_daemon,
    step_down,
    submit,
    submit_series,
    tick,
    watcher_seen,
)
from scheduler.engine.leading import leader
from scheduler.engine.planner import plan, preview, trade_offs
from scheduler.engine.seen import ended, ended_unseen, look, seen
from scheduler.engine.settling import compute as settlement_of

__all__ = [
    "Context",
    "cancel",
    "cancel_series",
    "ended",
    "ended_unseen",
    "follow",
    "kept_waiting",
    "leader",
    "look",
    "next_moment",
    "otherwise_configured",
    "plan",
    "preview",
    "seen",
    "settlement_of",
    "sole_daemon",
    "step_down",
    "submit",
    "submit_series",
    "tick",
    "trade_offs",
    "watcher_seen",
]
