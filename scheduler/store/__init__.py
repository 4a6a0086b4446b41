"""The durable queue: rows <-> values, atomic state changes. The only door to sqlmodel."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from providers.files import make_folder
from scheduler import address as addresses
from scheduler.errors import ConfigError, StoreError, StoreReplaced, StoreUnavailable
from scheduler.store import migrations
from scheduler.store.actuals import Actuals, StoredHistory
from scheduler.store.arrivals import Arrivals
from scheduler.store.database import Database, dialect_of
from scheduler.store.entries import OWN
from scheduler.store.forecasts import Forecasts
from scheduler.store.jobs import Jobs, Planned
from scheduler.store.leases import Leases
from scheduler.store.listing import Listing, Listings, Wanted
from scheduler.store.memory import Accuracies, Beats, Configs, QueuePlans, Settlements, Version
from scheduler.store.moves import LEGAL_MOVES
from scheduler.store.recurrences import Recurrences
from scheduler.store.reservations import Reservation, Reservations, Step
from scheduler.store.retention import Retention
from scheduler.store.spending import By, Spending, Spent
from scheduler.store.values import sight
from scheduler.store.waiting import Group, Turn, Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from scheduler.address import Address
    from scheduler.errors import DamagedRow

__all__ = [
    "LEGAL_MOVES",
    "OWN",
    "Actuals",
    "By",
    "Forecasts",
    "Group",
    "Listing",
    "Planned",
    "Reservation",
    "Spent",
    "Step",
    "Store",
    "StoredHistory",
    "Turn",
    "Version",
    "Wanted",
    "sight",
]

# How long a look at the whole database may keep a daemon or a command waiting (s).
LOOK_S = 5.0


class Store:
    """Everything lowtide remembers: at ``address``, else in ``lowtide.db`` within ``home``.

    ``environ`` holds the password where the address names a variable for it.
    """

    def __init__(
        self,
        home: Path,
        now: datetime,
        address: Address | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        prepare(home)
        at = address or addresses.in_home(home)
        self._database = Database(dialect_of(at, os.environ if environ is None else environ))
        # Held open, so that no later folder gets its inode.
        self._home = home
        self._home_fd: int | None = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._database.bring_up(now.timestamp())
        except (ConfigError, StoreError):
            self.close()
            raise
        self.jobs = Jobs(self._database)
        self.listings = Listings(self._database)
        self.waiting = Waiting(self._database)
        self.reservations = Reservations(self._database)
        self.recurrences = Recurrences(self._database)
        self.forecasts = Forecasts(self._database)
        self.actuals = Actuals(self._database)
        self.settlements = Settlements(self._database)
        self.retention = Retention(self._database)
        self.spending = Spending(self._database)
        self.arrivals = Arrivals(self._database)
        self.queue_plans = QueuePlans(self._database)
        self.accuracies = Accuracies(self._database)
        self.beats = Beats(self._database)
        self.configs = Configs(self._database)
        self.leases = Leases(self._database)

    @property
    def shown(self) -> str:
        """Where the database is, without secrets."""
        return self._database.dialect.shown

    @property
    def damaged(self) -> dict[tuple[str, str], DamagedRow]:
        """Rows (by table and key) that could not be read so far, and were left out."""
        return self._database.damaged

    def check(self) -> str:
        """``ok``, or what is wrong with the database, as far as a few seconds of looking tell."""
        with self._database.read() as session:
            return self._database.dialect.quick_check(session.connection(), LOOK_S)

    def refuse_other_versions(self) -> None:
        """:class:`StoreError` where another version has changed the schema since it was opened."""
        with self._database.read() as session:
            migrations.refuse_other_versions(session.connection(), self._database.dialect)

    def refuse_replaced(self) -> None:
        """:class:`StoreReplaced` where another home or database file has taken the place of the one
        that is open, :class:`StoreUnavailable` where nothing has.
        """
        assert self._home_fd is not None
        try:
            same = os.path.samestat(os.fstat(self._home_fd), self._home.stat())
            if same and not self._database.dialect.is_replaced():
                return
        except OSError as e:
            raise StoreUnavailable(
                f"{e.filename} was taken away: nothing starts before it is back, or another one is "
                "in its place"
            ) from e
        raise StoreReplaced(f"home {self._home} or database {self.shown} was replaced by another")

    def together(self) -> AbstractContextManager[None]:
        """One transaction for what is done within: one commit for many small steps."""
        return self._database.together()

    def compact(self) -> None:
        """Give the room of deleted rows back to the disk, where the database does not itself."""
        self._database.dialect.compact()

    def close(self) -> None:
        """Close the database; harmless where that was done."""
        self._database.close()
        if self._home_fd is not None:
            os.close(self._home_fd)
            self._home_fd = None


def prepare(home: Path) -> None:
    """Make the home folder (0700); :class:`ConfigError` where it cannot be written.

    What stands in a home runs as whoever opens it, so nobody, root least of all, opens another's.
    """
    try:
        make_folder(home)
        if home.stat().st_uid != os.geteuid():
            raise ConfigError(
                f"home {home} is the user {home.stat().st_uid}'s, and this is user "
                f"{os.geteuid()}: set LOWTIDE_HOME to a folder of your own"
            )
        home.chmod(0o700)
        # Without a name: nobody else's trial is in the way, and a kill leaves nothing behind.
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as e:
        raise ConfigError(
            f"home {home} cannot be written ({e.strerror}): set LOWTIDE_HOME to a folder "
            "of your own"
        ) from e
