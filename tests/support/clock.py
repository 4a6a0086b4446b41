"""The moment at which played sources stand still."""

from __future__ import annotations

from datetime import UTC, datetime

NOW = datetime(2026, 3, 2, 8, 20, tzinfo=UTC)
