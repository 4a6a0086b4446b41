"""Fixtures that every kind of test shares."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler.models import JobSpec
from scheduler.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    """A Monday morning in winter."""
    return NOW


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real SQLite store in a folder of its own."""
    opened = Store(tmp_path / "home", NOW)
    yield opened
    opened.close()


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., JobSpec]:
    """A valid job spec, with fields replaced at will."""

    def make(**fields: Any) -> JobSpec:
        base: dict[str, Any] = {
            "argv": ("true",),
            "cwd": str(tmp_path),
            "name": "job",
            "user": "tester",
            "duration_s": 3600.0,
            "submitted_at": NOW,
            "release": NOW,
            "home": "local",
        }
        return JobSpec(**(base | fields))

    return make
