"""Faults that the runner tells to people, in ``runner.log``."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str) -> None:
    """One line; dropped where it cannot be written: a full disk may not end the runner."""
    with suppress(OSError):
        print(text, file=sys.stderr)  # noqa: T201 -- the executor makes it runner.log
