"""What pydantic finds wrong with a value, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda c: f"must be at least {c['ge']:.10g}",
    "greater_than": lambda c: f"must be above {c['gt']:.10g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:.10g}",
    "less_than": lambda c: f"must be below {c['lt']:.10g}",
    "finite_number": lambda _: "must be a finite number",
    "literal_error": lambda c: f"must be {c['expected']}",
    "missing": lambda _: "is missing",
    "string_too_short": lambda _: "must not be empty",
    "too_short": lambda c: f"must have at least {c['min_length']} entries",
    "too_long": lambda c: f"must have at most {c['max_length']} entries",
}
# Whole families of types: int_parsing, int_type, int_from_float ...
_KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "tuple": "must be a list",
    "list": "must be a list",
    "dict": "must hold `key: value` lines",
    "model": "must hold `key: value` lines",
}
_LONGEST = 60


def in_words(fault: ErrorDetails) -> str:
    """``must be at least 1, not 0``; the message of a check of our own as it is."""
    kind = fault["type"]
    if kind in ("value_error", "assertion_error"):
        return fault["msg"].removeprefix("Value error, ")
    context = fault.get("ctx", {})
    known = _WORDS.get(kind)
    said = known(context) if known else _KINDS.get(kind.partition("_")[0], fault["msg"])
    if kind == "missing":
        return said
    found = fault["input"]
    shown = found if isinstance(found, str) and found.isprintable() and found else repr(found)
    return f"{said}, not {shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '...'}"
