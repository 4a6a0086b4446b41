"""What is asked, which of it is secret, and the words of a refusal."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from providers.errors import Unavailable
from providers.transport.bodies import parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

# Names of headers and query keys whose values are secrets (`api_key`, `auth-token`,
# `securityToken`, `X-Api-Key`, `Authorization`, `Ocp-Apim-Subscription-Key`).
SECRET = re.compile(r"key|token|auth|secret|passw|signature|cookie|credential", re.IGNORECASE)
# What is shorter keeps no secret, and would blot out half of every message.
SHORTEST_SECRET = 4
# A reason fits on a line of the terminal or two; the rest is a page or a stack trace.
LONGEST_WORDS = 200
# So much of the body of a refusal is looked at (characters): JSON errors have some hundred.
LONGEST_REFUSAL = 2**16
# Where JSON errors keep their words.
SAID_IN = ("message", "error", "detail", "error_description", "description", "errors")


class Later(Unavailable):
    """One try was in vain.

    ``after_s`` is the patience that the source asked for; ``again`` says whether this call may
    try once more.
    """

    def __init__(self, message: str, after_s: float | None = None, again: bool = True) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.again = again


@dataclass(frozen=True, slots=True, repr=False)  # no repr: it would tell the keys
class Question:
    """What is asked of ``source``: a URL, the rest of its query in ``params``, and the keys.

    A GET, or a POST of ``body`` as JSON, which holds no secrets.
    """

    source: str
    url: str
    params: Mapping[str, str | int | float]
    headers: Mapping[str, str]
    auth: tuple[str, str] | None = None
    body: Mapping[str, Any] | None = None

    @property
    def method(self) -> str:
        """How it is asked."""
        return "GET" if self.body is None else "POST"

    @property
    def where(self) -> str:
        """Host and path, which may be told to anyone."""
        try:
            parts = urlsplit(self.url)
            where = "".join(filter(str.isprintable, f"{parts.hostname}{parts.path}"))
            return self.without_secrets(where)
        except ValueError:
            return "a URL that is none"

    @property
    def secret_params(self) -> tuple[str, ...]:
        """The names of query keys that hold secrets."""
        return tuple(name for name, _ in self._query() if SECRET.search(name))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, in each form it may come back in."""
        named = (*self._query(), *self.headers.items())
        values = {str(value) for name, value in named if SECRET.search(name)}
        values |= {value.split(" ", 1)[1] for value in values if " " in value}
        values |= set(self.auth or ())
        values = {value for value in values if len(value) >= SHORTEST_SECRET}
        forms = values | {quote(v, safe="") for v in values} | {quote_plus(v) for v in values}
        return tuple(sorted(forms, key=len, reverse=True))

    def without_secrets(self, text: str) -> str:
        """``text`` with every secret blotted out."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def words_of(self, body: str) -> str:
        """The source's own words in a refusal, short and without secrets."""
        return self.without_secrets(words(body))[:LONGEST_WORDS]

    def _query(self) -> tuple[tuple[str, object], ...]:
        query = self.url.partition("?")[2].partition("#")[0]
        return (*parse_qsl(query), *self.params.items())


def words(body: str) -> str:
    """What a source says in a refusal: one printable line, nothing of an HTML page."""
    text = body[:LONGEST_REFUSAL].strip()
    if text.startswith("<"):
        return ""
    with suppress(ValueError, RecursionError):
        text = _said(parsed(text)) or text
    line = next((line for line in text.splitlines() if line.strip()), "")
    return "".join(filter(str.isprintable, line)).strip()


def _said(body: Any) -> str:
    """The words in a JSON error such as ``{"error": {"message": "..."}}``."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return next(filter(None, map(_said, body)), "")
    if isinstance(body, dict):
        return next(filter(None, (_said(body.get(name)) for name in SAID_IN)), "")
    return ""


def patience_s(retry_after: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` asks for: a number or an HTTP date; None where neither."""
    text = (retry_after or "").strip()
    # Nine digits are thirty years; longer numbers are no times.
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
