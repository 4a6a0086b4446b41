"""Requests on the wire: one try, within a total time and size, to one host.

Loads requests, so it is imported only where a live source asks.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from requests_cache.backends.base import BaseCache
from requests_cache.models.response import CachedResponse

from providers.errors import BadData, ProviderError, SettingsError, Unavailable
from providers.transport.answers import kept_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from providers.transport.question import Question

# A little more than a multiple of 3 s, after which TCP sends a lost packet again (the advice of
# requests' own documentation).
CONNECT_S = 3.05
# A year of one zone in steps of five minutes is about 10 MB of JSON. More is no answer.
LARGEST_BYTES = 64 * 2**20
CHUNK_BYTES = 2**16
# An answer is out of date on arrival, so that it is always asked for again, by its ETag where it
# has one; how old it may be is for the caller of `stored` to say.
EXPIRED = datetime(1970, 1, 2, tzinfo=UTC)

# At DEBUG it logs the whole query of every request, with the keys in it.
logging.getLogger("urllib3").setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever its status."""

    status: int
    text: str
    retry_after: str | None


class Wire:
    """Puts one question to its host, as often as wanted. Messages begin where the name ends."""

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
            ignored_parameters=question.secret_params,
            filter_fn=self._may_be_kept,
        )
        self._session.headers["User-Agent"] = f"lowtide/{version('lowtide')}"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Bounded(timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.__exit__()

    def stored(self, younger_than: timedelta) -> tuple[str, datetime] | None:
        """A stored answer and when it was asked for, if it is young."""
        question = self._question
        request = requests.Request("GET", question.url, params=question.params)
        try:
            key = self._session.cache.create_key(self._session.prepare_request(request))
        except ValueError:  # a URL that is none: asking says so
            return None
        found = self._session.cache.get_response(key)
        if found is None or self._clock() - found.created_at >= younger_than:
            return None
        return _text(found), found.created_at.astimezone(UTC)

    def ask(self) -> Reply:
        """What the host says; :class:`Unavailable` where it says nothing in time."""
        question = self._question
        try:
            response = self._session.get(
                question.url,
                params=question.params,
                headers=dict(question.headers),
                # Keys come from the surroundings alone: without an `auth`, requests would send
                # what ~/.netrc has for the host, in place of the header.
                auth=question.auth or _as_it_is,
                timeout=(min(CONNECT_S, self._timeout_s), self._timeout_s),
            )
        except ProviderError:
            raise
        # Their own words hold the whole URL, with its keys: they are left out, also as a cause.
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as e:
            raise _fault(e, question.where, self._timeout_s) from None
        if isinstance(response, CachedResponse):  # unchanged, says the host: young again
            self._session.cache.responses[response.cache_key] = response
        return Reply(response.status_code, _text(response), response.headers.get("Retry-After"))

    def _may_be_kept(self, response: requests.Response) -> bool:
        """Some sources repeat the question in their answer, with its key."""
        text = _text(response)
        return not any(secret in text for secret in self._question.secrets)


class _Session(CachedSession):
    """Follows a redirect only to where the keys belong."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        whole = urljoin(resp.url, target)
        leaves: Callable[[str, str], bool] = self.should_strip_auth
        if leaves(resp.url, whole):
            host = urlsplit(whole).hostname
            raise BadData(
                f"sends {urlsplit(resp.url).hostname} on to {host}: not followed, since keys "
                "must not go to another host"
            )
        return target


class _Bounded(HTTPAdapter):
    """Reads whole bodies, within a total time and size.

    The timeouts of requests are between two bytes, and none holds for the name service; so the
    exchange has a thread of its own, that is left alone when its time is over.
    """

    def __init__(self, total_s: float) -> None:
        super().__init__()
        self._total_s = total_s

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        done: Future[requests.Response] = Future()
        until = time.monotonic() + self._total_s

        def exchange() -> None:
            try:
                done.set_result(self._whole(request, until, *args, **kwargs))
            except BaseException as e:  # noqa: BLE001  the asking thread raises it
                done.set_exception(e)

        threading.Thread(target=exchange, daemon=True, name="lowtide-http").start()
        return done.result(timeout=self._total_s)

    def _whole(
        self, request: requests.PreparedRequest, until: float, *args: Any, **kwargs: Any
    ) -> requests.Response:
        live = super().send(request, *args, **(kwargs | {"stream": True}))
        try:
            body = _body(live.raw, until)
        finally:
            live.close()
        coded = {"content-encoding", "transfer-encoding", "content-length"}
        headers = {k: v for k, v in live.headers.items() if k.lower() not in coded}
        raw = urllib3.HTTPResponse(
            io.BytesIO(body), headers, live.status_code, reason=live.reason, preload_content=False
        )
        return self.build_response(request, raw)


def _body(raw: urllib3.HTTPResponse, until: float) -> bytes:
    """Piece by piece as they come, so that the time and the size are seen in between."""
    body = bytearray()
    while piece := raw.read1(CHUNK_BYTES, decode_content=True):
        body += piece
        if len(body) > LARGEST_BYTES:
            raise BadData(f"answers with more than {LARGEST_BYTES >> 20} MB: not read to its end")
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(body)


def _text(response: requests.Response) -> str:
    """The body in the charset that it declares, otherwise in UTF-8; requests would guess."""
    declared = "charset=" in response.headers.get("Content-Type", "").lower()
    charset = (declared and response.encoding) or "utf-8"
    try:
        return response.content.decode(charset, errors="replace")
    except LookupError:
        return response.content.decode(errors="replace")


def _fault(error: Exception, where: str, timeout_s: float) -> ProviderError | SettingsError:
    """What stopped an exchange, in words of our own."""
    kinds = requests.exceptions
    if isinstance(error, kinds.TooManyRedirects):
        return BadData(f"answers with redirects in a circle at {where}")
    if isinstance(error, kinds.ContentDecodingError | urllib3.exceptions.DecodeError):
        return BadData(f"answers with a broken encoding at {where}")
    if isinstance(error, kinds.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return Unavailable(f"gave no whole answer within {timeout_s:g} s at {where}")
    if isinstance(error, ValueError) and not isinstance(error, kinds.ConnectionError):
        return SettingsError(f"cannot be asked: its address ({where}) or key is malformed")
    reason = next((said for kind, said in REASONS if _because(error, kind)), "was cut off")
    return Unavailable(f"does not answer: the connection {reason} at {where}")


# The first that fits.
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (urllib3.exceptions.NameResolutionError, "found no such host"),
    (urllib3.exceptions.ProxyError, "was not let through by the proxy"),
    (urllib3.exceptions.SSLError, "could not be made secure (TLS)"),
    (ConnectionRefusedError, "was refused"),
    (urllib3.exceptions.NewConnectionError, "could not be made"),
)


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


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
