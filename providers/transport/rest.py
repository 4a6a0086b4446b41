"""Verbs of a service that acts, where :class:`providers.transport.Http` reads sources.

What it is told must be told once: nothing is cached, tried again or redirected. Who asks is a
loop that comes back; so a service that did not answer is left alone for a while, and every
question in that time fails at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from providers.errors import BadData, Unavailable
from providers.transport.bodies import Excess, parsed
from providers.transport.bounded import Bounded
from providers.transport.faults import CONNECT_S, as_it_is, fault
from providers.transport.question import Later, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A pass asks for many jobs: one that waits for each of them would be late for all.
QUIET_S = 15.0


@dataclass(frozen=True, slots=True)
class Said:
    """What came back, whatever its status; ``words`` are short, and hold no secret."""

    status: int
    text: str
    words: str
    where: str

    def json(self) -> Any:
        """The body as JSON; :class:`BadData` where it is none."""
        try:
            return parsed(self.text)
        except Excess as e:
            raise BadData(f"{self.where} answered {e}") from None
        except (ValueError, RecursionError):
            raise BadData(f"{self.where} answered {self.text[:80]!r}, which is not JSON") from None


class Rest:
    """One service at a base ``address``; a try takes at most ``timeout_s``, with its last byte."""

    def __init__(
        self,
        source: str,
        address: str,
        headers: Mapping[str, str],
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._address = source, address.rstrip("/")
        self._headers = {"User-Agent": f"lowtide/{version('lowtide')}", **headers}
        self._timeout_s, self._clock = timeout_s, clock
        self._silent: tuple[float, str] | None = None

    def ask(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Said:
        """The answer to one request, with a JSON body where given.

        Raises :class:`Unavailable` where there was none, now or a moment ago.
        """
        if self._silent is not None and self._clock() < self._silent[0]:
            raise Unavailable(self._silent[1])
        question = Question(self._source, f"{self._address}{path}", {}, self._headers)
        try:
            said = self._exchange(verb, question, body)
        except Later as e:
            self._silent = (self._clock() + QUIET_S, str(e))
            raise
        self._silent = None
        return said

    def _exchange(self, verb: str, question: Question, body: Mapping[str, Any] | None) -> Said:
        with requests.Session() as session:
            bounded = Bounded()
            bounded.until = time.monotonic() + self._timeout_s
            for scheme in ("http://", "https://"):
                session.mount(scheme, bounded)
            try:
                answer = session.request(
                    verb,
                    question.url,
                    json=body,
                    headers=dict(question.headers),
                    auth=as_it_is,
                    timeout=(min(CONNECT_S, self._timeout_s), self._timeout_s),
                    allow_redirects=False,
                )
            except BadData as e:
                raise BadData(f"{question.source} {e} ({question.where})") from None
            # Their own words may hold a key: they are left out, also as a cause.
            except (
                requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError,
            ) as e:  # fmt: skip
                raise fault(e, question, self._timeout_s) from None
        text = answer.content.decode(errors="replace")
        return Said(answer.status_code, text, question.words_of(text), question.where)
