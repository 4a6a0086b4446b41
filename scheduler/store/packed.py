"""Long texts of rows that are seldom read, as few bytes.

A packed text is a mark and the base64 of a zlib stream, whose dictionary is a plan and settlements
as they are stored. Each mark has a dictionary of its own, which is never edited: once rows have
grown by what it does not hold, a further one is added. Any other text stands for itself: rows of
earlier versions, and short ones, are read as they were written.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from functools import cache
from importlib.resources import files

# A settlement of 10 kB takes 1.0 kB with the second; with the first, from before settlements held
# their evidence, 2 kB.
_DICTIONARIES = {"z1:": "packed-1.json", "z2:": "packed-2.json"}
MARKS = tuple(_DICTIONARIES)
# What is written.
MARK = "z2:"
# Shorter texts gain nothing by it (measured on plans and settlements of 0.2 to 8 kB).
LEAST = 200


@cache
def _dictionary(mark: str) -> bytes:
    return (files("scheduler") / "data" / _DICTIONARIES[mark]).read_bytes()


def pack(text: str) -> str:
    """The text, packed where that is shorter."""
    if len(text) < LEAST:
        return text
    squeeze = zlib.compressobj(9, zdict=_dictionary(MARK))
    stream = squeeze.compress(text.encode()) + squeeze.flush()
    return MARK + b64encode(stream).decode()


def unpack(text: str) -> str:
    """What was packed; a text that is not packed, or is damaged, as it stands."""
    if not text.startswith(MARKS):
        return text
    mark, stream = text[: len(MARK)], text[len(MARK) :]
    try:
        opened = zlib.decompressobj(zdict=_dictionary(mark))
        content = opened.decompress(b64decode(stream, validate=True))
        return content.decode() if opened.eof else text
    except (zlib.error, binascii.Error, UnicodeDecodeError):
        return text
