"""Looks into a store while others work on it: what a test waits for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from support import aftermath
from support.fleet import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scheduler.store import Store


class Witness:
    """The store of one home, or at one URL."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def until(self, state: str, *ids: str) -> None:
        """Wait until each of the jobs is there."""
        until(lambda: all(str(self.store.jobs.get(job_id).state) == state for job_id in ids))

    def until_over(self) -> None:
        """Wait until every job has ended, and is settled where it has run."""
        until(lambda: aftermath.is_over(self.store))


@contextmanager
def watching(home: Path, url: str | None = None) -> Iterator[Witness]:
    """One that looks until the test is over."""
    with aftermath.opened(home, url) as store:
        yield Witness(store)
