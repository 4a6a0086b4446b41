"""Bodies as text and as JSON: bounded before they are decoded and before anything is built."""

from __future__ import annotations

import codecs
import json
import re
from itertools import accumulate
from typing import Any, NoReturn

# What sources of carbon data and engines write. Python knows a hundred more, some of which decode
# in quadratic time (punycode), and a source chooses the name.
CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
# A year of one zone in steps of five minutes, in records of four values, has 525,000. Built, this
# many take at most 250 MB (records of one short key each, CPython 3.11).
MOST_ITEMS = 1_000_000
# The deepest answer of the sources here has 8 levels.
DEEPEST = 64
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


class Excess(ValueError):
    """JSON that is larger or deeper than an answer can be; the words follow `answered`."""


def decoded(content: bytes, charset: str | None) -> str:
    """The body in the charset that it declares where that is one of :data:`CHARSETS`, else in
    UTF-8; what does not fit is replaced.
    """
    try:
        known = codecs.lookup(charset or "utf-8").name in CHARSETS
    except LookupError:
        known = False
    return content.decode(charset if known and charset else "utf-8", errors="replace")


def parsed(text: str) -> Any:
    """JSON by the standard, which has no NaN; ValueError or RecursionError where it is none.

    :class:`Excess` where it holds too much. Marks within strings are counted too, which errs on the
    side of fewer items.
    """
    opened = text.count("[") + text.count("{")
    if max(opened + text.count(","), text.count("]") + text.count("}")) > MOST_ITEMS:
        raise Excess(f"JSON of more than {MOST_ITEMS} items")
    if opened > DEEPEST:
        steps = (_STEP[mark] for mark in re.findall(r"[\[\]{}]", text))
        if max(accumulate(steps)) > DEEPEST:
            raise Excess(f"JSON nested more than {DEEPEST} deep")
    return json.loads(text.removeprefix("\ufeff"), parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")
