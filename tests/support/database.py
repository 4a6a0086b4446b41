"""Stores on either kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from scheduler import address
from scheduler.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path


def open_store(home: Path, database: Mapping[str, str], now: datetime) -> Store:
    """A store in the database that an environment names, else in ``home``."""
    url = database.get("LOWTIDE_DATABASE")
    return Store(home, now, None if url is None else address.parse(url, home))


def damage(store: Store, statement: str, **values: Any) -> None:
    """Change rows behind the store's back."""
    with store._database.write() as session:
        session.connection().execute(text(statement), values)
