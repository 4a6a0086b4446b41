"""What faults have in common: processes by the hundred, of code that other tests run, too."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage of each such process costs it a third of its time, and shows no new line."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
