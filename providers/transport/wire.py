"""Requests on the wire: one try, within a total time and size, to one host.

Loads requests, so it is imported only where a live source asks.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests_cache import CachedSession
from requests_cache.backends.base import BaseCache
from requests_cache.models.response import CachedResponse

from providers.errors import BadData
from providers.transport.answers import kept_in
from providers.transport.bodies import decoded, parsed
from providers.transport.bounded import Bounded
from providers.transport.faults import CONNECT_S, as_it_is, fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from providers.transport.question import Question

# An API that moved answers with one redirect, or two for https as well.
REDIRECTS = 5
# An answer is out of date on arrival, so that it is always asked for again, by its ETag where it
# has one; how old it may be is for the caller of `stored` to say.
EXPIRED = datetime(1970, 1, 2, tzinfo=UTC)

# It logs whole queries, with the keys in them: of every request at DEBUG, and of one whose answer
# has malformed headers as a warning.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever its status; ``readable`` as far as its type tells."""

    status: int
    text: str
    readable: bool
    retry_after: str | None


class Wire:
    """Puts one question to its host, as often as wanted."""

    def __init__(
        self, cache_dir: Path, question: Question, timeout_s: float, clock: Callable[[], datetime]
    ) -> None:
        self._question = question
        self._timeout_s = timeout_s
        self._clock = clock
        store = BaseCache() if question.auth else kept_in(cache_dir / "answers", clock)
        self._session = _Session(
            backend=store,
            expire_after=EXPIRED,
            allowable_methods=("GET", "POST"),
            ignored_parameters=question.secret_params,
            filter_fn=self._may_be_kept,
        )
        self._session.headers["User-Agent"] = f"lowtide/{version('lowtide')}"
        self._session.max_redirects = REDIRECTS
        self._bounded = Bounded()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, self._bounded)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.__exit__()

    def stored(self, younger_than: timedelta) -> tuple[str, datetime] | None:
        """A stored answer and when it was asked for, if it is young."""
        question = self._question
        request = requests.Request(
            question.method, question.url, params=question.params, json=question.body
        )
        try:
            key = self._session.cache.create_key(self._session.prepare_request(request))
        except ValueError:  # a URL that is none: asking says so
            return None
        found = self._session.cache.get_response(key)
        if found is None or self._clock() - found.created_at >= younger_than:
            return None
        return _text(found), found.created_at.astimezone(UTC)

    def ask(self) -> Reply:
        """What the host says, whatever the status; :class:`Later` where it says nothing in time."""
        question = self._question
        self._bounded.until = time.monotonic() + self._timeout_s
        try:
            response = self._session.request(
                question.method,
                question.url,
                params=question.params,
                json=question.body,
                headers=dict(question.headers),
                # Keys come from the surroundings alone: without an `auth`, requests would send
                # what ~/.netrc has for the host, in place of the header.
                auth=question.auth or as_it_is,
                timeout=(min(CONNECT_S, self._timeout_s), self._timeout_s),
            )
        except BadData as e:
            raise BadData(f"{question.source} {e} ({question.where})") from None
        # Their own words hold the whole URL, with its keys: they are left out, also as a cause.
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as e:
            raise fault(e, question, self._timeout_s) from None
        if isinstance(response, CachedResponse):  # unchanged, says the host: young again
            self._session.cache.responses[response.cache_key] = response
        return Reply(
            response.status_code,
            _text(response),
            _is_readable(response),
            response.headers.get("Retry-After"),
        )

    def _may_be_kept(self, response: requests.Response) -> bool:
        """Not what is unreadable, and not what repeats the question with its keys."""
        text = _text(response)
        told = any(secret in text for secret in self._question.secrets)
        return not told and _is_readable(response)


class _Session(CachedSession):
    """Follows a redirect only to where the keys belong."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        leaves: Callable[[str, str], bool] = self.should_strip_auth
        try:
            target = super().get_redirect_target(resp)
            if target is None or not leaves(resp.url, urljoin(resp.url, target)):
                return target
            to = urlsplit(urljoin(resp.url, target))
            address = f"{to.scheme}://{to.hostname}" + (f":{to.port}" if to.port else "")
        except ValueError:
            address = "what is no address"
        raise BadData(
            f"redirects to {address}, not followed: the question and its key are for its own host"
        )


def _is_readable(response: requests.Response) -> bool:
    """Whether the body is something, no page for people, and JSON where it is called so."""
    text = _text(response)
    declared = response.headers.get("Content-Type", "").lower()
    try:
        if "json" in declared:
            parsed(text)
    except (ValueError, RecursionError):
        return False
    return bool(text.strip()) and "html" not in declared


def _text(response: requests.Response) -> str:
    """The body in the charset that it declares, otherwise in UTF-8; requests would guess."""
    declared = "charset=" in response.headers.get("Content-Type", "").lower()
    return decoded(response.content, response.encoding if declared else None)
