"""What whoever waits for a home and its database says meanwhile, on stderr."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from scheduler.errors import BusyError, fault
from scheduler.texts import printable

if TYPE_CHECKING:
    from datetime import datetime

# Passes take turns all the time. One that keeps the others waiting for this long is worth a line:
# a look at 1,000 running jobs takes 2.4 s (docs/database.md), so its engine hardly answers.
LONG_TURN = timedelta(seconds=60)


class Outage:
    """Passes that fail: a line when that begins and where the fault changes, one when it is over.

    Faults are a database that does not answer, a disk that is full or may not be written, a home
    that was taken away, another pass that does not end.
    """

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._said = ""

    def goes_on(self, error: Exception, now: datetime) -> None:
        """A pass at ``now`` has failed."""
        self._since = self._since or now
        if isinstance(error, BusyError) and now - self._since < LONG_TURN:
            return
        # Different places word one fault differently.
        kind = type(error).__name__ + str(getattr(error, "errno", ""))
        if kind != self._said:
            self._said = kind
            log(f"{fault(error)}; running jobs go on, and so does the queue once this is over")

    def is_over(self, now: datetime) -> None:
        """A pass at ``now`` has not."""
        if self._since is not None and self._said:
            gone_s = abs((now - self._since).total_seconds())
            log(f"the queue goes on again after {gone_s:.0f} s")
        self._since, self._said = None, ""


def log(line: str) -> None:
    """A line on stderr, which is a daemon's log."""
    print(f"lowtide: {printable(line)}", file=sys.stderr, flush=True)  # noqa: T201
