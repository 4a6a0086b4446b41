"""Real engines for tests: where one is absent a test skips, or fails if it is to be there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

# Names of engines, by commas, that must be tested here: CI's.
REQUIRED = "LOWTIDE_REQUIRE_ENGINES"


def absent(engine: str, remedy: str) -> NoReturn:
    """Skip with how to get the engine; fail where it is required."""
    said = f"{engine} is not here: {remedy}"
    if engine in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(said)
    pytest.skip(said)
