"""Long texts of rows that are seldom read, as few bytes.

A packed text is ``z1:`` and the base64 of a zlib stream, whose dictionary ``data/packed-1.json`` is
a plan and a settlement as they are stored; it belongs to that mark and is never edited. Any other
text stands for itself: rows of earlier versions, and short ones, are read as they were written.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from functools import cache
from importlib.resources import files

MARK = "z1:"
# Shorter texts gain nothing by it (measured on plans and settlements of 0.2 to 8 kB).
LEAST = 200


@cache
def _dictionary() -> bytes:
    return (files("scheduler") / "data" / "packed-1.json").read_bytes()


def pack(text: str) -> str:
    """The text, packed where that is shorter."""
    if len(text) < LEAST:
        return text
    squeeze = zlib.compressobj(9, zdict=_dictionary())
    stream = squeeze.compress(text.encode()) + squeeze.flush()
    return MARK + b64encode(stream).decode()


def unpack(text: str) -> str:
    """What was packed; a text that is not packed, or is damaged, as it stands."""
    if not text.startswith(MARK):
        return text
    try:
        opened = zlib.decompressobj(zdict=_dictionary())
        content = opened.decompress(b64decode(text[len(MARK) :], validate=True))
        return content.decode() if opened.eof else text
    except (zlib.error, binascii.Error, UnicodeDecodeError):
        return text
