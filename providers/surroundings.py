"""What a source of carbon data may use of the place where lowtide runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from providers.series import Series


class History(Protocol):
    """Stored actual values, for sources that learn from them."""

    def actuals(self, zone: str, start: datetime, end: datetime) -> Sequence[Series]:
        """What is stored of the zone, one series a source, the most preferred source first."""
        ...


class NoHistory:
    """Nothing is stored."""

    def actuals(self, zone: str, start: datetime, end: datetime) -> Sequence[Series]:
        """Nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Handed to every source's ``build``.

    Relative paths in settings start at ``base_dir`` (the config file's folder); answers and
    models are kept under ``cache_dir`` and may be deleted at any time; keys come from
    ``environ`` and nowhere else. By ``clock`` answers grow old and a silent source is left alone.
    Where nobody ``asks``, kept answers have to do, and so they do from ``asks_until`` on.
    """

    base_dir: Path
    cache_dir: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    history: History = field(default_factory=NoHistory)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    asks: bool = True
    asks_until: Callable[[], datetime] = lambda: datetime.max.replace(tzinfo=UTC)

    @classmethod
    def at(cls, folder: Path) -> Surroundings:
        """A place with no keys and no history, all within ``folder``."""
        return cls(folder, folder / "cache")
