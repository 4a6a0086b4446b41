"""What the tests of all sources with a key share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from providers.errors import LowtideError
from providers.surroundings import Surroundings


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def with_keys(folder: Path, environ: Mapping[str, str]) -> Surroundings:
    """A place with keys."""
    return Surroundings(folder, folder / "cache", environ)


def check_silent(ask: Callable[[], object], *secrets: str) -> None:
    """Whatever comes of asking, no message holds a part of a key that would give it away."""
    with pytest.raises(LowtideError) as raised:
        ask()
    said: list[str] = []
    error: BaseException | None = raised.value
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__
    for secret in secrets:
        parts = {secret[i : i + 8] for i in range(max(1, len(secret) - 7))}
        assert not any(part in text for part in parts for text in said)
