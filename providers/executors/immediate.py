"""What engines have in common that keep no begin times and assign no boards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from providers.base import Launch


class Immediate:
    """Nothing is handed over early, so nothing is moved or taken back."""

    def assignable_gpus(self) -> tuple[int, int]:
        """None: boards are found free and held by name, if at all."""
        return 0, 0

    def move(self, launch: Launch, begin_s: float) -> bool:
        """There is nothing to move."""
        return False

    def take_back(self, run_dir: Path, token: str) -> bool:
        """There is nothing to take back."""
        return False
