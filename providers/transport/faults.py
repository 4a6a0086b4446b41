"""What may go wrong with one exchange over HTTP, in words of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests
import urllib3

from providers.errors import BadData, LowtideError, SettingsError
from providers.transport.question import Later

if TYPE_CHECKING:
    from providers.transport.question import Question

# A little more than a multiple of 3 s, after which TCP sends a lost packet again (the advice of
# requests' own documentation).
CONNECT_S = 3.05
# Why there was no answer; the first that fits.
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (urllib3.exceptions.NameResolutionError, "no such host"),
    (urllib3.exceptions.ProxyError, "not let through by the proxy"),
    (urllib3.exceptions.SSLError, "no secure connection (TLS)"),
    (ConnectionRefusedError, "connection refused"),
    (urllib3.exceptions.NewConnectionError, "no connection"),
)


def fault(error: Exception, question: Question, timeout_s: float) -> LowtideError:
    """What stopped an exchange, in words of our own."""
    kinds = requests.exceptions
    source, where = question.source, question.where
    if isinstance(error, kinds.TooManyRedirects):
        return BadData(f"{source} redirects in circles ({where})")
    if isinstance(error, kinds.ContentDecodingError | urllib3.exceptions.DecodeError):
        return BadData(f"{source} answered in a broken encoding ({where})")
    if isinstance(error, kinds.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return Later(f"{source} gave no whole answer within {timeout_s:g} s ({where})")
    if isinstance(error, ValueError):
        return SettingsError(
            f"{source} cannot be asked: its address ({where}), its key or the proxy is malformed"
        )
    reason = next((said for kind, said in REASONS if _because(error, kind)), "connection cut off")
    return Later(f"{source} does not answer: {reason} ({where})")


def _because(error: BaseException | None, kind: type[Exception]) -> bool:
    """Whether ``error`` is, holds or comes from one of ``kind``."""
    seen: list[BaseException] = []
    todo = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            if isinstance(one, kind):
                return True
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return False


def as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An ``auth`` that adds none: without one, requests would send what ~/.netrc has."""
    return request
