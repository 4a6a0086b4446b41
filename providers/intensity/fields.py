"""Reading decoded JSON that may hold anything: the field that was expected, or :class:`BadData`."""

from __future__ import annotations

import reprlib
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from providers.errors import BadData

if TYPE_CHECKING:
    from collections.abc import Iterator

# Times outside 1973 to 2286 are in another unit (milliseconds) or no times at all.
EARLIEST_S, LATEST_S = 1e8, 1e10


def wrong(source: str, field: str, found: object, wanted: str) -> BadData:
    """The error for a field that is not what it should be."""
    return BadData(
        f"{source} answered {field} {reprlib.repr(found)} where {wanted} was expected: "
        "the answer is not used"
    )


def member(source: str, node: object, key: str) -> Any:
    """What stands under ``key`` of an object."""
    if not isinstance(node, dict):
        raise wrong(source, f"around {key!r}", node, "an object")
    if key not in node:
        raise wrong(source, "keys", sorted(map(str, node)), f"a key {key!r}")
    return node[key]


def items(source: str, node: object, field: str) -> list[Any]:
    """A list."""
    if not isinstance(node, list):
        raise wrong(source, field, node, "a list")
    return node


def number(source: str, node: object, field: str) -> float | None:
    """A number; None where the source has none (null)."""
    if node is None:
        return None
    if isinstance(node, bool) or not isinstance(node, int | float):
        raise wrong(source, field, node, "a number")
    try:
        return float(node)
    except OverflowError:
        raise wrong(source, field, node, "a number") from None


def seconds(source: str, node: object, field: str) -> float:
    """Unix seconds."""
    value = number(source, node, field)
    if value is None or not EARLIEST_S <= value <= LATEST_S:
        raise wrong(source, field, node, "a time in Unix seconds")
    return value


def moment(source: str, node: object, field: str, zone: tzinfo | None = None) -> float:
    """An ISO 8601 time as Unix seconds; one without offset is in ``zone``, or wrong."""
    wanted = "an ISO 8601 time" + ("" if zone else " with its offset")
    try:
        told = datetime.fromisoformat(node) if isinstance(node, str) else None
    except ValueError:
        told = None
    if told is not None and told.tzinfo is None and zone is not None:
        told = told.replace(tzinfo=zone)
    if told is None or told.tzinfo is None:
        raise wrong(source, field, node, wanted)
    if not EARLIEST_S <= told.timestamp() <= LATEST_S:
        raise wrong(source, field, node, wanted)
    return told.timestamp()


def texts(node: object) -> Iterator[str]:
    """Every string of a body, however deep it stands; keys of objects are none."""
    nodes = [node]
    while nodes:
        part = nodes.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict | list):
            nodes += part.values() if isinstance(part, dict) else part
