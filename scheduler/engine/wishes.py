"""Options that say how a job may be paused and what its plan weighs, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler import quantities
from scheduler.errors import UsageError
from scheduler.models import Objective, Pausable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.config import Config
    from scheduler.engine.request import Request

WEIGHTS = ("money", "delay")


def pausable(request: Request, config: Config) -> Pausable | None:
    """How the job may be paused; None where ``--pausable`` was not given."""
    details = {
        "--resume-overhead": request.resume_overhead,
        "--min-run": request.min_run,
        "--max-segments": request.max_segments,
        "--pause-signal": request.pause_signal,
    }
    given = [name for name, value in details.items() if value is not None]
    if not request.pausable:
        if given:
            raise UsageError(f"{given[0]} belongs to --pausable: give it too, or leave it out")
        return None
    defaults = config.settings.defaults
    resume = _parsed("--resume-overhead", request.resume_overhead, quantities.span_s)
    least = _parsed("--min-run", request.min_run, quantities.span_s)
    return Pausable(
        resume_s=defaults.resume_overhead if resume is None else resume,
        min_run_s=defaults.min_run if least is None else least,
        max_segments=request.max_segments,
        signal=request.pause_signal or "checkpoint",
    )


def objective(request: Request) -> Objective:
    """What the plan weighs; weights that contradict each other are a :class:`UsageError`."""
    weights = _weights(request.weigh)
    return Objective(
        money=weights.get("money", 0.0),
        delay=weights.get("delay", 0.0),
        max_cost=_parsed("--max-cost", request.max_cost, _amount),
        cautious=request.risk == "cautious",
    )


def _weights(given: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in given:
        name, _, share = item.partition("=")
        if name not in WEIGHTS:
            raise UsageError(f"--weigh {item}: known are {', '.join(WEIGHTS)}, e.g. money=5%")
        if name in found:
            raise UsageError(
                f"--weigh {item} contradicts {name}={100 * found[name]:g}%: give it once"
            )
        try:
            found[name] = quantities.percent(share) / 100
        except ValueError as e:
            raise UsageError(f"--weigh {name}: {e}") from e
    if sum(found.values()) > 1:
        said = " + ".join(f"{name}={100 * share:g}%" for name, share in found.items())
        raise UsageError(
            f"--weigh {said} is more than 100%: the weights are shares of one decision, and grams "
            "have the rest"
        )
    return found


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{text!r} is not an amount of money from 0 up: write e.g. 2.50")
    return value


def _parsed(option: str, text: str | None, parse: Callable[[str], float]) -> float | None:
    try:
        return None if text is None else parse(text)
    except ValueError as e:
        raise UsageError(f"{option}: {e}") from e
