"""The durable queue: rows <-> values, atomic state changes. The only door to sqlmodel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.errors import ConfigError
from scheduler.store.actuals import Actuals, StoredHistory
from scheduler.store.database import Database
from scheduler.store.forecasts import Forecasts
from scheduler.store.jobs import LEGAL_MOVES, Jobs
from scheduler.store.memory import Accuracies, Beats, QueuePlans, Settlements, Version
from scheduler.store.recurrences import Recurrences

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

__all__ = ["LEGAL_MOVES", "Actuals", "Forecasts", "Store", "StoredHistory", "Version"]


class Store:
    """Everything lowtide remembers, in ``lowtide.db`` within ``home``."""

    def __init__(self, home: Path, now: datetime) -> None:
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            home.chmod(0o700)
            (home / ".writable").touch()
            (home / ".writable").unlink()
        except OSError as e:
            raise ConfigError(
                f"home {home} cannot be written ({e.strerror}): set LOWTIDE_HOME to a folder "
                "of your own"
            ) from e
        self._database = Database(home / "lowtide.db", now.timestamp())
        self.jobs = Jobs(self._database)
        self.recurrences = Recurrences(self._database)
        self.forecasts = Forecasts(self._database)
        self.actuals = Actuals(self._database)
        self.settlements = Settlements(self._database)
        self.queue_plans = QueuePlans(self._database)
        self.accuracies = Accuracies(self._database)
        self.beats = Beats(self._database)

    def check(self) -> str:
        """``ok``, or what is wrong with the database file."""
        return self._database.check()

    def close(self) -> None:
        """Close the database."""
        self._database.close()
