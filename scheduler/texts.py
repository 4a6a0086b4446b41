"""Texts of users, jobs and sources: what can be stored, and how they are shown without harm."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of ids that are alike so many are shown.
SHOWN = 5
# Controls of a terminal (C0, DEL and C1, ECMA-48), but for tab, line feed and carriage return;
# a sequence that only sets colours (SGR, ECMA-48 8.3.117) does no harm.
_HARM = re.compile(r"(\x1b\[[0-9;:]{0,40}m)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# The beginning of one that sets colours, whose rest is still to come.
_OPEN = re.compile(r"\x1b(\[[0-9;:]{0,40})?\Z")
# The same in a document for programs, whose lines may end in CR LF (RFC 4180).
_STEERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)")
# JSON escapes C0 by itself.
_BEYOND_JSON = re.compile("[\x7f-\x9f\ud800-\udfff]")


def storable(what: str, text: str) -> str:
    """The text; :class:`ValueError` where no database, or no process, could be given it.

    The message does not repeat it: it may hold a secret.
    """
    if "\0" in text:
        raise ValueError(f"{what} has a NUL character in it: leave it out")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise ValueError(
            f"{what} is no UTF-8 text (character {e.start + 1} of it), and cannot be stored: "
            "rename it, or put it into a script"
        ) from None
    return text


def not_one(kind: str, prefix: str, ids: Sequence[str]) -> str:
    """Why ``prefix`` does not name one thing: it matches none, or several ``ids``."""
    if not ids or not prefix:
        return f"no {kind} {prefix!r}; `lowtide status --all` lists them"
    shown = ", ".join(ids[:SHOWN])
    if len(ids) > SHOWN:
        return f"{prefix!r} matches more than {SHOWN}: {shown} ...; write more of the id"
    several = kind if kind.endswith("s") else f"{kind}s"
    return f"{prefix!r} matches {len(ids)} {several}: {shown}; write more of the id"


def printable(text: str) -> str:
    """A text on one line, without what would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def printable_lines(text: str) -> str:
    """The same, line by line."""
    return "\n".join(map(printable, text.split("\n")))


def json_safe(text: str) -> str:
    """JSON that means the same, without the controls that JSON itself lets through."""
    return _BEYOND_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def document(text: str) -> str:
    """A document for programs, as a terminal may be shown it."""
    return _STEERS.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


class Calm:
    r"""Output of a job for a terminal, piece by piece: its words and colours, and no other control.

    What is no UTF-8 is shown as ``\xff``.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""

    def feed(self, piece: bytes, *, last: bool = False) -> bytes:
        """What may be written now; ``last``: nothing follows."""
        text = self._held + self._decoder.decode(piece, final=last)
        begun = None if last else _OPEN.search(text)
        self._held = "" if begun is None else text[begun.start() :]
        text = text if begun is None else text[: begun.start()]
        return _HARM.sub(lambda found: found[1] or _escape(found[0]), text).encode("utf-8")
