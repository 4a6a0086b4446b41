"""The use cases: submit, plan, tick (reap, repeat, refresh, plan, dispatch, settle), cancel.

What deciding and settling need is imported when one of them is first used: who only looks at the
queue would wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scheduler.engine.context import Context
from scheduler.engine.seen import ended, ended_unseen, look, seen

if TYPE_CHECKING:
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
    from scheduler.engine.settling import compute as settlement_of
else:
    # What does not stand in the module ``engine``.
    _ELSEWHERE = {
        "leader": ("leading", "leader"),
        "plan": ("planner", "plan"),
        "preview": ("planner", "preview"),
        "settlement_of": ("settling", "compute"),
        "trade_offs": ("planner", "trade_offs"),
    }

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        module, attribute = _ELSEWHERE.get(name, ("engine", name))
        return getattr(import_module(f"{__name__}.{module}"), attribute)


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
