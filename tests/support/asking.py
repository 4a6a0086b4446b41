"""A door to a played source whose clock stands still until it sleeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from providers.surroundings import Surroundings
from providers.transport import Http, Policy
from support.clock import NOW
from support.server import Asked, Play, Reply, SourceServer

JSON = {"Content-Type": "application/json"}
KEY, TOKEN = "k3y-of+a test", "t0ken/of-a-test"
Serve = Callable[[Play], SourceServer]
CALM = Policy("tides", ttl_s=1800, calls=1000, per_s=1, timeout_s=20)
# For what never answers: a test waits so long for it, three times.
HASTY = replace(CALM, timeout_s=0.3)


@dataclass
class Clock:
    """Time passes by sleeping only."""

    now: datetime = NOW
    slept_s: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.pass_s(seconds)

    def pass_s(self, seconds: float) -> None:
        """Time passes without anyone sleeping."""
        self.now += timedelta(seconds=seconds)


def door(folder: Path, clock: Clock, policy: Policy = CALM) -> Http:
    """A door of a home in ``folder``."""
    return Http(policy, Surroundings.at(folder), clock=clock, sleep=clock.sleep)


def fine(asked: Asked) -> Reply:
    """An answer that nothing is wrong with."""
    return Reply('{"g": 42}')


def always(reply: Reply) -> Play:
    """The same, whatever is asked."""
    return lambda asked: reply


def files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]
