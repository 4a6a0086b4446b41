"""Recorded answers that stand beside some checkouts; they are not part of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[3] / "shared" / "api-samples"


def sample_files(source: str) -> list[Path]:
    """The recorded JSON answers of a source; the test is skipped where there are none."""
    folder = BESIDE / source
    found = sorted(folder.glob("*.json"))
    if not found:
        pytest.skip(f"no recorded answers of {source} stand beside this checkout")
    return found
