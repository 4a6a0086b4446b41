"""What all documents share: the version, times, figures, and a reason for each null."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from providers.base import Triple

SCHEMA_VERSION = 1


def iso(moment: datetime | None) -> str | None:
    """Milliseconds only where there are any."""
    if moment is None:
        return None
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def figure(value: Triple | None) -> dict[str, float | None] | None:
    """A triple, or null; null as its high where no upper bound is known."""
    return None if value is None else value.as_dict()


def total(figures: Sequence[Triple | None]) -> Triple | None:
    """The sum of what is known; None where nothing is."""
    known = [f for f in figures if f is not None]
    found = known[0] if known else None
    for each in known[1:]:
        assert found is not None  # there is a first one
        found = found + each
    return found


def null_reasons(content: Any, known: dict[str, str], default: str = "") -> dict[str, str]:
    """A reason for each null in ``content``, by its path; a parent's reason serves its parts."""
    reasons: dict[str, str] = {}
    for path in _nulls(content, ""):
        parts = path.split(".")
        named = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        found = next((known[n] for n in (*named, parts[-1]) if n in known), "")
        reasons[path] = found or default or "not known"
    return reasons


def _nulls(content: Any, path: str) -> list[str]:
    if content is None:
        return [path]
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    return [
        found
        for key, value in items
        for found in _nulls(value, f"{path}.{key}" if path else str(key))
    ]
